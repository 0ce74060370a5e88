//! `/v1/presign`: signed URLs, made in batches, listed and revoked; and the end of a presigned PUT. `/v1/shares` and
//! `/v1/tokens`: share links and upload tokens.

mod complete;
mod held;
mod list;
mod sign;

use holdfast_core::error::{Code, Error};
use holdfast_platform::app::{Context, serve};
use holdfast_platform::inbound::Inbound;
use holdfast_platform::{grants, reply};
use wasip3::http::types::{Request, Response};

/// What the paths of signed URLs begin with.
const PRESIGN: &str = "/v1/presign";

/// What the paths of share links begin with.
const SHARES: &str = "/v1/shares";

/// What the paths of upload tokens begin with.
const TOKENS: &str = "/v1/tokens";

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    serve(request, route).await
}

async fn route(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let path = inbound.path.clone();
    if let Some(rest) = path.strip_prefix(SHARES) {
        return held::route(context, inbound, split(rest)?, &held::SHARE).await;
    }
    if let Some(rest) = path.strip_prefix(TOKENS) {
        return held::route(context, inbound, split(rest)?, &held::TOKEN).await;
    }
    let rest = path.strip_prefix(PRESIGN).ok_or_else(missing)?;
    match split(rest)? {
        (None, _) => {
            inbound.allow(&["GET", "HEAD", "POST"])?;
            authenticated(context)?;
            if inbound.method == http::Method::POST {
                return sign::post(context, inbound).await;
            }
            list::signed_urls(context, &inbound).await
        }
        (Some(id), None) => {
            inbound.allow(&["DELETE"])?;
            authenticated(context)?;
            revoke(context, id, &["get", "put"]).await
        }
        (Some(id), Some("complete")) => {
            inbound.allow(&["POST"])?;
            complete::post(context, id, &inbound).await
        }
        _ => Err(missing()),
    }
}

/// What stands behind a route: an id, and what shall be done to it.
fn split(rest: &str) -> Result<(Option<&str>, Option<&str>), Error> {
    if rest.is_empty() {
        return Ok((None, None));
    }
    let rest = rest.strip_prefix('/').filter(|rest| !rest.is_empty()).ok_or_else(missing)?;
    Ok(match rest.split_once('/') {
        None => (Some(rest), None),
        Some((id, verb)) => (Some(id), Some(verb)),
    })
}

fn missing() -> Error {
    Error::new(Code::NoSuchRoute, "There is no such route")
}

fn authenticated(context: &Context) -> Result<(), Error> {
    context.caller.principal.require("Send a bearer token in the Authorization header")
}

async fn revoke(context: &Context, id: &str, kinds: &[&str]) -> Result<Response, Error> {
    grants::revoke(&context.app.config.database_url, id, kinds, &context.caller).await?;
    Ok(reply::empty(204, &context.no_store()))
}
