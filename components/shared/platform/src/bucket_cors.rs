//! The CORS configuration of buckets in SeaweedFS, for what goes straight there.

use holdfast_core::error::Error;
use holdfast_s3::{CorsRule, DeleteBucketCors, PutBucketCors};
use holdfast_web::cors::{MAX_AGE_SECONDS, STORE_EXPOSED, STORE_METHODS, store_origins};
use spin_sdk::pg::ParameterValue;

use crate::blobs::{S3Blobs, refused};
use crate::catalog::PgCatalog;
use crate::pg::{text, texts};

const DUE: &str = "select bucket, origins, claim from holdfast.due_cors($1, $2, null)";
const APPLIED: &str = "select holdfast.cors_applied($1, $2, $3, $4)";

/// A bucket of which SeaweedFS does not know yet who may use it, claimed by this worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueCors {
    /// The bucket.
    pub bucket: String,
    /// The origins; `None` where SeaweedFS shall go by its own setting.
    pub origins: Option<Vec<String>>,
    /// What the claim is given back with.
    claim: String,
}

impl PgCatalog<'_> {
    /// Claims up to `limit` buckets, where `ours` are the deployment's origins.
    ///
    /// # Errors
    /// The database's.
    pub async fn due_cors(&self, ours: &[String], limit: usize) -> Result<Vec<DueCors>, Error> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let rows = self.rows(DUE, vec![texts(ours), ParameterValue::Int32(limit)]).await?;
        rows.into_iter()
            .map(|mut row| {
                Ok(DueCors {
                    bucket: row.required(0)?,
                    origins: row.texts(1)?,
                    claim: row.required(2)?,
                })
            })
            .collect()
    }

    /// Says whether SeaweedFS was told.
    ///
    /// # Errors
    /// The database's.
    pub async fn cors_applied(&self, due: &DueCors, told: bool) -> Result<(), Error> {
        let origins = due.origins.as_deref().map_or(ParameterValue::DbNull, texts);
        let parameters =
            vec![text(&due.bucket), origins, text(&due.claim), ParameterValue::Boolean(told)];
        self.row(APPLIED, parameters).await.map(drop)
    }
}

impl S3Blobs<'_> {
    /// Lets pages of these origins, and of no other, use the bucket by signed URLs.
    ///
    /// # Errors
    /// SeaweedFS does not answer, or refuses.
    pub async fn put_cors(&self, bucket: &str, origins: &[String]) -> Result<(), Error> {
        let own = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
        let rule = CorsRule {
            allowed_origins: store_origins(origins),
            allowed_methods: own(&STORE_METHODS),
            allowed_headers: own(&["*"]),
            expose_headers: own(&STORE_EXPOSED),
            max_age_seconds: Some(MAX_AGE_SECONDS),
        };
        let body = PutBucketCors::body(&[rule]);
        let action = PutBucketCors { bucket };
        let mut answer = self.ask(&action, Some(body.as_bytes())).await?;
        if answer.status == 404 {
            // SeaweedFS makes a bucket with its first object, and then anybody's page could use it.
            self.create_bucket(bucket).await?;
            answer = self.ask(&action, Some(body.as_bytes())).await?;
        }
        match answer.status {
            200 | 204 => Ok(()),
            _ => Err(refused(&answer)),
        }
    }

    /// Lets SeaweedFS go by its own setting, which is that every page may use it.
    ///
    /// # Errors
    /// SeaweedFS does not answer, or refuses.
    pub async fn delete_cors(&self, bucket: &str) -> Result<(), Error> {
        let answer = self.ask(&DeleteBucketCors { bucket }, None).await?;
        match answer.status {
            200 | 204 | 404 => Ok(()),
            _ => Err(refused(&answer)),
        }
    }
}
