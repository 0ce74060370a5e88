//! `copy`: within a bucket one step of SQL, and to another bucket by the store.

use holdfast_core::copy::{Copier, Copy as Across};
use holdfast_core::error::{Code, Error};
use holdfast_core::names::{BucketName, VersionId};
use holdfast_core::ports::{Clock as _, Commit, Committed, Idempotency, Resolved};
use holdfast_platform::app::Context;
use holdfast_platform::catalog::Wanted;
use holdfast_platform::clock::{WasiClock, random_bytes};
use holdfast_platform::{reply, stored};
use holdfast_web::conditional::{ETag, EntityTags};
use holdfast_web::idempotency::IDEMPOTENT_REPLAYED;
use holdfast_web::object_request::Copy;
use http::HeaderValue;
use http::header::{ETAG, LOCATION};
use wasip3::http::types::Response;

use crate::catalog;

pub(crate) async fn copy(
    context: &Context,
    bucket: &BucketName,
    asked: Copy,
    idempotency: Option<Idempotency>,
) -> Result<Response, Error> {
    let (into, key) = (asked.to_bucket.clone().unwrap_or(bucket.clone()), asked.to.clone());
    let (commit, committed, repeated) = if asked.to_bucket.is_some() {
        across(context, bucket, asked, &into, idempotency).await?
    } else {
        let version = VersionId::generate(WasiClock.now(), &random_bytes());
        let idempotency = idempotency.as_ref();
        catalog(context).copy_within(bucket, &asked, version, idempotency, &context.caller).await?
    };
    let text = |value: String| HeaderValue::try_from(value).map_err(Error::internal);
    let mut headers = context.headers();
    headers.insert(ETAG, text(ETag::strong(&commit.etag).to_string())?);
    if committed.created {
        headers.insert(LOCATION, text(stored::url(context, into.as_str(), key.as_str()))?);
    }
    if repeated {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    let status = if committed.created { 201 } else { 200 };
    let body = stored::body(context, into.as_str(), key.as_str(), &commit, &committed);
    Ok(reply::json(status, headers, &body))
}

/// The source is read as a download is, and the copy written as an upload is.
async fn across(
    context: &Context,
    bucket: &BucketName,
    asked: Copy,
    into: &BucketName,
    idempotency: Option<Idempotency>,
) -> Result<(Commit, Committed, bool), Error> {
    let wanted = Wanted { bucket, key: &asked.from, version: asked.version, grant: None };
    let source = context.app.resolve(&context.caller.principal, &wanted).await?;
    check(asked.if_match.as_deref(), &source)?;
    let copy = Across {
        caller: context.caller.clone(),
        from: bucket.clone(),
        source,
        bucket: into.clone(),
        key: asked.to,
        overwrite: asked.overwrite,
        metadata: asked.metadata,
        idempotency,
    };
    let (catalog, blobs) = (catalog(context), context.app.blobs()?);
    Copier { catalog: &catalog, blobs: &blobs, clock: &WasiClock }.copy(&copy).await
}

/// What is copied is this version, so the condition is of it and of no later one.
fn check(if_match: Option<&str>, source: &Resolved) -> Result<(), Error> {
    let matches = |list: &str| match EntityTags::parse(list.as_bytes()) {
        Some(EntityTags::Any) => true,
        Some(EntityTags::List(tags)) => {
            let etag = ETag::strong(&source.etag);
            tags.iter().any(|tag| tag.strong_eq(&etag))
        }
        None => false,
    };
    if if_match.is_none_or(matches) {
        return Ok(());
    }
    let message = "The object is not in the state that the request names";
    Err(Error::new(Code::PreconditionFailed, message).rule("if-match"))
}
