//! `GET /v1/objects/{bucket}/{key...}`: what is known of an object; its versions, its tags.

use holdfast_core::error::Error;
use holdfast_platform::app::Context;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::objects::Named;
use holdfast_platform::stored;
use holdfast_web::listing::Versions;
use holdfast_web::path::Query;
use serde_json::json;
use wasip3::http::types::Response;

use crate::{answer, catalog, only};

pub(crate) async fn get(
    context: &Context,
    object: Named<'_>,
    query: &Query,
    inbound: &Inbound,
) -> Result<Response, Error> {
    if query.get("versions")?.is_some() {
        only(query, &["versions", "cursor", "limit"])?;
        return versions(context, object, query, inbound).await;
    }
    only(query, &["tags"])?;
    let stat = catalog(context).stat(object).await?;
    if query.get("tags")?.is_some() {
        return Ok(answer(context, inbound, &stat.tags));
    }
    let mut body = serde_json::to_value(stat).map_err(Error::internal)?;
    body["bucket"] = object.bucket.as_str().into();
    body["key"] = object.key.as_str().into();
    body["url"] = stored::url(context, object.bucket.as_str(), object.key.as_str()).into();
    Ok(answer(context, inbound, &body))
}

/// A page of versions, the last begun first.
async fn versions(
    context: &Context,
    object: Named<'_>,
    query: &Query,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let page = Versions::parse(query)?;
    let mut found = catalog(context).versions(object, &page).await?;
    let next = page.cut(&mut found, |version| version.version.clone())?;
    let (bucket, key) = (object.bucket.as_str(), object.key.as_str());
    let body = json!({ "bucket": bucket, "key": key, "versions": found, "cursor": next });
    Ok(answer(context, inbound, &body))
}
