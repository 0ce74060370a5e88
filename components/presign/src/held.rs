//! `/v1/shares` and `/v1/tokens`: what opens something for whoever holds it, made, listed and revoked.

use holdfast_core::error::Error;
use holdfast_core::names::VersionId;
use holdfast_core::ports::Clock as _;
use holdfast_platform::app::Context;
use holdfast_platform::clock::{WasiClock, random_bytes};
use holdfast_platform::inbound::Inbound;
use holdfast_platform::{grants, reply};
use holdfast_web::grant_request::{MAX_BODY_BYTES, ShareRequest, TokenRequest};
use holdfast_web::link::{self, Secret};
use http::HeaderValue;
use http::header::LOCATION;
use wasip3::http::types::Response;

use crate::{SHARES, TOKENS, authenticated, list, missing, revoke};

/// One of the two.
pub(crate) struct Kind {
    kinds: &'static [&'static str],
    route: &'static str,
}

/// Share links.
pub(crate) const SHARE: Kind = Kind { kinds: &["share"], route: SHARES };

/// Upload tokens.
pub(crate) const TOKEN: Kind = Kind { kinds: &["token"], route: TOKENS };

pub(crate) async fn route(
    context: &Context,
    inbound: Inbound,
    (id, verb): (Option<&str>, Option<&str>),
    kind: &Kind,
) -> Result<Response, Error> {
    if verb.is_some() {
        return Err(missing());
    }
    inbound.allow(if id.is_some() { &["DELETE"] } else { &["GET", "HEAD", "POST"] })?;
    authenticated(context)?;
    let is_share = kind.route == SHARES;
    match (id, inbound.method.as_str()) {
        (Some(id), _) => revoke(context, id, kind.kinds).await,
        (None, "POST") => create(context, inbound, kind).await,
        (None, _) if is_share => {
            list::page(context, &inbound, kind.kinds, "shares", list::share).await
        }
        (None, _) => list::page(context, &inbound, kind.kinds, "tokens", list::token).await,
    }
}

/// Answers with what opens it: here, and never again.
async fn create(context: &Context, inbound: Inbound, kind: &Kind) -> Result<Response, Error> {
    let body = inbound.body.read_whole(MAX_BODY_BYTES).await?;
    // A UUIDv7 too, so that grants are listed by their age.
    let id = VersionId::generate(WasiClock.now(), &random_bytes());
    let (text, secret) = Secret::generate(random_bytes());
    let config = &context.app.config;
    let (url, caller) = (&config.database_url, &context.caller);
    let answer = if kind.route == SHARES {
        let asked = ShareRequest::parse(&body)?;
        let shown = grants::create_share(url, id, secret, &asked, caller).await?;
        let mut answer = list::share(shown)?;
        answer["url"] = format!("{}{}{text}", config.public_url, link::SHARES).into();
        answer
    } else {
        let asked = TokenRequest::parse(&body)?;
        let shown = grants::create_token(url, id, secret, &asked, caller).await?;
        let mut answer = list::token(shown)?;
        let route = format!("{}{}{text}/upload/", config.public_url, link::TOKENS);
        answer["url"] = format!("{route}{}", asked.bucket).into();
        answer["token"] = text.into();
        answer
    };
    let mut headers = context.no_store();
    let location = format!("{}{}/{id}", config.public_url, kind.route);
    headers.insert(LOCATION, HeaderValue::try_from(location).map_err(Error::internal)?);
    Ok(reply::json(201, headers, &answer))
}
