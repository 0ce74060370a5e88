//! The steps on objects on PostgreSQL, one call of a SQL function each.

use std::collections::BTreeMap;

use holdfast_core::error::{Code, Error};
use holdfast_core::limits::RENAME_STEP;
use holdfast_core::names::{BucketName, ObjectKey, VersionId};
use holdfast_core::objects::{Delete, Deleted, ObjectCatalog};
use holdfast_core::ports::{Caller, Commit, Committed, Idempotency};
use holdfast_core::timestamp::rfc3339;
use holdfast_web::listing::{ByTime, Last, Listing, Versions};
use holdfast_web::object_request::{Copy, Move, Rename, Restore};
use holdfast_web::tags::Tags;
use serde::Serialize;
use serde_json::Value;
use spin_sdk::pg::ParameterValue;

use crate::catalog::{PgCatalog, scopes, uuid};
use crate::content;
use crate::pg::{Row, opt_text, text, texts};

const TRASH: &str = "select outcome, rule, version, deleted_at_us, purge_after_us from holdfast.trash(\
    $1, $2, $3, $4, $5, $6, $7, $8, null)";
const ERASE: &str = "select outcome, rule, version, versions, deleted_at_us, purge_after_us from holdfast.erase(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, null)";
const DELETE_MANY: &str = "select place, outcome, rule, version, deleted_at_us, purge_after_us \
    from holdfast.delete_objects($1, $2, $3, $4, $5, $6, $7, $8, null)";
const LIST: &str = "select outcome, rule, key, is_prefix, version, size_bytes, etag, content_type, \
    committed_at_us, owner, tags, user_metadata \
    from holdfast.list_objects($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
const STAT: &str = "select outcome, version, size_bytes, etag, content_type, crc64nvme, committed_at_us, \
    created_at_us, owner, created_by, tags, user_metadata, headers, digests, visibility, versions \
    from holdfast.stat_object($1, $2, $3, $4, $5)";
const VERSIONS: &str = "select outcome, version, is_current, size_bytes, etag, content_type, committed_at_us, \
    created_by, replaced_at_us, purge_after_us from holdfast.list_versions($1, $2, $3, $4, $5, $6, $7)";
const LIST_TRASH: &str = "select outcome, rule, key, version, size_bytes, etag, content_type, owner, deleted_by, \
    deleted_at_us, purge_after_us from holdfast.list_trash($1, $2, $3, $4, $5, $6, $7)";
const COPY: &str = "select outcome, rule, copied, repeated from holdfast.copy_object(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, null)";
const MOVE: &str = "select outcome, rule, version, replaced from holdfast.move_object(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, null)";
const RESTORE: &str = "select outcome, rule, version, replaced, size_bytes, etag from holdfast.restore(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, null)";
const ANNOTATE: &str = "select outcome, rule, version from holdfast.annotate(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, null)";
const START_RENAME: &str = "select outcome, rule from holdfast.start_rename(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, null)";
const STEP_RENAME: &str = "select outcome, rule, job from holdfast.step_rename(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, null)";

/// Which object, and who asks.
#[derive(Clone, Copy)]
pub struct Named<'a> {
    /// The bucket.
    pub bucket: &'a BucketName,
    /// The key.
    pub key: &'a ObjectKey,
    /// Who asks.
    pub caller: &'a Caller,
}

/// An entry of a list: an object, or what several begin with.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Entry {
    /// What several keys begin with, the delimiter at its end.
    Prefix {
        /// It.
        prefix: String,
    },
    /// An object.
    Object(Box<Listed>),
}

/// An object of a list, as clients read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The key.
    pub key: String,
    /// The current version.
    pub version: String,
    /// Its size in bytes.
    pub size: i64,
    /// Its ETag without quotes.
    pub etag: String,
    /// Its content type.
    pub content_type: String,
    /// When it became current.
    pub last_modified: Option<String>,
    /// Whose it is.
    pub owner: Option<String>,
    /// Its tags.
    pub tags: Value,
    /// The version's user metadata.
    pub metadata: Value,
    #[serde(skip)]
    committed_at_us: i64,
}

