//! What was stored, as the client reads it.

use holdfast_core::digest::base64;
use holdfast_core::error::Error;
use holdfast_core::upload::{Upload, Uploaded};
use holdfast_platform::app::Context;
use holdfast_platform::reply;
use holdfast_web::conditional::ETag;
use holdfast_web::{digests, path};
use http::header::{ETAG, LOCATION};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use wasip3::http::types::Response;

/// Where the file is read again.
const DOWNLOAD_ROUTE: &str = "/v1/download/";

const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The status: 201 for a new object, 200 for a new version of one.
pub(crate) fn status(uploaded: &Uploaded) -> u16 {
    if uploaded.committed.created { 201 } else { 200 }
}

/// The body; it says all there is to know.
pub(crate) fn body(context: &Context, upload: &Upload, uploaded: &Uploaded) -> Value {
    let Uploaded { commit, committed, .. } = uploaded;
    let crc = commit.crc64nvme.as_ref().map(|value| format!("crc64nvme={value}"));
    let sha256 = commit.digests.sha256.map(|value| format!("sha-256={}", base64(&value)));
    json!({
        "bucket": upload.bucket.as_str(),
        "key": upload.key.as_str(),
        "version": commit.version.to_string(),
        "size": commit.size,
        "contentType": commit.content_type,
        "foundType": commit.found_type,
        "etag": commit.etag,
        "digest": crc.or(sha256),
        "url": url(context, upload),
        "createdAt": committed.committed_at(),
    })
}

/// The answer to a PUT.
pub(crate) fn one(
    context: &Context,
    upload: &Upload,
    uploaded: &Uploaded,
) -> Result<Response, Error> {
    let text = |value: String| HeaderValue::try_from(value).map_err(Error::internal);
    let digests = &uploaded.commit.digests;
    let mut headers = context.headers();
    headers.insert(ETAG, text(ETag::strong(&uploaded.commit.etag).to_string())?);
    if uploaded.committed.created {
        headers.insert(LOCATION, text(url(context, upload))?);
    }
    if let Some(value) = digests::repr_digest(digests.sha256.as_ref(), digests.sha512.as_ref()) {
        headers.insert(digests::REPR_DIGEST, value);
    }
    if uploaded.repeated {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(reply::json(status(uploaded), headers, &body(context, upload, uploaded)))
}

fn url(context: &Context, upload: &Upload) -> String {
    let route = format!("{}{DOWNLOAD_ROUTE}", context.app.config.public_url);
    path::encode(&route, upload.bucket.as_str(), upload.key.as_str())
}
