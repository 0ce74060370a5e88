//! Templates themselves: made, listed, read, changed and deleted.

use holdfast_core::error::{Code, Error};
use holdfast_core::names::VersionId;
use holdfast_core::ports::Clock as _;
use holdfast_core::timestamp::rfc3339;
use holdfast_platform::app::Context;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::clock::{WasiClock, random_bytes};
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_platform::templates::{Action, Whose};
use holdfast_web::conditional::{EntityTags, Preconditions};
use holdfast_web::idempotency::{IDEMPOTENT_REPLAYED, IdempotencyKey};
use holdfast_web::page::Page;
use holdfast_web::path::Query;
use holdfast_web::template_request::{MAX_BODY_BYTES, NewTemplate, TemplatePatch};
use http::HeaderValue;
use http::header::LOCATION;
use serde_json::json;
use wasip3::http::types::Response;

use crate::{ROUTE, render};

/// `POST /v1/templates`
pub(crate) async fn create(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let key = IdempotencyKey::from_headers(&inbound.headers)?;
    let body = inbound.body.read_whole(MAX_BODY_BYTES).await?;
    let new = NewTemplate::parse(&body)?;
    let once = key.map(|key| key.of_json(ROUTE, &body)).transpose()?;
    let id = VersionId::generate(WasiClock.now(), &random_bytes());
    let catalog = catalog(context);
    let made = catalog.create_template(id, &new.name, &new.data, once.as_ref(), &context.caller);
    let (template, repeated) = made.await?;
    let mut headers = render::headers(context, &template)?;
    let location = format!("{}{ROUTE}/{}", context.app.config.public_url, template.id);
    headers.insert(LOCATION, HeaderValue::try_from(location).map_err(Error::internal)?);
    if repeated {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(reply::json(201, headers, &render::template(context, &template)))
}

/// `GET /v1/templates`
pub(crate) async fn list(context: &Context, inbound: &Inbound) -> Result<Response, Error> {
    let query = Query::parse(Some(&inbound.query))?;
    let whose = match (query.get("owner")?, query.get("all")?) {
        (None, None | Some("false")) => Whose::Mine,
        (Some(owner), None | Some("false")) if !owner.is_empty() => Whose::Of(owner.to_owned()),
        (None, Some("true")) => Whose::All,
        _ => {
            let message = "owner is a name, all is true or false, and they do not go together";
            return Err(Error::new(Code::InvalidArgument, message));
        }
    };
    let page = Page::parse(&query)?;
    let catalog = catalog(context);
    let found =
        catalog.list_templates(&whose, page.before.as_deref(), page.wanted(), &context.caller);
    let mut found = found.await?;
    let next = page.cut(&mut found, |template| &template.id);
    let found: Vec<_> = found.iter().map(|it| render::template(context, it)).collect();
    let body = json!({ "templates": found, "cursor": next });
    Ok(render::read(&inbound.method, context.no_store(), &body))
}

/// `GET /v1/templates/{id}`
pub(crate) async fn get(
    context: &Context,
    id: VersionId,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let found = catalog(context).find_template(id, Action::Read, &context.caller).await?;
    let headers = render::headers(context, &found)?;
    Ok(render::read(&inbound.method, headers, &render::template(context, &found)))
}

/// `PATCH /v1/templates/{id}`
pub(crate) async fn update(
    context: &Context,
    id: VersionId,
    inbound: Inbound,
) -> Result<Response, Error> {
    let if_match = if_match(&inbound)?;
    let patch = TemplatePatch::parse(&inbound.body.read_whole(MAX_BODY_BYTES).await?)?;
    let (name, data) = (patch.name.as_deref(), patch.data.as_ref());
    let catalog = catalog(context);
    let updated =
        catalog.update_template(id, name, data, if_match.as_deref(), &context.caller).await?;
    let headers = render::headers(context, &updated)?;
    Ok(reply::json(200, headers, &render::template(context, &updated)))
}

/// `DELETE /v1/templates/{id}`
pub(crate) async fn delete(
    context: &Context,
    id: VersionId,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let if_match = if_match(inbound)?;
    let catalog = catalog(context);
    let deleted = catalog.delete_template(id, if_match.as_deref(), &context.caller).await?;
    let background = deleted.background.map(|version| {
        json!({ "version": version, "purgeAfter": deleted.purge_after_us.and_then(rfc3339) })
    });
    let body = json!({
        "id": id.to_string(),
        "deletedAt": rfc3339(deleted.deleted_at_us),
        "background": background,
    });
    Ok(reply::json(200, context.no_store(), &body))
}

/// The one condition of a change. Another one is refused: to ignore it would change what the client wanted kept.
fn if_match(inbound: &Inbound) -> Result<Option<String>, Error> {
    let conditions = Preconditions::from_headers(&inbound.headers)?;
    if conditions.if_none_match.is_some() || conditions.if_unmodified_since.is_some() {
        let message = "A template takes If-Match and no other condition";
        return Err(Error::new(Code::InvalidArgument, message));
    }
    conditions.if_match.as_ref().map(EntityTags::canonical).transpose()
}

fn catalog(context: &Context) -> PgCatalog<'_> {
    PgCatalog::new(&context.app.config.database_url)
}