impl Entry {
    /// What the cursor of the next page is made of.
    ///
    /// # Errors
    /// [`Code::InternalError`]: the version is no UUID.
    pub fn last(&self, newest: bool) -> Result<Last, Error> {
        Ok(match self {
            Self::Prefix { prefix } => Last::Prefix(prefix.clone()),
            Self::Object(it) if newest => {
                Last::At(it.committed_at_us, VersionId::parse(&it.version)?)
            }
            Self::Object(it) => Last::Key(it.key.clone()),
        })
    }
}

/// What is known of an object, as clients read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stat {
    /// The current version.
    pub version: String,
    /// Its size in bytes.
    pub size: i64,
    /// Its ETag without quotes.
    pub etag: String,
    /// Its content type.
    pub content_type: String,
    /// A digest of it: `crc64nvme=...`.
    pub digest: Option<String>,
    /// When it became current.
    pub last_modified: Option<String>,
    /// When the key was first written to.
    pub created_at: Option<String>,
    /// Whose it is; told to whoever may know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Who stored this version; told to whoever may know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// How many versions can be read; told to whoever may know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<i64>,
    /// Its tags.
    pub tags: Value,
    /// Its user metadata.
    pub metadata: Value,
    /// Cache-Control, Content-Disposition and Content-Language, as they were sent.
    pub headers: Value,
    /// Other digests, by their names in RFC 9530, base64.
    pub digests: Value,
    /// Whether anybody may read it: `private`, `public-read`.
    pub visibility: String,
}

/// A version, as clients read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedVersion {
    /// It.
    pub version: String,
    /// Whether it is the current one.
    pub is_current: bool,
    /// Its size in bytes.
    pub size: i64,
    /// Its ETag without quotes.
    pub etag: String,
    /// Its content type.
    pub content_type: String,
    /// When it was stored.
    pub last_modified: Option<String>,
    /// Who stored it.
    pub created_by: String,
    /// When it was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_at: Option<String>,
    /// Until when it can be restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purge_after: Option<String>,
}

/// An entry of the trash, as clients read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trashed {
    /// The key that it had.
    pub key: String,
    /// The version.
    pub version: String,
    /// Its size in bytes.
    pub size: i64,
    /// Its ETag without quotes.
    pub etag: String,
    /// Its content type.
    pub content_type: String,
    /// Whose it is.
    pub owner: String,
    /// Who deleted it.
    pub deleted_by: Option<String>,
    /// When.
    pub deleted_at: Option<String>,
    /// Until when it can be restored.
    pub purge_after: Option<String>,
    #[serde(skip)]
    deleted_at_us: i64,
}

impl Trashed {
    /// What the cursor of the next page is made of.
    ///
    /// # Errors
    /// [`Code::InternalError`]: the version is no UUID.
    pub fn last(&self) -> Result<(i64, VersionId), Error> {
        Ok((self.deleted_at_us, VersionId::parse(&self.version)?))
    }
}

/// What was deleted for good.
#[derive(Clone, Copy, Debug)]
pub struct Erased {
    /// The current version where that went, else the last of the others.
    pub deleted: Deleted,
    /// How many versions.
    pub versions: i64,
}

/// What a move or a restoration made current.
#[derive(Debug)]
pub struct Moved {
    /// The version that is current now.
    pub version: String,
    /// The one that was.
    pub replaced: Option<String>,
}

impl ObjectCatalog for PgCatalog<'_> {
    async fn trash(&self, asked: &Delete) -> Result<Deleted, Error> {
        let mut parameters = vec![text(asked.bucket.as_str()), text(asked.key.as_str())];
        parameters.extend(principal(&asked.caller));
        parameters.push(opt_text(asked.if_match.as_deref()));
        parameters.extend(place(&asked.caller));
        let mut row = self.row(TRASH, parameters).await?;
        row.outcome(Some(1))?;
        deleted(&mut row, 2)
    }
}

