//! Sessions and objects, as the client reads them.

use holdfast_core::digest::base64;
use holdfast_core::multipart::{Created, NewUpload, Session, State};
use holdfast_core::parts::missing;
use holdfast_core::ports::{Commit, Committed};
use holdfast_core::timestamp::rfc3339;
use holdfast_platform::app::Context;
use holdfast_platform::sessions::Listed;
use holdfast_web::multipart::ROUTE;
use holdfast_web::path;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

/// Where the file is read again.
const DOWNLOAD_ROUTE: &str = "/v1/download/";

/// What every answer has; none may be kept by anybody.
pub(crate) fn headers(context: &Context) -> HeaderMap {
    let mut headers = context.headers();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
}

/// Where a session is.
pub(crate) fn session_url(context: &Context, id: &str) -> String {
    format!("{}{ROUTE}/{id}", context.app.config.public_url)
}

/// A session that was just made.
pub(crate) fn created(context: &Context, new: &NewUpload, created: &Created) -> Value {
    let id = created.version.to_string();
    json!({
        "id": id,
        "state": State::Open.as_str(),
        "bucket": new.bucket.as_str(),
        "key": new.key.as_str(),
        "size": new.plan.size,
        "partSize": new.plan.part_size,
        "partCount": new.plan.count(),
        "epoch": 1,
        "expiresAt": rfc3339(created.expires_at_us),
        "url": session_url(context, &id),
    })
}

/// A session with its parts, and what is missing of it.
pub(crate) fn session(context: &Context, session: &Session) -> Value {
    let id = session.version.to_string();
    let parts: Vec<_> = session
        .parts
        .iter()
        .map(|part| json!({ "number": part.number, "size": part.size, "etag": part.etag }))
        .collect();
    let numbers = session.parts.iter().map(|part| part.number);
    let last = session.plan.count().or_else(|| numbers.clone().max()).unwrap_or_default();
    let missing: Vec<_> = match session.state {
        State::Open => missing(numbers, last),
        _ => Vec::new(),
    };
    let missing = missing.iter().map(|(first, last)| json!({ "first": first, "last": last }));
    let object = session
        .committed
        .as_ref()
        .map(|(commit, committed)| object(context, session, commit, committed));
    json!({
        "id": id,
        "state": session.state.as_str(),
        "bucket": session.bucket,
        "key": session.key,
        "size": session.plan.size,
        "partSize": session.plan.part_size,
        "partCount": session.plan.count(),
        "bytes": session.bytes(),
        "partsDone": session.parts.len(),
        "parts": parts,
        "missing": missing.collect::<Vec<_>>(),
        "epoch": session.epoch,
        "createdAt": rfc3339(session.created_at_us),
        "expiresAt": rfc3339(session.expires_at_us),
        "url": session_url(context, &id),
        "object": object,
    })
}

/// A session in a list.
pub(crate) fn listed(context: &Context, session: &Listed) -> Value {
    json!({
        "id": session.version,
        "state": session.state,
        "bucket": session.bucket,
        "key": session.key,
        "size": session.plan.size,
        "partSize": session.plan.part_size,
        "partCount": session.plan.count(),
        "bytes": session.recorded.bytes,
        "partsDone": session.recorded.count,
        "epoch": session.recorded.epoch,
        "createdAt": rfc3339(session.created_at_us),
        "expiresAt": rfc3339(session.expires_at_us),
        "url": session_url(context, &session.version),
    })
}

/// The object that a session became; as an upload answers it.
pub(crate) fn object(
    context: &Context,
    session: &Session,
    commit: &Commit,
    committed: &Committed,
) -> Value {
    let crc = commit.crc64nvme.as_ref().map(|value| format!("crc64nvme={value}"));
    let sha256 = commit.digests.sha256.map(|value| format!("sha-256={}", base64(&value)));
    let route = format!("{}{DOWNLOAD_ROUTE}", context.app.config.public_url);
    json!({
        "bucket": session.bucket,
        "key": session.key,
        "version": commit.version.to_string(),
        "size": commit.size,
        "contentType": commit.content_type,
        "foundType": commit.found_type,
        "etag": commit.etag,
        "digest": crc.or(sha256),
        "url": path::encode(&route, &session.bucket, &session.key),
        "createdAt": committed.committed_at(),
    })
}
