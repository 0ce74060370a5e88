//! Records of a batch: their cards are stored, and what becomes of them is told.

use holdfast_core::batch::{BUCKET, BatchId, RecordId};
use holdfast_core::error::{Code, Error};
use holdfast_core::names::BucketName;
use holdfast_core::timestamp::rfc3339;
use holdfast_core::upload::Uploader;
use holdfast_platform::app::Context;
use holdfast_platform::batches::{Record, Records};
use holdfast_platform::body::UploadBody;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::clock::WasiClock;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::{reply, stored};
use holdfast_web::batch_request::{MAX_BODY_BYTES, reports};
use holdfast_web::page;
use holdfast_web::path::Query;
use holdfast_web::upload_request;
use serde_json::{Value, json};
use wasip3::http::types::Response;

use crate::batch::open;

/// `PUT /v1/batches/{id}/records/{record}`: an upload to where the record's card lies. Its commit moves the counters.
pub(crate) async fn put(
    context: &Context,
    id: BatchId,
    record: &RecordId,
    inbound: Inbound,
) -> Result<Response, Error> {
    open(context).await?.open_record(id).await?;
    let bucket = BucketName::parse(BUCKET)?;
    let length = inbound.content_length()?;
    let upload =
        upload_request::whole(&context.caller, bucket, id.key(record)?, &inbound.headers, length)?;
    let catalog = PgCatalog::new(&context.app.config.database_url);
    let blobs = context.app.blobs()?;
    let uploader = Uploader { catalog: &catalog, blobs: &blobs, clock: &WasiClock };
    let uploaded = uploader.upload(&upload, UploadBody::Whole(inbound.body)).await?;
    stored::uploaded(context, &upload, &uploaded)
}

/// `GET /v1/batches/{id}/records/{record}`
pub(crate) async fn get(
    context: &Context,
    id: BatchId,
    record: &RecordId,
) -> Result<Response, Error> {
    let only = Records { only: Some(record.as_str()), limit: 1, ..Records::default() };
    let batches = open(context).await?;
    let Some(found) = batches.records(id, &only).await?.pop() else {
        // No record may also be because there is no such batch, which is told first.
        batches.get(id).await?;
        let message = "Nothing is known of this record; PUT its card";
        return Err(Error::new(Code::NoSuchKey, message).rule("record"));
    };
    if context.trace.is_head() {
        return Ok(reply::empty(200, &context.no_store()));
    }
    Ok(reply::json(200, context.no_store(), &shown(context, id, &found)))
}

/// `GET /v1/batches/{id}/records`
pub(crate) async fn list(
    context: &Context,
    id: BatchId,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let query = Query::parse(Some(&inbound.query))?;
    let status = query.get("status")?.map(str::parse).transpose()?;
    let after = query.get("cursor")?.map(RecordId::parse).transpose()?;
    let limit = page::limit_of(&query)?;
    let asked = Records {
        status,
        after: after.as_ref().map(RecordId::as_str),
        only: None,
        limit: limit + 1,
    };
    let mut found = open(context).await?.records(id, &asked).await?;
    let next = page::cut(limit, &mut found, |record| &record.record);
    if inbound.method == http::Method::HEAD {
        return Ok(reply::empty(200, &context.no_store()));
    }
    let found: Vec<_> = found.iter().map(|record| shown(context, id, record)).collect();
    Ok(reply::json(200, context.no_store(), &json!({ "records": found, "cursor": next })))
}

/// `POST /v1/batches/{id}/records`
pub(crate) async fn report(
    context: &Context,
    id: BatchId,
    inbound: Inbound,
) -> Result<Response, Error> {
    let body = inbound.body.read_whole(MAX_BODY_BYTES).await?;
    let reports = reports(&body)?;
    let (changed, stay) = open(context).await?.report(id, &reports).await?;
    let answer = json!({ "changed": changed, "complete": stay });
    Ok(reply::json(200, context.no_store(), &answer))
}

fn shown(context: &Context, id: BatchId, record: &Record) -> Value {
    let mut shown = json!({
        "recordId": record.record,
        "status": record.status,
        "reason": record.reason,
        "failures": record.failures,
        "updatedAt": rfc3339(record.updated_at_us),
    });
    if let Some(card) = &record.card {
        shown["version"] = card.version.as_str().into();
        shown["size"] = card.size.into();
        shown["etag"] = card.etag.as_str().into();
        shown["contentType"] = card.content_type.as_str().into();
        shown["url"] = stored::url(context, BUCKET, &format!("{id}/{}", record.record)).into();
    }
    shown
}
