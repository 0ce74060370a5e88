//! An object that was just stored, as its client reads it.

use holdfast_core::digest::base64;
use holdfast_core::error::Error;
use holdfast_core::ports::{Commit, Committed};
use holdfast_core::upload::{Upload, Uploaded};
use holdfast_web::conditional::ETag;
use holdfast_web::idempotency::IDEMPOTENT_REPLAYED;
use holdfast_web::{digests, path};
use http::HeaderValue;
use http::header::{ETAG, LOCATION};
use serde_json::{Value, json};
use wasip3::http::types::Response;

use crate::app::Context;
use crate::reply;

/// Where a file is read again.
const DOWNLOAD_ROUTE: &str = "/v1/download/";

/// Where a client reads it.
#[must_use]
pub fn url(context: &Context, bucket: &str, key: &str) -> String {
    path::encode(&format!("{}{DOWNLOAD_ROUTE}", context.app.config.public_url), bucket, key)
}

/// All there is to know of it; the same whichever way it came.
#[must_use]
pub fn body(
    context: &Context,
    bucket: &str,
    key: &str,
    commit: &Commit,
    committed: &Committed,
) -> Value {
    let crc = commit.crc64nvme.as_ref().map(|value| format!("crc64nvme={value}"));
    let sha256 = commit.digests.sha256.map(|value| format!("sha-256={}", base64(&value)));
    json!({
        "bucket": bucket,
        "key": key,
        "version": commit.version.to_string(),
        "size": commit.size,
        "contentType": commit.content_type,
        "foundType": commit.found_type,
        "etag": commit.etag,
        "digest": crc.or(sha256),
        "url": url(context, bucket, key),
        "createdAt": committed.committed_at(),
    })
}

/// The answer to a PUT: 201 for a new object, 200 for a new version of one.
///
/// # Errors
/// [`holdfast_core::error::Code::InternalError`]: what is stored makes no header.
pub fn uploaded(
    context: &Context,
    upload: &Upload,
    uploaded: &Uploaded,
) -> Result<Response, Error> {
    let Uploaded { commit, committed, repeated } = uploaded;
    let (bucket, key) = (upload.bucket.as_str(), upload.key.as_str());
    let text = |value: String| HeaderValue::try_from(value).map_err(Error::internal);
    let digests = &commit.digests;
    let mut headers = context.headers();
    headers.insert(ETAG, text(ETag::strong(&commit.etag).to_string())?);
    if committed.created {
        headers.insert(LOCATION, text(url(context, bucket, key))?);
    }
    if let Some(value) = digests::repr_digest(digests.sha256.as_ref(), digests.sha512.as_ref()) {
        headers.insert(digests::REPR_DIGEST, value);
    }
    if *repeated {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    let body = body(context, bucket, key, commit, committed);
    Ok(reply::json(status(committed), headers, &body))
}

/// 201 for a new object, 200 for a new version of one.
#[must_use]
pub fn status(committed: &Committed) -> u16 {
    if committed.created { 201 } else { 200 }
}
