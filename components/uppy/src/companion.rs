//! Companion's routes for S3, with its JSON.

use holdfast_core::error::{Code, Error};
use holdfast_core::limits::SIGNED_PART_SECONDS;
use holdfast_core::names::VersionId;
use holdfast_platform::app::Context;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::{reply, stored};
use holdfast_web::multipart::MAX_BODY_BYTES as MAX_PARTS_BYTES;
use holdfast_web::path::Query;
use holdfast_web::uppy::{self as parse, MAX_BODY_BYTES, NewFile};
use serde_json::{Value, json};
use wasip3::http::types::Response;

use crate::token::{self, Needed};
use crate::upload::Steps;
use crate::within;

/// `GET params`: a form that stores the file, which Uppy posts as it is answered here.
pub(crate) async fn params(context: &Context, inbound: &Inbound) -> Result<Response, Error> {
    let query = Query::parse(Some(&inbound.query))?;
    let file = NewFile::from_query(&query, within(context))?;
    let needed = Needed { bucket: &file.bucket, key: &file.key, seconds: SIGNED_PART_SECONDS };
    let token = token::token(context, &needed).await?;
    // The object's own name is a field: the form's address ends with its bucket.
    let url = token::url(context, &token, "/upload/", file.bucket.as_str(), "");
    let url = url.trim_end_matches('/');
    let answer = json!({
        "method": "POST",
        "url": url,
        "fields": file.fields(),
        "expires": SIGNED_PART_SECONDS,
    });
    Ok(reply::json(200, context.no_store(), &answer))
}

/// `POST multipart`
pub(crate) async fn create(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let body = inbound.body.read_whole(MAX_BODY_BYTES).await?;
    let file = NewFile::from_body(&body, within(context))?;
    let (bucket, key) = (file.bucket.clone(), file.key.clone());
    let id = Steps::of(context)?.create(file).await?;
    let answer = json!({
        "key": key.as_str(),
        "uploadId": id.to_string(),
        "bucket": bucket.as_str(),
    });
    Ok(reply::json(200, context.no_store(), &answer))
}

/// `GET multipart/{id}?key=`
pub(crate) async fn list(
    context: &Context,
    id: VersionId,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let session = Steps::of(context)?.parts(id, &key(inbound)?).await?;
    let parts: Vec<_> = session
        .parts
        .iter()
        .map(|part| json!({ "PartNumber": part.number, "ETag": part.etag, "Size": part.size }))
        .collect();
    Ok(reply::json(200, context.no_store(), &Value::from(parts)))
}

/// `GET multipart/{id}/{number}?key=`
pub(crate) async fn part(
    context: &Context,
    id: VersionId,
    number: u16,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let steps = Steps::of(context)?;
    let (url, expires) = steps.sign((id, number), &key(inbound)?, SIGNED_PART_SECONDS).await?;
    Ok(reply::json(200, context.no_store(), &json!({ "url": url, "expires": expires })))
}

/// `POST multipart/{id}/complete?key=`
pub(crate) async fn complete(
    context: &Context,
    id: VersionId,
    inbound: Inbound,
) -> Result<Response, Error> {
    let key = key(&inbound)?;
    let parts = parse::complete(&inbound.body.read_whole(MAX_PARTS_BYTES).await?)?;
    let (session, ..) = Steps::of(context)?.complete(id, &key, &parts).await?;
    let answer = json!({
        "location": stored::url(context, &session.bucket, &session.key),
        "bucket": session.bucket,
        "key": session.key,
    });
    Ok(reply::json(200, context.no_store(), &answer))
}

/// `DELETE multipart/{id}?key=`
pub(crate) async fn abort(
    context: &Context,
    id: VersionId,
    inbound: &Inbound,
) -> Result<Response, Error> {
    Steps::of(context)?.abort(id, &key(inbound)?).await?;
    Ok(reply::json(200, context.no_store(), &json!({})))
}

fn key(inbound: &Inbound) -> Result<String, Error> {
    let query = Query::parse(Some(&inbound.query))?;
    let key = query.get("key")?.map(str::to_owned);
    key.ok_or_else(|| {
        let message = "Send the key that the upload was answered with, as the parameter `key`";
        Error::new(Code::InvalidArgument, message)
    })
}