impl PgCatalog<'_> {
    /// Deletes an object for good, or one version of it.
    ///
    /// # Errors
    /// Those of [`ObjectCatalog::trash`], and [`Code::NoSuchVersion`].
    pub async fn erase(&self, asked: &Delete, version: Option<VersionId>) -> Result<Erased, Error> {
        let mut parameters = vec![
            text(asked.bucket.as_str()),
            text(asked.key.as_str()),
            version.map_or(ParameterValue::DbNull, uuid),
        ];
        parameters.extend(principal(&asked.caller));
        parameters.push(opt_text(asked.if_match.as_deref()));
        parameters.extend(place(&asked.caller));
        let mut row = self.row(ERASE, parameters).await?;
        row.outcome(Some(1))?;
        let versions = row.integer(3)?.unwrap_or_default();
        Ok(Erased {
            deleted: Deleted {
                version: VersionId::parse(&row.required(2)?)?,
                deleted_at_us: row.integer(4)?.unwrap_or_default(),
                purge_after_us: row.integer(5)?.unwrap_or_default(),
            },
            versions,
        })
    }

    /// Deletes many objects; an answer for each key, in their order.
    ///
    /// # Errors
    /// The database's; each key has its own refusal.
    pub async fn delete_many(
        &self,
        bucket: &BucketName,
        keys: &[ObjectKey],
        permanent: bool,
        caller: &Caller,
    ) -> Result<Vec<Result<Deleted, Error>>, Error> {
        let list: Vec<_> = keys.iter().map(|key| key.as_str().to_owned()).collect();
        let mut parameters =
            vec![text(bucket.as_str()), texts(&list), ParameterValue::Boolean(permanent)];
        parameters.extend(principal(caller));
        parameters.extend(place(caller));
        let mut answers: Vec<_> = keys.iter().map(|_| None).collect();
        for mut row in self.rows(DELETE_MANY, parameters).await? {
            let place = row.integer(0)?.and_then(|place| usize::try_from(place).ok());
            let place = place.and_then(|place| answers.get_mut(place));
            let answer = row.outcome_at(1, Some(2)).and_then(|()| deleted(&mut row, 3));
            *place.ok_or_else(|| Error::internal("a place that was not asked for"))? = Some(answer);
        }
        let missing = || Error::internal("no answer for a key");
        answers.into_iter().map(|answer| answer.ok_or_else(missing)).collect()
    }

    /// A page of objects.
    ///
    /// # Errors
    /// [`Code::NoSuchBucket`], [`Code::AccessDenied`], and the database's.
    pub async fn list(
        &self,
        bucket: &BucketName,
        page: &Listing,
        caller: &Caller,
    ) -> Result<Vec<Entry>, Error> {
        let (mut after, mut at, mut id) =
            (ParameterValue::DbNull, ParameterValue::DbNull, ParameterValue::DbNull);
        match &page.after {
            Some(Last::Key(key) | Last::Prefix(key)) => after = text(key),
            Some(Last::At(us, version)) => {
                (at, id) = (ParameterValue::Int64(*us), uuid(*version));
            }
            None => {}
        }
        let mut parameters = vec![
            text(bucket.as_str()),
            text(&page.prefix),
            opt_text(page.delimiter.as_deref()),
            opt_text(page.search.as_deref()),
            text(page.order.name()),
            after,
            ParameterValue::Boolean(matches!(page.after, Some(Last::Prefix(_)))),
            at,
            id,
            ParameterValue::Int32(page.wanted()),
        ];
        parameters.extend(principal(caller));
        self.rows(LIST, parameters).await?.into_iter().map(entry).collect()
    }

    /// What is known of an object.
    ///
    /// # Errors
    /// [`Code::NoSuchKey`], [`Code::NoSuchBucket`], and the database's.
    pub async fn stat(&self, object: Named<'_>) -> Result<Stat, Error> {
        let mut parameters = vec![text(object.bucket.as_str()), text(object.key.as_str())];
        parameters.extend(principal(object.caller));
        let mut row = self.row(STAT, parameters).await?;
        row.outcome(None)?;
        Ok(Stat {
            version: row.required(1)?,
            size: row.integer(2)?.unwrap_or_default(),
            etag: row.required(3)?,
            content_type: row.required(4)?,
            digest: row.text(5)?.map(|crc| format!("crc64nvme={crc}")),
            last_modified: row.integer(6)?.and_then(rfc3339),
            created_at: row.integer(7)?.and_then(rfc3339),
            owner: row.text(8)?,
            created_by: row.text(9)?,
            tags: json(&mut row, 10)?,
            metadata: json(&mut row, 11)?,
            headers: json(&mut row, 12)?,
            digests: json(&mut row, 13)?,
            visibility: row.required(14)?,
            versions: row.integer(15)?,
        })
    }

    /// A page of an object's versions.
    ///
    /// # Errors
    /// [`Code::NoSuchKey`], [`Code::NoSuchBucket`], and the database's.
    pub async fn versions(
        &self,
        object: Named<'_>,
        page: &Versions,
    ) -> Result<Vec<ListedVersion>, Error> {
        let mut parameters = vec![
            text(object.bucket.as_str()),
            text(object.key.as_str()),
            page.before.map_or(ParameterValue::DbNull, uuid),
            ParameterValue::Int32(page.wanted()),
        ];
        parameters.extend(principal(object.caller));
        self.rows(VERSIONS, parameters).await?.into_iter().map(listed_version).collect()
    }

    /// A page of what can be restored from the trash.
    ///
    /// # Errors
    /// [`Code::NoSuchBucket`], [`Code::AccessDenied`], and the database's.
    pub async fn list_trash(
        &self,
        bucket: &BucketName,
        page: &ByTime,
        caller: &Caller,
    ) -> Result<Vec<Trashed>, Error> {
        let null = || ParameterValue::DbNull;
        let mut parameters = vec![
            text(bucket.as_str()),
            page.before.map_or_else(null, |(at, _)| ParameterValue::Int64(at)),
            page.before.map_or_else(null, |(_, version)| uuid(version)),
            ParameterValue::Int32(page.wanted()),
        ];
        parameters.extend(principal(caller));
        self.rows(LIST_TRASH, parameters).await?.into_iter().map(trashed).collect()
    }

    /// Copies within a bucket. Answers what was committed, and whether that was an earlier request under the same
    /// Idempotency-Key. Safe to repeat with the same `version`.
    ///
    /// # Errors
    /// What `holdfast.copy_object` refuses, and the database's.
    pub async fn copy_within(
        &self,
        bucket: &BucketName,
        copy: &Copy,
        version: VersionId,
        idempotency: Option<&Idempotency>,
        caller: &Caller,
    ) -> Result<(Commit, Committed, bool), Error> {
        let mut parameters = vec![
            text(bucket.as_str()),
            text(copy.from.as_str()),
            copy.version.map_or(ParameterValue::DbNull, uuid),
            text(copy.to.as_str()),
            uuid(version),
            opt_text(copy.if_match.as_deref()),
            ParameterValue::Boolean(copy.overwrite),
            members(copy.metadata.as_ref())?,
            members(copy.tags.as_ref())?,
        ];
        parameters.extend(principal(caller));
        parameters.push(opt_text(idempotency.map(|it| it.key.as_str())));
        parameters.push(opt_text(idempotency.map(|it| it.fingerprint.as_str())));
        parameters.extend(place(caller));
        let mut row = self.row(COPY, parameters).await?;
        row.outcome(Some(1)).map_err(explain)?;
        let (commit, committed) = content::read_repeated(&row.required(2)?)?;
        Ok((commit, committed, row.boolean(3)?))
    }

    /// Gives an object another key.
    ///
    /// # Errors
    /// What `holdfast.move_object` refuses, and the database's.
    pub async fn move_object(
        &self,
        bucket: &BucketName,
        asked: &Move,
        caller: &Caller,
    ) -> Result<Moved, Error> {
        let mut parameters = vec![
            text(bucket.as_str()),
            text(asked.from.as_str()),
            text(asked.to.as_str()),
            opt_text(asked.if_match.as_deref()),
            ParameterValue::Boolean(asked.overwrite),
        ];
        parameters.extend(principal(caller));
        parameters.extend(place(caller));
        moved(&mut self.row(MOVE, parameters).await?)
    }

    /// Makes an earlier version, or one from the trash, the current one again.
    ///
    /// # Errors
    /// What `holdfast.restore` refuses, and the database's.
    pub async fn restore(
        &self,
        bucket: &BucketName,
        asked: &Restore,
        caller: &Caller,
    ) -> Result<Moved, Error> {
        let mut parameters = vec![
            text(bucket.as_str()),
            text(asked.key.as_str()),
            asked.version.map_or(ParameterValue::DbNull, uuid),
            opt_text(asked.if_match.as_deref()),
        ];
        parameters.extend(principal(caller));
        parameters.extend(place(caller));
        moved(&mut self.row(RESTORE, parameters).await?)
    }

    /// Replaces the tags of an object, or the user metadata of its current version. Answers which that is.
    ///
    /// # Errors
    /// What `holdfast.annotate` refuses, and the database's.
    pub async fn annotate(
        &self,
        object: Named<'_>,
        tags: Option<&Tags>,
        metadata: Option<&BTreeMap<String, String>>,
        if_match: Option<&str>,
    ) -> Result<String, Error> {
        let mut parameters = vec![
            text(object.bucket.as_str()),
            text(object.key.as_str()),
            members(tags)?,
            members(metadata)?,
            opt_text(if_match),
        ];
        parameters.extend(principal(object.caller));
        parameters.extend(place(object.caller));
        let mut row = self.row(ANNOTATE, parameters).await?;
        row.outcome(Some(1))?;
        row.required(2)
    }

    /// Begins to give a folder another name. Safe to repeat with the same `id`.
    ///
    /// # Errors
    /// What `holdfast.start_rename` refuses, and the database's.
    pub async fn start_rename(
        &self,
        id: VersionId,
        bucket: &BucketName,
        asked: &Rename,
        caller: &Caller,
    ) -> Result<(), Error> {
        let mut parameters = vec![
            uuid(id),
            text(bucket.as_str()),
            text(&asked.from),
            text(&asked.to),
            ParameterValue::Boolean(asked.overwrite),
        ];
        parameters.extend(principal(caller));
        parameters.extend(place(caller));
        self.row(START_RENAME, parameters).await?.outcome(Some(1))
    }

    /// One step of the renaming of a folder, or of the way back; how far it is.
    ///
    /// # Errors
    /// [`Code::NoSuchRename`], [`Code::BucketNotActive`], and the database's.
    pub async fn step_rename(
        &self,
        id: VersionId,
        bucket: &BucketName,
        step: RenameStep,
        caller: &Caller,
    ) -> Result<Value, Error> {
        let limit = if step == RenameStep::Look { 0 } else { RENAME_STEP };
        let mut parameters = vec![
            uuid(id),
            text(bucket.as_str()),
            ParameterValue::Boolean(step == RenameStep::Undo),
            ParameterValue::Int32(limit),
        ];
        parameters.extend(principal(caller));
        parameters.extend(place(caller));
        let mut row = self.row(STEP_RENAME, parameters).await?;
        row.outcome(Some(1))?;
        json(&mut row, 2)
    }
}

