//! What was stored, as the client reads it.

use holdfast_core::error::Error;
use holdfast_core::upload::{Upload, Uploaded};
use holdfast_platform::app::Context;
use holdfast_platform::{reply, stored};
use holdfast_web::conditional::ETag;
use holdfast_web::digests;
use holdfast_web::idempotency::IDEMPOTENT_REPLAYED;
use http::HeaderValue;
use http::header::{ETAG, LOCATION};
use serde_json::Value;
use wasip3::http::types::Response;

/// The status: 201 for a new object, 200 for a new version of one.
pub(crate) fn status(uploaded: &Uploaded) -> u16 {
    if uploaded.committed.created { 201 } else { 200 }
}

/// The body; it says all there is to know.
pub(crate) fn body(context: &Context, upload: &Upload, uploaded: &Uploaded) -> Value {
    let Uploaded { commit, committed, .. } = uploaded;
    stored::body(context, upload.bucket.as_str(), upload.key.as_str(), commit, committed)
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
        headers.insert(
            LOCATION,
            text(stored::url(context, upload.bucket.as_str(), upload.key.as_str()))?,
        );
    }
    if let Some(value) = digests::repr_digest(digests.sha256.as_ref(), digests.sha512.as_ref()) {
        headers.insert(digests::REPR_DIGEST, value);
    }
    if uploaded.repeated {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(reply::json(status(uploaded), headers, &body(context, upload, uploaded)))
}
