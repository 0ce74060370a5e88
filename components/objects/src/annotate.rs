//! `PUT ...?tags`, `PUT ...?metadata`, `DELETE ...?tags`: what is said of an object besides its bytes.

use holdfast_core::error::{Code, Error};
use holdfast_platform::app::Context;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::objects::Named;
use holdfast_platform::reply;
use holdfast_web::path::Query;
use holdfast_web::tags::Tags;
use holdfast_web::{metadata, tags};
use serde_json::{Value, json};
use wasip3::http::types::Response;

use crate::{catalog, if_match, only};

/// Longest body, in bytes: the limits of both, each character written as an escape.
const MAX_BODY_BYTES: usize = 64 * 1_024;

pub(crate) async fn put(
    context: &Context,
    object: Named<'_>,
    query: &Query,
    inbound: Inbound,
) -> Result<Response, Error> {
    authenticated(context)?;
    let condition = if_match(&inbound)?;
    let is_tags = query.get("tags")?.is_some();
    only(query, if is_tags { &["tags"] } else { &["metadata"] })?;
    if !is_tags && query.get("metadata")?.is_none() {
        let message = "PUT takes ?tags or ?metadata here; bytes are sent to /v1/upload";
        return Err(Error::new(Code::InvalidArgument, message));
    }
    let body = inbound.body.read_whole(MAX_BODY_BYTES).await?;
    if is_tags {
        let tags = tags::parse(&body)?;
        let version = store(context, object, Some(&tags), None, condition).await?;
        return Ok(said(context, object, &version, "tags", json!(tags)));
    }
    let members = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("The body is a JSON object of strings: {error}");
        Error::new(Code::InvalidArgument, message)
    })?;
    let metadata = metadata::from_json(members)?;
    let version = store(context, object, None, Some(&metadata), condition).await?;
    Ok(said(context, object, &version, "metadata", json!(metadata)))
}

pub(crate) async fn delete_tags(
    context: &Context,
    object: Named<'_>,
    inbound: &Inbound,
) -> Result<Response, Error> {
    authenticated(context)?;
    store(context, object, Some(&Tags::new()), None, if_match(inbound)?).await?;
    Ok(reply::empty(204, &context.no_store()))
}

async fn store(
    context: &Context,
    object: Named<'_>,
    tags: Option<&Tags>,
    metadata: Option<&Tags>,
    condition: Option<String>,
) -> Result<String, Error> {
    catalog(context).annotate(object, tags, metadata, condition.as_deref()).await
}

fn said(context: &Context, object: Named<'_>, version: &str, name: &str, value: Value) -> Response {
    let body = json!({
        "bucket": object.bucket.as_str(),
        "key": object.key.as_str(),
        "version": version,
        name: value,
    });
    reply::json(200, context.headers(), &body)
}

fn authenticated(context: &Context) -> Result<(), Error> {
    let principal = &context.caller.principal;
    principal.require("Send a bearer token in the Authorization header to change this")
}