/// What is done with the renaming of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameStep {
    /// Nothing.
    Look,
    /// It goes on.
    Go,
    /// It turns round.
    Undo,
}

/// `p_sub`, `p_roles`, `p_scopes`
fn principal(caller: &Caller) -> [ParameterValue; 3] {
    let principal = &caller.principal;
    [text(&principal.sub), texts(&principal.roles), scopes(principal)]
}

/// `p_ip`, `p_request_id`
fn place(caller: &Caller) -> [ParameterValue; 2] {
    [text(&caller.ip), text(&caller.request_id)]
}

/// A JSON object, or null.
fn members(members: Option<&BTreeMap<String, String>>) -> Result<ParameterValue, Error> {
    members.map_or(Ok(ParameterValue::DbNull), |members| {
        serde_json::to_vec(members).map(ParameterValue::Jsonb).map_err(Error::internal)
    })
}

/// A JSON column; null where there is none.
fn json(row: &mut Row, at: usize) -> Result<Value, Error> {
    row.text(at)?
        .map_or(Ok(Value::Null), |json| serde_json::from_str(&json).map_err(Error::internal))
}

fn deleted(row: &mut Row, at: usize) -> Result<Deleted, Error> {
    Ok(Deleted {
        version: VersionId::parse(&row.required(at)?)?,
        deleted_at_us: row.integer(at + 1)?.unwrap_or_default(),
        purge_after_us: row.integer(at + 2)?.unwrap_or_default(),
    })
}

