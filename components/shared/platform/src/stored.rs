//! An object that was just stored, as its client reads it.

use holdfast_core::digest::base64;
use holdfast_core::ports::{Commit, Committed};
use holdfast_web::path;
use serde_json::{Value, json};

use crate::app::Context;

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
