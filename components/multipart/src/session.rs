//! One session: parse, call the use case, render.

use holdfast_core::digest::sha256_base64;
use holdfast_core::error::{Code, Error};
use holdfast_core::names::{BucketName, VersionId};
use holdfast_core::ports::Idempotency;
use holdfast_core::session::NewPart;
use holdfast_platform::app::Context;
use holdfast_platform::body::UploadBody;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_web::conditional::ETag;
use holdfast_web::digests;
use holdfast_web::idempotency::{IDEMPOTENT_REPLAYED, IdempotencyKey};
use holdfast_web::multipart::{self as parse, EPOCH, MAX_BODY_BYTES};
use holdfast_web::page::Page;
use holdfast_web::path::Query;
use http::header::{ETAG, LOCATION};
use http::{HeaderValue, Method};
use serde_json::json;
use wasip3::http::types::Response;

use crate::{Steps, render};

/// `POST /v1/multipart`
pub(crate) async fn create(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let key = IdempotencyKey::from_headers(&inbound.headers)?;
    let body = inbound.body.read_whole(MAX_BODY_BYTES).await?;
    let mut new = parse::create(&body)?;
    // What the request says is all in its body.
    new.idempotency = key
        .map(|key| Idempotency { key: key.as_str().to_owned(), fingerprint: sha256_base64(&body) });
    let steps = Steps::of(context)?;
    let created = steps.multipart().create(&context.caller, &new).await?;
    let mut headers = context.no_store();
    let url = render::session_url(context, &created.version.to_string());
    headers.insert(LOCATION, HeaderValue::try_from(url).map_err(Error::internal)?);
    headers.insert(EPOCH, HeaderValue::from(1));
    if created.repeated {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(reply::json(201, headers, &render::created(context, &new, &created)))
}

/// `GET /v1/multipart`
pub(crate) async fn list(context: &Context, inbound: &Inbound) -> Result<Response, Error> {
    let query = Query::parse(Some(&inbound.query))?;
    let bucket = query.get("bucket")?.map(BucketName::parse).transpose()?;
    let page = Page::parse(&query)?;
    let before = page.before.as_deref().map(VersionId::parse).transpose()?;
    let steps = Steps::of(context)?;
    let sub = &context.caller.principal.sub;
    let bucket = bucket.as_ref().map(BucketName::as_str);
    let mut sessions = steps.catalog.list_sessions(sub, bucket, before, page.wanted()).await?;
    let next = page.cut(&mut sessions, |session| &session.version);
    if inbound.method == Method::HEAD {
        return Ok(reply::empty(200, &context.no_store()));
    }
    let uploads: Vec<_> = sessions.iter().map(|it| render::listed(context, it)).collect();
    let answer = json!({ "uploads": uploads, "cursor": next });
    Ok(reply::json(200, context.no_store(), &answer))
}

/// `PUT /v1/multipart/{id}/parts/{number}`
pub(crate) async fn part(
    context: &Context,
    id: VersionId,
    number: u16,
    inbound: Inbound,
) -> Result<Response, Error> {
    let length = inbound.content_length()?.ok_or_else(|| {
        Error::new(Code::MissingContentLength, "Send the part with its Content-Length")
    })?;
    let part = NewPart {
        number,
        length,
        declared: digests::from_headers(&inbound.headers)?,
        epoch: parse::epoch(&inbound.headers)?,
        body: UploadBody::Whole(inbound.body),
    };
    let steps = Steps::of(context)?;
    let (part, recorded) = steps.multipart().put_part(&context.caller, id, part).await?;
    let mut headers = context.no_store();
    let etag = ETag::strong(&part.etag).to_string();
    headers.insert(ETAG, HeaderValue::try_from(etag).map_err(Error::internal)?);
    headers.insert(EPOCH, HeaderValue::from(recorded.epoch));
    let answer = json!({
        "number": part.number,
        "size": part.size,
        "etag": part.etag,
        "bytes": recorded.bytes,
        "partsDone": recorded.count,
    });
    Ok(reply::json(200, headers, &answer))
}

/// `GET /v1/multipart/{id}`
pub(crate) async fn status(
    context: &Context,
    id: VersionId,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let steps = Steps::of(context)?;
    let session = steps.multipart().status(&context.caller, id).await?;
    let mut headers = context.no_store();
    headers.insert(EPOCH, HeaderValue::from(session.epoch));
    if inbound.method == Method::HEAD {
        return Ok(reply::empty(200, &headers));
    }
    Ok(reply::json(200, headers, &render::session(context, &session)))
}

/// `POST /v1/multipart/{id}/resume`
pub(crate) async fn resume(context: &Context, id: VersionId) -> Result<Response, Error> {
    let steps = Steps::of(context)?;
    let session = steps.multipart().resume(&context.caller, id).await?;
    let mut headers = context.no_store();
    headers.insert(EPOCH, HeaderValue::from(session.epoch));
    Ok(reply::json(200, headers, &render::session(context, &session)))
}

/// `POST /v1/multipart/{id}/complete`
pub(crate) async fn complete(
    context: &Context,
    id: VersionId,
    inbound: Inbound,
) -> Result<Response, Error> {
    let epoch = parse::epoch(&inbound.headers)?;
    let named = parse::complete(&inbound.body.read_whole(MAX_BODY_BYTES).await?)?;
    let steps = Steps::of(context)?;
    let done = steps.multipart().complete(&context.caller, id, epoch, named.as_deref()).await?;
    let (session, commit, committed) = done;
    let mut headers = context.no_store();
    let etag = ETag::strong(&commit.etag).to_string();
    headers.insert(ETAG, HeaderValue::try_from(etag).map_err(Error::internal)?);
    let object = render::object(context, &session, &commit, &committed);
    Ok(reply::json(200, headers, &object))
}

/// `DELETE /v1/multipart/{id}`
pub(crate) async fn abort(context: &Context, id: VersionId) -> Result<Response, Error> {
    let steps = Steps::of(context)?;
    steps.multipart().abort(&context.caller, id).await?;
    Ok(reply::empty(204, &context.no_store()))
}