fn entry(mut row: Row) -> Result<Entry, Error> {
    row.outcome(Some(1))?;
    let key = row.required(2)?;
    if row.boolean(3)? {
        return Ok(Entry::Prefix { prefix: key });
    }
    let committed_at_us = row.integer(8)?.unwrap_or_default();
    Ok(Entry::Object(Box::new(Listed {
        key,
        version: row.required(4)?,
        size: row.integer(5)?.unwrap_or_default(),
        etag: row.required(6)?,
        content_type: row.required(7)?,
        last_modified: rfc3339(committed_at_us),
        owner: row.text(9)?,
        tags: json(&mut row, 10)?,
        metadata: json(&mut row, 11)?,
        committed_at_us,
    })))
}

fn listed_version(mut row: Row) -> Result<ListedVersion, Error> {
    row.outcome(None)?;
    Ok(ListedVersion {
        version: row.required(1)?,
        is_current: row.boolean(2)?,
        size: row.integer(3)?.unwrap_or_default(),
        etag: row.required(4)?,
        content_type: row.required(5)?,
        last_modified: row.integer(6)?.and_then(rfc3339),
        created_by: row.required(7)?,
        replaced_at: row.integer(8)?.and_then(rfc3339),
        purge_after: row.integer(9)?.and_then(rfc3339),
    })
}

