//! `GET /v1/buckets` and `GET /v1/buckets/{bucket}`: what the caller may see of them.

use holdfast_core::error::Error;
use holdfast_core::names::BucketName;
use holdfast_platform::app::Context;
use holdfast_platform::buckets::Shown;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_web::page::BucketPage;
use holdfast_web::path::Query;
use http::header::ETAG;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use wasip3::http::types::Response;

use crate::BELOW;

/// A page of buckets, by their names.
pub(crate) async fn list(context: &Context, inbound: &Inbound) -> Result<Response, Error> {
    let page = BucketPage::parse(&Query::parse(Some(&inbound.query))?)?;
    let catalog = PgCatalog::new(&context.app.config.database_url);
    let mut buckets =
        catalog.list_buckets(page.after.as_deref(), page.wanted(), &context.caller).await?;
    let next = page.cut(&mut buckets, |it| it["name"].as_str().unwrap_or_default());
    let answer = json!({ "buckets": buckets, "cursor": next });
    if inbound.method == Method::HEAD {
        return Ok(reply::empty(200, &context.no_store()));
    }
    Ok(reply::json(200, context.no_store(), &answer))
}

/// One bucket.
pub(crate) async fn show(
    context: &Context,
    inbound: &Inbound,
    bucket: &BucketName,
) -> Result<Response, Error> {
    let catalog = PgCatalog::new(&context.app.config.database_url);
    let shown = catalog.get_bucket(bucket.as_str(), &context.caller).await?;
    let headers = headers(context, &shown)?;
    if inbound.method == Method::HEAD {
        return Ok(reply::empty(200, &headers));
    }
    Ok(answer(context, 200, headers, shown.body))
}

/// What an answer with a bucket has.
pub(crate) fn headers(context: &Context, shown: &Shown) -> Result<HeaderMap, Error> {
    let mut headers = context.no_store();
    let etag = format!("\"{}\"", shown.etag);
    headers.insert(ETAG, HeaderValue::try_from(etag).map_err(Error::internal)?);
    Ok(headers)
}

/// A bucket, and where it is.
pub(crate) fn answer(
    context: &Context,
    status: u16,
    headers: HeaderMap,
    mut body: Value,
) -> Response {
    let name = body["name"].as_str().unwrap_or_default();
    body["url"] = format!("{}{BELOW}{name}", context.app.config.public_url).into();
    reply::json(status, headers, &body)
}
