//! `/v1/shares` and `/v1/tokens`: what opens something for whoever holds it, made, listed and revoked.

use holdfast_core::error::{Code, Error};
use holdfast_core::names::VersionId;
use holdfast_core::ports::{Clock as _, Idempotency};
use holdfast_platform::app::Context;
use holdfast_platform::clock::{WasiClock, random_bytes};
use holdfast_platform::grants::{Made, Making, Shown};
use holdfast_platform::inbound::Inbound;
use holdfast_platform::{grants, reply};
use holdfast_web::grant_request::{MAX_BODY_BYTES, ShareRequest, TokenRequest};
use holdfast_web::idempotency::{IDEMPOTENT_REPLAYED, IdempotencyKey};
use holdfast_web::link::{self, Secret};
use http::HeaderValue;
use http::header::LOCATION;
use serde_json::Value;
use wasip3::http::types::Response;

use crate::{SHARES, TOKENS, authenticated, list, missing, revoke};

/// One of the two.
pub(crate) struct Kind {
    /// As the database has it.
    name: &'static str,
    route: &'static str,
    /// The member of a page.
    listed: &'static str,
    show: fn(Shown) -> Result<Value, Error>,
}

/// Share links.
pub(crate) const SHARE: Kind =
    Kind { name: "share", route: SHARES, listed: "shares", show: list::share };

/// Upload tokens.
pub(crate) const TOKEN: Kind =
    Kind { name: "token", route: TOKENS, listed: "tokens", show: list::token };

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
    match (id, inbound.method.as_str()) {
        (Some(id), _) => revoke(context, id, &[kind.name]).await,
        (None, "POST") => create(context, inbound, kind).await,
        (None, _) => list::page(context, &inbound, &[kind.name], kind.listed, kind.show).await,
    }
}

/// Answers with what opens it: here, and to whoever repeats the request under its Idempotency-Key.
async fn create(context: &Context, inbound: Inbound, kind: &Kind) -> Result<Response, Error> {
    let key = IdempotencyKey::from_headers(&inbound.headers)?;
    let body = inbound.body.read_whole(MAX_BODY_BYTES).await?;
    let idempotency = key.map(|key| key.of_json(kind.route, &body)).transpose()?;
    // A UUIDv7 too, so that grants are listed by their age.
    let id = VersionId::generate(WasiClock.now(), &random_bytes());
    let (text, secret) = secret(context, kind, idempotency.as_ref(), &id.to_string())?;
    let making = Making { id, secret, idempotency: idempotency.as_ref() };
    let config = &context.app.config;
    let (url, caller) = (&config.database_url, &context.caller);
    let Made { shown, hash, repeated } = if kind.route == SHARES {
        grants::create_share(url, &making, &ShareRequest::parse(&body)?, caller).await?
    } else {
        grants::create_token(url, &making, &TokenRequest::parse(&body)?, caller).await?
    };
    let text = if repeated {
        opened_by(context, kind, idempotency.as_ref(), &shown.id, &hash)?
    } else {
        text
    };
    let (id, bucket) = (shown.id.clone(), shown.bucket.clone());
    let mut answer = (kind.show)(shown)?;
    if kind.route == SHARES {
        answer["url"] = format!("{}{}{text}", config.public_url, link::SHARES).into();
    } else {
        let route = format!("{}{}{text}/upload/", config.public_url, link::TOKENS);
        answer["url"] = format!("{route}{bucket}").into();
        answer["token"] = text.into();
    }
    let mut headers = context.no_store();
    let location = format!("{}{}/{id}", config.public_url, kind.route);
    headers.insert(LOCATION, HeaderValue::try_from(location).map_err(Error::internal)?);
    if repeated {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(reply::json(201, headers, &answer))
}

/// What opens the grant of this id: random, or, where the request may be repeated, what can be told again.
fn secret(
    context: &Context,
    kind: &Kind,
    idempotency: Option<&Idempotency>,
    id: &str,
) -> Result<(String, Secret), Error> {
    let Some(Idempotency { key, .. }) = idempotency else {
        return Ok(Secret::generate(random_bytes()));
    };
    let sub = &context.caller.principal.sub;
    Ok(Secret::derive(context.app.url_secret()?, kind.name, sub, key, id))
}

/// What opens the grant that an earlier request made, of which only a hash was kept.
fn opened_by(
    context: &Context,
    kind: &Kind,
    idempotency: Option<&Idempotency>,
    id: &str,
    hash: &str,
) -> Result<String, Error> {
    let (text, secret) = secret(context, kind, idempotency, id)?;
    if secret.hex() == hash {
        return Ok(text);
    }
    // `url_secret` is another one than it was.
    let message = "What the first request was answered can not be told again; revoke it and send a new Idempotency-Key";
    Err(Error::new(Code::IdempotencyKeyReused, message).rule("idempotency-key"))
}
