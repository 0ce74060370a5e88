//! Buckets on PostgreSQL and in SeaweedFS: each step is one call of its SQL function, or one S3 operation.

use std::collections::BTreeMap;

use holdfast_core::buckets::{
    BucketCatalog, BucketStore, Create, Created, DeleteBucket as Delete, State,
};
use holdfast_core::error::{Code, Error};
use holdfast_core::limits::{EXPIRE_BATCH, FORGET_BATCH};
use holdfast_core::ports::Caller;
use holdfast_core::timestamp::rfc3339;
use holdfast_s3::{DeleteBucket, ListObjectsV2};
use serde_json::{Value, json};
use spin_sdk::pg::ParameterValue;

use crate::blobs::{ERROR_BODY_BYTES, S3Blobs, refused};
use crate::catalog::{PgCatalog, scopes};
use crate::outbound::Retry;
use crate::pg::{Row, opt_text, text, texts};

const CREATE: &str = "select outcome, rule, state, created from holdfast.create_bucket(\
    $1, $2, $3, $4, $5, $6, $7, $8, null)";
const CREATED: &str = "select holdfast.bucket_created($1)";
const GET: &str = "select outcome, rule, administers, state, owner, created_at_us, policy, etag, usage \
    from holdfast.get_bucket($1, $2, $3, $4)";
const LIST: &str = "select name, administers, state, owner, created_at_us, visibility \
    from holdfast.list_buckets($1, $2, $3, $4, $5)";
const UPDATE: &str = "select outcome, rule, etag, policy, changed from holdfast.update_bucket(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, null)";
const DELETE: &str = "select outcome, rule, counts from holdfast.delete_bucket(\
    $1, $2, $3, $4, $5, $6, $7, null)";
const DROP: &str = "select holdfast.drop_bucket($1, null)";
const REOPEN: &str = "select holdfast.reopen_bucket($1, $2, $3, $4, null)";
const FORGET: &str = "select holdfast.forget_bucket($1, $2, null)";
const DUE: &str = "select bucket, state from holdfast.due_buckets($1, null)";
const EXPIRE: &str = "select bucket, looked, expired, ended from holdfast.expire($1, null)";

/// A bucket, as its caller sees it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its representation.
    pub body: Value,
    /// Its entity tag without quotes.
    pub etag: String,
}

/// A policy, and the entity tag of its bucket, without quotes.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The policy.
    pub policy: Value,
    /// The tag.
    pub etag: String,
}

/// What a batch of the lifecycle did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Objects that went to the trash.
    pub objects: i64,
    /// Uploads in parts that were let go.
    pub uploads: i64,
}

impl PgCatalog<'_> {
    /// A bucket, as the caller may see it.
    ///
    /// # Errors
    /// [`Code::NoSuchBucket`], and the database's.
    pub async fn get_bucket(&self, bucket: &str, caller: &Caller) -> Result<Shown, Error> {
        let mut row = self.row(GET, with_principal(vec![text(bucket)], caller)).await?;
        row.outcome(Some(1))?;
        let (administers, state) = (row.boolean(2)?, row.required(3)?);
        let (owner, created) = (row.text(4)?, row.integer(5)?);
        let policy = read(&row.required(6)?)?;
        let etag = row.required(7)?;
        let mut body = json!({
            "name": bucket,
            "state": state,
            "createdAt": created.and_then(rfc3339),
            "administers": administers,
            "policy": policy,
        });
        if administers {
            body["owner"] = owner.into();
            body["usage"] = usage(&row.required(8)?)?;
        }
        Ok(Shown { body, etag })
    }

    /// The buckets that the caller may see, by name, from behind `after`.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_buckets(
        &self,
        after: Option<&str>,
        limit: i32,
        caller: &Caller,
    ) -> Result<Vec<Value>, Error> {
        let first = vec![opt_text(after), ParameterValue::Int32(limit)];
        let rows = self.rows(LIST, with_principal(first, caller)).await?;
        rows.into_iter().map(listed).collect()
    }

    /// Puts a policy in the place of the one that was looked at; without one it only looks. `None`: somebody else changed it
    /// meanwhile.
    ///
    /// # Errors
    /// [`Code::NoSuchBucket`], [`Code::AccessDenied`], [`Code::BucketNotActive`], [`Code::PreconditionFailed`], and the
    /// database's.
    pub async fn update_bucket(
        &self,
        bucket: &str,
        policy: Option<(&Value, &str)>,
        if_match: Option<&str>,
        caller: &Caller,
    ) -> Result<Option<Policy>, Error> {
        let first = vec![
            text(bucket),
            policy.map_or(ParameterValue::DbNull, |it| jsonb(it.0)),
            opt_text(policy.map(|it| it.1)),
            opt_text(if_match),
        ];
        let mut row = self.row(UPDATE, with_caller(first, caller)).await?;
        row.outcome(Some(1))?;
        if row.boolean(4)? {
            return Ok(None);
        }
        Ok(Some(Policy { etag: row.required(2)?, policy: read(&row.required(3)?)? }))
    }

    /// Claims buckets whose making or deletion nobody ended.
    ///
    /// # Errors
    /// The database's.
    pub async fn due_buckets(&self, limit: i32) -> Result<Vec<(String, State)>, Error> {
        let rows = self.rows(DUE, vec![ParameterValue::Int32(limit)]).await?;
        rows.into_iter()
            .map(|mut row| Ok((row.required(0)?, State::parse(&row.required(1)?)?)))
            .collect()
    }

    /// One batch of the lifecycle; `None`: nothing is due.
    ///
    /// # Errors
    /// The database's.
    pub async fn expire(&self) -> Result<Option<Expired>, Error> {
        let mut row = self.row(EXPIRE, vec![ParameterValue::Int32(EXPIRE_BATCH)]).await?;
        if row.text(0)?.is_none() {
            return Ok(None);
        }
        let mut count = |at| Ok::<_, Error>(row.integer(at)?.unwrap_or_default());
        Ok(Some(Expired { objects: count(2)?, uploads: count(3)? }))
    }
}

