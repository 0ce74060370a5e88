//! The two sides of adoption: SeaweedFS's listing, and a page of rows in one SQL call.

use holdfast_core::adopt::{
    Adopt, AdoptCatalog, AdoptStore, Adopted, Candidate, Found, Kept, Page, Place,
};
use holdfast_core::error::Error;
use holdfast_core::limits::ADOPT_PAGE;
use holdfast_s3::{HeadObject, ListObjectsV2};
use holdfast_web::{content_headers, content_type, metadata};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use serde_json::{Value, json};
use spin_sdk::pg::ParameterValue;

use crate::blobs::{S3Blobs, refused};
use crate::buckets::{jsonb, with_caller};
use crate::catalog::PgCatalog;
use crate::content::write_headers;
use crate::pg::{opt_text, text};

const ADOPT: &str = "select outcome, rule, adopted, known, refused from holdfast.adopt(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, null)";

impl AdoptCatalog for PgCatalog<'_> {
    async fn adopt(&self, asked: &Adopt, page: &[Candidate]) -> Result<Adopted, Error> {
        let objects: Vec<_> = page.iter().map(row).collect::<Result<_, _>>()?;
        let first = vec![
            text(asked.bucket.as_str()),
            jsonb(&Value::Array(objects)),
            opt_text(asked.owner.as_deref()),
            ParameterValue::Boolean(asked.dry_run),
        ];
        let mut row = self.row(ADOPT, with_caller(first, &asked.caller)).await?;
        row.outcome(Some(1))?;
        let mut count = |at| {
            let count = row.integer(at)?.unwrap_or_default();
            u64::try_from(count).map_err(Error::internal)
        };
        let (adopted, known) = (count(2)?, count(3)?);
        Ok(Adopted { adopted, known, taken: row.texts(4)?.unwrap_or_default() })
    }
}

fn row(candidate: &Candidate) -> Result<Value, Error> {
    let Candidate { version, found, kept } = candidate;
    let stored_at_us = found.stored_at.map(|at| (at.unix_timestamp_nanos() / 1_000) as i64);
    let headers: Value =
        serde_json::from_slice(&write_headers(&kept.headers)?).map_err(Error::internal)?;
    Ok(json!({
        "version": version.to_string(),
        "key": found.key,
        "size": found.size,
        "etag": found.etag,
        "type": kept.content_type,
        "storedAtUs": stored_at_us,
        "metadata": kept.metadata,
        "headers": headers,
    }))
}

impl AdoptStore for S3Blobs<'_> {
    async fn page(&self, bucket: &str, prefix: &str, from: &Place) -> Result<Page, Error> {
        let (continuation_token, start_after) = match from {
            Place::Start => (None, None),
            Place::Token(token) => (Some(token.as_str()), None),
            Place::After(key) => (None, Some(key.as_str())),
        };
        let max_keys = Some(ADOPT_PAGE);
        let page = self
            .list(&ListObjectsV2 { bucket, prefix, continuation_token, start_after, max_keys })
            .await?;
        let objects = page.objects.into_iter().map(|object| Found {
            key: object.key,
            size: object.size,
            etag: object.etag,
            stored_at: object.last_modified,
        });
        Ok(Page { objects: objects.collect(), next: page.next_continuation_token })
    }

    async fn headers(
        &self,
        bucket: &str,
        key: &str,
    ) -> Result<Option<Result<Kept, String>>, Error> {
        let answer = self.ask(&HeadObject { bucket, key, checksum_mode: false }, None).await?;
        match answer.status {
            404 => Ok(None),
            200 => Ok(Some(kept(&answer.header_map()))),
            _ => Err(refused(&answer)),
        }
    }
}

/// What is kept of the headers, or why none of it can be.
fn kept(headers: &HeaderMap) -> Result<Kept, String> {
    let plain = ["", "identity", "aws-chunked"];
    let encoding = headers.get(CONTENT_ENCODING).map_or(b"".as_slice(), |it| it.as_bytes());
    if !plain.iter().any(|it| it.as_bytes() == encoding) {
        return Err("It is stored with a Content-Encoding".to_owned());
    }
    let why = |error: Error| error.message;
    Ok(Kept {
        content_type: content_type::from_headers(headers)
            .map_err(why)?
            .unwrap_or_default()
            .to_owned(),
        headers: content_headers::from_headers(headers).map_err(why)?,
        metadata: metadata::from_headers(headers).map_err(why)?,
    })
}