fn trashed(mut row: Row) -> Result<Trashed, Error> {
    row.outcome(Some(1))?;
    let deleted_at_us = row.integer(9)?.unwrap_or_default();
    Ok(Trashed {
        key: row.required(2)?,
        version: row.required(3)?,
        size: row.integer(4)?.unwrap_or_default(),
        etag: row.required(5)?,
        content_type: row.required(6)?,
        owner: row.required(7)?,
        deleted_by: row.text(8)?,
        deleted_at: rfc3339(deleted_at_us),
        purge_after: row.integer(10)?.and_then(rfc3339),
        deleted_at_us,
    })
}

fn moved(row: &mut Row) -> Result<Moved, Error> {
    row.outcome(Some(1)).map_err(explain)?;
    Ok(Moved { version: row.required(2)?, replaced: row.text(3)? })
}

/// Says what to do about a refusal that only operations on objects have.
fn explain(mut error: Error) -> Error {
    let message = match (error.code, error.rule.as_deref()) {
        (Code::PreconditionFailed, Some("overwrite")) => {
            "There is an object at the new key; send \"overwrite\": true to replace it"
        }
        (Code::PreconditionFailed, Some("current")) => {
            "The object is not deleted; name the version that shall be current"
        }
        (Code::AccessDenied, Some("object.owner")) => {
            "The key belongs to somebody else; choose another one"
        }
        _ => return error,
    };
    message.clone_into(&mut error.message);
    error
}
