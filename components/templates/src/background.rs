//! The image behind a template: put, read, and made current again.

use holdfast_core::error::{Code, Error};
use holdfast_core::names::{BucketName, ObjectKey, VersionId};
use holdfast_core::upload::Uploader;
use holdfast_platform::app::Context;
use holdfast_platform::body::UploadBody;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::clock::WasiClock;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_platform::templates::Action;
use holdfast_web::conditional::ETag;
use holdfast_web::idempotency::IDEMPOTENT_REPLAYED;
use holdfast_web::page::Page;
use holdfast_web::path::Query;
use holdfast_web::template_request::{self, MAX_BODY_BYTES};
use holdfast_web::upload_request;
use http::HeaderValue;
use http::header::{ETAG, LOCATION};
use serde_json::json;
use wasip3::http::types::Response;

use crate::{BUCKET, render};

/// `PUT /v1/templates/{id}/background`: an upload, whose commit makes it the template's.
pub(crate) async fn put(
    context: &Context,
    id: VersionId,
    inbound: Inbound,
) -> Result<Response, Error> {
    let (bucket, key) = (BucketName::parse(BUCKET)?, ObjectKey::parse(&render::key(id))?);
    let length = inbound.content_length()?;
    let upload = upload_request::whole(&context.caller, bucket, key, &inbound.headers, length)?;
    let catalog = PgCatalog::new(&context.app.config.database_url);
    // Whose it is, before its key is a place for anybody's file.
    catalog.find_template(id, Action::Write, &context.caller).await?;
    let blobs = context.app.blobs()?;
    let uploader = Uploader { catalog: &catalog, blobs: &blobs, clock: &WasiClock };
    let done = uploader.upload(&upload, UploadBody::Whole(inbound.body)).await?;

    let body = render::uploaded(context, id, &done.commit, &done.committed)?;
    let mut headers = context.no_store();
    let etag = ETag::strong(&done.commit.etag).to_string();
    headers.insert(ETAG, HeaderValue::try_from(etag).map_err(Error::internal)?);
    if done.repeated {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    let status = if done.committed.created {
        headers.insert(LOCATION, location(context, id)?);
        201
    } else {
        200
    };
    Ok(reply::json(status, headers, &body))
}

/// `GET /v1/templates/{id}/background`: where it is read, with the same right.
pub(crate) async fn get(context: &Context, id: VersionId) -> Result<Response, Error> {
    let catalog = PgCatalog::new(&context.app.config.database_url);
    let template = catalog.find_template(id, Action::Read, &context.caller).await?;
    if template.background.is_none() {
        return Err(Error::new(Code::NoSuchKey, "The template has no background; put one"));
    }
    let mut headers = context.no_store();
    headers.insert(LOCATION, location(context, id)?);
    Ok(reply::empty(307, &headers))
}

/// `GET /v1/templates/{id}/backgrounds`
pub(crate) async fn list(
    context: &Context,
    id: VersionId,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let page = Page::parse(&Query::parse(Some(&inbound.query))?)?;
    let catalog = PgCatalog::new(&context.app.config.database_url);
    let found =
        catalog.list_backgrounds(id, page.before.as_deref(), page.wanted(), &context.caller);
    let mut found = found.await?;
    let next = page.cut(&mut found, |background| &background.version);
    let found: Vec<_> = found.iter().map(|it| render::background(context, id, it)).collect();
    let body = json!({ "backgrounds": found, "cursor": next });
    Ok(render::read(&inbound.method, context.no_store(), &body))
}

/// `POST /v1/templates/{id}/background/restore`
pub(crate) async fn restore(
    context: &Context,
    id: VersionId,
    inbound: Inbound,
) -> Result<Response, Error> {
    let version = template_request::restore(&inbound.body.read_whole(MAX_BODY_BYTES).await?)?;
    let catalog = PgCatalog::new(&context.app.config.database_url);
    let template = catalog.restore_background(id, version, &context.caller).await?;
    let headers = render::headers(context, &template)?;
    Ok(reply::json(200, headers, &render::template(context, &template)))
}

fn location(context: &Context, id: VersionId) -> Result<HeaderValue, Error> {
    HeaderValue::try_from(render::url(context, &id.to_string())).map_err(Error::internal)
}
