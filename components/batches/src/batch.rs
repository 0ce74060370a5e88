//! Batches themselves: made, listed, watched and deleted.

use std::time::Duration;

use holdfast_core::batch::{Batch, BatchId, MAX_WAIT_SECONDS};
use holdfast_core::error::{Code, Error};
use holdfast_core::names::VersionId;
use holdfast_core::ports::Clock as _;
use holdfast_core::timestamp::rfc3339;
use holdfast_platform::app::Context;
use holdfast_platform::batches::Batches;
use holdfast_platform::clock::{WasiClock, random_bytes};
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_web::batch_request::{BatchRequest, MAX_BODY_BYTES};
use holdfast_web::conditional::{ETag, Preconditions};
use holdfast_web::idempotency::{IDEMPOTENT_REPLAYED, IdempotencyKey};
use holdfast_web::page::Page;
use holdfast_web::path::Query;
use http::header::{ETAG, LOCATION};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use wasip3::http::types::Response;

use crate::BATCHES;

/// How often a request that waits looks for progress: soon at first, and then less and less.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// `POST /v1/batches`
pub(crate) async fn create(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let key = IdempotencyKey::from_headers(&inbound.headers)?;
    let body = inbound.body.read_whole(MAX_BODY_BYTES).await?;
    let idempotency = key.map(|key| key.of_json(BATCHES, &body)).transpose()?;
    let asked = BatchRequest::parse(&body)?;
    let id = BatchId::new(VersionId::generate(WasiClock.now(), &random_bytes()));
    let batches = open(context).await?;
    let (id, repeated) = batches.create(id, &asked, idempotency.as_ref()).await?;
    let batch = batches.get(id).await?;
    let mut headers = headers(context, &batch)?;
    let location = HeaderValue::try_from(url(context, &batch.id)).map_err(Error::internal)?;
    headers.insert(LOCATION, location);
    if repeated {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(reply::json(201, headers, &shown(context, &batch)?))
}

/// `GET /v1/batches`
pub(crate) async fn list(context: &Context, inbound: &Inbound) -> Result<Response, Error> {
    let query = Query::parse(Some(&inbound.query))?;
    let page = Page::parse(&query)?;
    let owner = query.get("owner")?.filter(|owner| !owner.is_empty());
    let batches = open(context).await?;
    let mut found = batches.list(owner, page.before.as_deref(), page.wanted()).await?;
    let next = page.cut(&mut found, |batch| &batch.id);
    if inbound.method == http::Method::HEAD {
        return Ok(reply::empty(200, &context.no_store()));
    }
    let found: Vec<_> =
        found.iter().map(|batch| shown(context, batch)).collect::<Result<_, _>>()?;
    Ok(reply::json(200, context.no_store(), &json!({ "batches": found, "cursor": next })))
}

/// `GET /v1/batches/{id}`: with `wait` and If-None-Match it answers once there is other progress than the client knows.
pub(crate) async fn get(
    context: &Context,
    id: BatchId,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let query = Query::parse(Some(&inbound.query))?;
    let wait = query.get("wait")?.map_or(Ok(0), seconds)?;
    let conditions = Preconditions::from_headers(&inbound.headers)?;
    let end = WasiClock.now() + Duration::from_secs(wait);
    let mut look = FIRST_LOOK;
    loop {
        // The connection goes back before it waits.
        let batch = open(context).await?.get(id).await?;
        let etag = ETag::strong(&batch.etag());
        let known = conditions.if_none_match.as_ref().is_some_and(|tags| tags.match_weakly(&etag));
        if !known {
            if inbound.method == http::Method::HEAD {
                return Ok(reply::empty(200, &headers(context, &batch)?));
            }
            return Ok(reply::json(200, headers(context, &batch)?, &shown(context, &batch)?));
        }
        let left = Duration::try_from(end - WasiClock.now()).unwrap_or_default();
        if left.is_zero() {
            return Ok(reply::empty(304, &headers(context, &batch)?));
        }
        WasiClock.sleep(look.min(left)).await;
        look = (look * 2).min(LAST_LOOK);
    }
}

/// `DELETE /v1/batches/{id}`
pub(crate) async fn delete(context: &Context, id: BatchId) -> Result<Response, Error> {
    open(context).await?.delete(id).await?;
    Ok(reply::empty(204, &context.no_store()))
}

/// Steps on batches as the caller.
pub(crate) async fn open(context: &Context) -> Result<Batches<'_>, Error> {
    Batches::open(&context.app.config.database_url, &context.caller).await
}

fn seconds(text: &str) -> Result<u64, Error> {
    let wait = text.parse().ok().filter(|wait| *wait <= MAX_WAIT_SECONDS);
    wait.ok_or_else(|| {
        let message = format!("wait is a number of seconds from 0 to {MAX_WAIT_SECONDS}");
        Error::new(Code::InvalidArgument, message)
    })
}

fn url(context: &Context, id: &str) -> String {
    format!("{}{BATCHES}/{id}", context.app.config.public_url)
}

fn headers(context: &Context, batch: &Batch) -> Result<HeaderMap, Error> {
    let mut headers = context.no_store();
    let etag = ETag::strong(&batch.etag()).to_string();
    headers.insert(ETAG, HeaderValue::try_from(etag).map_err(Error::internal)?);
    Ok(headers)
}

fn shown(context: &Context, batch: &Batch) -> Result<Value, Error> {
    let url = url(context, &batch.id);
    let mut shown = json!({
        "id": batch.id,
        "owner": batch.owner,
        "name": batch.name,
        "templateId": batch.template_id,
        "status": batch.status,
        "expected": batch.expected,
        "progress": batch.progress(),
        "counts": {
            "pending": batch.pending(),
            "rendering": batch.rendering,
            "complete": batch.complete,
            "failed": batch.failed,
        },
        "createdAt": rfc3339(batch.created_at_us),
        "endedAt": batch.ended_at_us.and_then(rfc3339),
        "records": format!("{url}/records"),
        "archive": format!("{url}/archive"),
        "url": url,
    });
    if let Some(data) = &batch.data {
        shown["data"] = serde_json::from_str(data).map_err(Error::internal)?;
    }
    Ok(shown)
}
