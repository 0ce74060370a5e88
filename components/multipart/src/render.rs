//! Sessions and objects, as the client reads them.

use holdfast_core::parts::missing;
use holdfast_core::ports::{Commit, Committed};
use holdfast_core::session::{Created, NewUpload, Session, State};
use holdfast_core::timestamp::rfc3339;
use holdfast_platform::app::Context;
use holdfast_platform::sessions::Listed;
use holdfast_platform::stored;
use holdfast_web::multipart::ROUTE;
use serde_json::{Value, json};

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
        "protocol": new.protocol.as_str(),
        "bucket": new.bucket.as_str(),
        "key": new.key.as_str(),
        "size": created.plan.size,
        "partSize": created.plan.part_size,
        "partCount": created.plan.count(),
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
        "protocol": session.protocol.as_str(),
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
        "protocol": session.protocol,
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
    stored::body(context, &session.bucket, &session.key, commit, committed)
}
