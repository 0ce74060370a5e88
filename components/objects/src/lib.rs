//! `/v1/objects/{bucket}/{key...}`: what is done to objects apart from their bytes. One file an operation: parse,
//! call the step, render.
//!
//! A key is the rest of the path and may be any, so nothing stands behind it: what belongs to an object is told by the
//! query (`?versions`, `?tags`, `?metadata`), and what changes more than one is a document that is posted to the bucket.

mod annotate;
mod archive;
mod copy;
mod delete;
mod list;
mod operation;
mod rename;
mod stat;

use holdfast_core::error::{Code, Error};
use holdfast_core::names::{BucketName, ObjectKey};
use holdfast_platform::app::{Context, serve};
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::objects::Named;
use holdfast_platform::reply;
use holdfast_web::conditional::{EntityTags, Preconditions};
use holdfast_web::path::{Query, Target};
use http::Method;
use serde_json::Value;
use wasip3::http::types::{Request, Response};

const ROUTE: &str = "/v1/objects/";

/// What is posted to behind a bucket.
const ARCHIVE: &str = "archive";

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    serve(request, route).await
}

async fn route(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let target = Target::parse(&inbound.path, ROUTE)?;
    if target.key.is_empty() {
        inbound.allow(&["GET", "HEAD", "POST"])?;
        let bucket = BucketName::parse(&target.bucket)?;
        return match inbound.method {
            Method::POST => operation::post(context, &bucket, inbound).await,
            _ => of_bucket(context, &bucket, &inbound).await,
        };
    }
    // No other operation on one object is a POST.
    if target.key == ARCHIVE && inbound.method == Method::POST {
        return archive::post(context, &BucketName::parse(&target.bucket)?, inbound).await;
    }
    inbound.allow(&["GET", "HEAD", "PUT", "DELETE"])?;
    let (bucket, key) = (BucketName::parse(&target.bucket)?, ObjectKey::parse(&target.key)?);
    let query = Query::parse(Some(&inbound.query))?;
    let object = Named { bucket: &bucket, key: &key, caller: &context.caller };
    match inbound.method {
        Method::PUT => annotate::put(context, object, &query, inbound).await,
        Method::DELETE if query.get("tags")?.is_some() => {
            only(&query, &["tags"])?;
            annotate::delete_tags(context, object, &inbound).await
        }
        Method::DELETE => delete::one(context, object, &query, &inbound).await,
        _ => stat::get(context, object, &query, &inbound).await,
    }
}

/// `GET /v1/objects/{bucket}`
async fn of_bucket(
    context: &Context,
    bucket: &BucketName,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let query = Query::parse(Some(&inbound.query))?;
    context.caller.principal.require("Send a bearer token in the Authorization header to list")?;
    if let Some(id) = query.get("rename")? {
        only(&query, &["rename"])?;
        return rename::look(context, bucket, id, inbound).await;
    }
    if query.get("trash")?.is_some() {
        only(&query, &["trash", "cursor", "limit"])?;
        return list::trash(context, bucket, &query, inbound).await;
    }
    only(&query, &["prefix", "delimiter", "q", "order", "cursor", "limit"])?;
    list::objects(context, bucket, &query, inbound).await
}

/// The steps of this request.
fn catalog(context: &Context) -> PgCatalog<'_> {
    PgCatalog::new(&context.app.config.database_url)
}

/// Refuses a parameter that is none of these: one that is misspelled would do something else than was meant.
fn only(query: &Query, names: &[&str]) -> Result<(), Error> {
    match query.pairs().find(|(name, _)| !names.contains(name)) {
        None => Ok(()),
        Some((name, _)) => {
            let message = format!("There is no parameter {name:?} here: {}", names.join(", "));
            Err(Error::new(Code::InvalidArgument, message))
        }
    }
}

/// The one condition of a change. Another one is refused: to ignore it would change what the client wanted kept.
fn if_match(inbound: &Inbound) -> Result<Option<String>, Error> {
    let conditions = Preconditions::from_headers(&inbound.headers)?;
    if conditions.if_none_match.is_some() || conditions.if_unmodified_since.is_some() {
        let message = "This takes If-Match and no other condition";
        return Err(Error::new(Code::InvalidArgument, message));
    }
    conditions.if_match.as_ref().map(EntityTags::canonical).transpose()
}

/// The answer to GET, and to HEAD without its body.
fn answer(context: &Context, inbound: &Inbound, body: &Value) -> Response {
    if inbound.method == Method::HEAD {
        return reply::empty(200, &context.no_store());
    }
    reply::json(200, context.no_store(), body)
}
