//! `GET /v1/objects/{bucket}`: a page of its objects, or, with `?trash`, of what can be restored.

use holdfast_core::error::Error;
use holdfast_core::names::BucketName;
use holdfast_platform::app::Context;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::objects::{Entry, Trashed};
use holdfast_platform::stored;
use holdfast_web::listing::{ByTime, Listing, Order};
use holdfast_web::path::Query;
use serde_json::{Value, json};
use wasip3::http::types::Response;

use crate::{answer, catalog};

/// Objects and, with a delimiter, what several begin with; in one order.
pub(crate) async fn objects(
    context: &Context,
    bucket: &BucketName,
    query: &Query,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let page = Listing::parse(query)?;
    let mut found = catalog(context).list(bucket, &page, &context.caller).await?;
    let next = page.cut(&mut found, |entry| entry.last(page.order == Order::Newest))?;
    let shown = found.into_iter().map(|entry| show(context, bucket, entry));
    let shown = shown.collect::<Result<Vec<_>, _>>()?;
    let body = json!({ "bucket": bucket.as_str(), "objects": shown, "cursor": next });
    Ok(answer(context, inbound, &body))
}

fn show(context: &Context, bucket: &BucketName, entry: Entry) -> Result<Value, Error> {
    let mut shown = serde_json::to_value(&entry).map_err(Error::internal)?;
    if let Entry::Object(object) = entry {
        shown["url"] = stored::url(context, bucket.as_str(), &object.key).into();
    }
    Ok(shown)
}

/// The trash, the last deleted first.
pub(crate) async fn trash(
    context: &Context,
    bucket: &BucketName,
    query: &Query,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let page = ByTime::parse(query)?;
    let mut found = catalog(context).list_trash(bucket, &page, &context.caller).await?;
    let next = page.cut(&mut found, Trashed::last)?;
    let body = json!({ "bucket": bucket.as_str(), "trash": found, "cursor": next });
    Ok(answer(context, inbound, &body))
}