impl BucketCatalog for PgCatalog<'_> {
    async fn create_bucket(&self, asked: &Create, stored: bool) -> Result<Created, Error> {
        let first = vec![
            text(asked.bucket.as_str()),
            jsonb(&asked.policy),
            ParameterValue::Boolean(stored),
        ];
        let mut row = self.row(CREATE, with_caller(first, &asked.caller)).await?;
        row.outcome(Some(1))?;
        Ok(Created { state: State::parse(&row.required(2)?)?, created: row.boolean(3)? })
    }

    async fn bucket_created(&self, bucket: &str) -> Result<bool, Error> {
        self.row(CREATED, vec![text(bucket)]).await?.boolean(0)
    }

    async fn delete_bucket(&self, asked: &Delete) -> Result<(), Error> {
        let first = vec![text(asked.bucket.as_str()), ParameterValue::Boolean(asked.confirmed)];
        let mut row = self.row(DELETE, with_caller(first, &asked.caller)).await?;
        let Err(error) = row.outcome(Some(1)) else { return Ok(()) };
        match error.code {
            Code::BucketNotEmpty => {
                let counts: BTreeMap<String, u64> =
                    serde_json::from_str(&row.required(2)?).map_err(Error::internal)?;
                Err(error.counts(counts))
            }
            Code::InvalidArgument => {
                let message = "The bucket held files: repeat its name in the query, as confirm";
                Err(Error::new(Code::InvalidArgument, message).rule("confirm"))
            }
            _ => Err(error),
        }
    }

    async fn drop_bucket(&self, bucket: &str) -> Result<bool, Error> {
        self.row(DROP, vec![text(bucket)]).await?.boolean(0)
    }

    async fn reopen_bucket(&self, bucket: &str, caller: &Caller) -> Result<bool, Error> {
        let parameters = vec![
            text(bucket),
            text(&caller.principal.sub),
            text(&caller.ip),
            text(&caller.request_id),
        ];
        self.row(REOPEN, parameters).await?.boolean(0)
    }

    async fn forget_bucket(&self, bucket: &str) -> Result<bool, Error> {
        let parameters = vec![text(bucket), ParameterValue::Int32(FORGET_BATCH)];
        self.row(FORGET, parameters).await?.boolean(0)
    }
}

impl BucketStore for S3Blobs<'_> {
    async fn has_bucket(&self, bucket: &str) -> Result<bool, Error> {
        self.head_bucket(bucket).await
    }

    async fn make_bucket(&self, bucket: &str) -> Result<(), Error> {
        self.create_bucket(bucket).await
    }

    async fn count_objects(&self, bucket: &str) -> Result<u64, Error> {
        let page = self.list(&ListObjectsV2 { bucket, ..ListObjectsV2::default() }).await?;
        Ok(page.objects.len() as u64)
    }

    async fn remove_bucket(&self, bucket: &str) -> Result<(), Error> {
        let answer = self.attempt(&DeleteBucket { bucket }, None, ERROR_BODY_BYTES).await;
        let answer = answer.map_err(|retry| match retry {
            Retry::Never(error) | Retry::MayHelp(error) => error,
        })?;
        match answer.status {
            // 409: somebody put an object there since it was counted. The store keeps it, and we know of none.
            200 | 204 | 404 | 409 => Ok(()),
            _ => Err(refused(&answer)),
        }
    }
}

/// Adds the principal's name, roles and scopes.
fn with_principal(mut parameters: Vec<ParameterValue>, caller: &Caller) -> Vec<ParameterValue> {
    let principal = &caller.principal;
    parameters.extend([text(&principal.sub), texts(&principal.roles), scopes(principal)]);
    parameters
}

/// The same, and the address and id of the request.
pub(crate) fn with_caller(parameters: Vec<ParameterValue>, caller: &Caller) -> Vec<ParameterValue> {
    let mut parameters = with_principal(parameters, caller);
    parameters.extend([text(&caller.ip), text(&caller.request_id)]);
    parameters
}

pub(crate) fn jsonb(value: &Value) -> ParameterValue {
    ParameterValue::Jsonb(value.to_string().into_bytes())
}

fn read(json: &str) -> Result<Value, Error> {
    serde_json::from_str(json).map_err(Error::internal)
}

fn listed(mut row: Row) -> Result<Value, Error> {
    let administers = row.boolean(1)?;
    let mut bucket = json!({
        "name": row.required(0)?,
        "state": row.required(2)?,
        "createdAt": row.integer(4)?.and_then(rfc3339),
        "administers": administers,
        "visibility": row.required(5)?,
    });
    if administers {
        bucket["owner"] = row.required(3)?.into();
    }
    Ok(bucket)
}

/// The six numbers by their names.
fn usage(json: &str) -> Result<Value, Error> {
    let numbers: [i64; 6] = serde_json::from_str(json).map_err(Error::internal)?;
    let names = [
        "liveBytes",
        "liveObjects",
        "retainedBytes",
        "retainedObjects",
        "pendingBytes",
        "pendingObjects",
    ];
    Ok(names
        .into_iter()
        .zip(numbers)
        .map(|(name, number)| (name.to_owned(), number.into()))
        .collect::<serde_json::Map<_, _>>()
        .into())
}
