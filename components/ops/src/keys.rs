//! `/v1/keys`: API keys, made, listed and revoked.

use holdfast_core::error::{Code, Error};
use holdfast_core::names::VersionId;
use holdfast_core::ports::Clock as _;
use holdfast_platform::api_keys::{self, NewKey};
use holdfast_platform::app::Context;
use holdfast_platform::clock::{WasiClock, random_bytes};
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_web::api_key::ApiKey;
use holdfast_web::key_request::{KeyRequest, MAX_BODY_BYTES};
use holdfast_web::page::Page;
use holdfast_web::path::Query;
use http::HeaderValue;
use http::header::LOCATION;
use serde_json::json;
use uuid::Uuid;
use wasip3::http::types::Response;

/// What the paths begin with.
pub(crate) const ROUTE: &str = "/v1/keys";

/// Answers a request whose path begins with [`ROUTE`].
pub(crate) async fn handle(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let path = inbound.path.clone();
    let id = match path.strip_prefix(ROUTE) {
        Some("") => None,
        Some(rest) => Some(rest.strip_prefix('/').filter(|id| !id.is_empty()).ok_or_else(missing)?),
        None => return Err(missing()),
    };
    inbound.allow(if id.is_some() { &["DELETE"] } else { &["GET", "HEAD", "POST"] })?;
    let principal = &context.caller.principal;
    principal.require("Send a bearer token in the Authorization header")?;
    match (id, inbound.method.as_str()) {
        (Some(id), _) => revoke(context, id).await,
        (None, "POST") => create(context, inbound).await,
        (None, _) => list(context, &inbound).await,
    }
}

fn missing() -> Error {
    Error::new(Code::NoSuchRoute, "There is no such route")
}

async fn create(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let request = KeyRequest::parse(&inbound.body.read_whole(MAX_BODY_BYTES).await?)?;
    // A UUIDv7 too, so that keys are listed by their age.
    let id = VersionId::generate(WasiClock.now(), &random_bytes());
    let (text, key) = ApiKey::generate(id.to_bytes(), random_bytes());
    let caller = &context.caller;
    let new = NewKey {
        name: &request.name,
        owner: request.owner.as_deref().unwrap_or(&caller.principal.sub),
        roles: &request.roles,
        scopes: &request.scopes,
        seconds: request.seconds,
    };
    let config = &context.app.config;
    let shown = api_keys::create(&config.database_url, &key, &new, caller).await?;
    let mut headers = context.no_store();
    let location = format!("{}{ROUTE}/{}", config.public_url, shown.id);
    headers.insert(LOCATION, HeaderValue::try_from(location).map_err(Error::internal)?);
    let mut answer = serde_json::to_value(shown).map_err(Error::internal)?;
    // Here, and never again.
    answer["key"] = text.into();
    Ok(reply::json(201, headers, &answer))
}

async fn list(context: &Context, inbound: &Inbound) -> Result<Response, Error> {
    let query = Query::parse(Some(&inbound.query))?;
    let owner = query.get("owner")?.unwrap_or(&context.caller.principal.sub);
    if owner.is_empty() || owner.chars().any(char::is_control) {
        return Err(Error::new(Code::InvalidArgument, "owner is a subject"));
    }
    let page = Page::parse(&query)?;
    let url = &context.app.config.database_url;
    let before = page.before.as_deref();
    let mut keys = api_keys::list(url, owner, before, page.wanted(), &context.caller).await?;
    let next = page.cut(&mut keys, |key| &key.id);
    let answer = json!({ "keys": keys, "cursor": next });
    if inbound.method == http::Method::HEAD {
        return Ok(reply::empty(200, &context.no_store()));
    }
    Ok(reply::json(200, context.no_store(), &answer))
}

async fn revoke(context: &Context, id: &str) -> Result<Response, Error> {
    // What is no id names no key.
    let id = Uuid::try_parse(id)
        .map_err(|_| Error::new(Code::NoSuchApiKey, "There is no such API key"))?;
    api_keys::revoke(&context.app.config.database_url, &id.to_string(), &context.caller).await?;
    Ok(reply::empty(204, &context.no_store()))
}
