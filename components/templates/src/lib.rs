//! `/v1/templates`: templates, and the images behind them. One file a subject: parse, call, render.
//!
//! A background is the object `{id}/background` of the bucket templates and comes by the same write protocol as any
//! other upload, so whatever writes there (a presigned PUT, TUS, ...) is held to the same.

mod background;
mod record;
mod render;

use holdfast_core::error::{Code, Error};
use holdfast_core::names::VersionId;
use holdfast_platform::app::{Context, serve};
use holdfast_platform::inbound::Inbound;
use wasip3::http::types::{Request, Response};

/// What the paths begin with.
const ROUTE: &str = "/v1/templates";

/// The bucket of the backgrounds.
const BUCKET: &str = "templates";

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    serve(request, route).await
}

async fn route(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let path = inbound.path.clone();
    let rest = path.strip_prefix(ROUTE).ok_or_else(missing)?;
    let steps: Vec<_> = rest.split('/').skip(1).collect();
    let methods: &'static [&'static str] = match steps[..] {
        [] => &["GET", "HEAD", "POST"],
        [_] => &["GET", "HEAD", "PATCH", "DELETE"],
        [_, "background"] => &["GET", "HEAD", "PUT"],
        [_, "backgrounds"] => &["GET", "HEAD"],
        [_, "background", "restore"] => &["POST"],
        _ => return Err(missing()),
    };
    if !(rest.is_empty() || rest.starts_with('/')) || steps.first() == Some(&"") {
        return Err(missing());
    }
    inbound.allow(methods)?;
    context.caller.principal.require("Send a bearer token in the Authorization header")?;
    let Some(id) = steps.first() else {
        return match inbound.method.as_str() {
            "POST" => record::create(context, inbound).await,
            _ => record::list(context, &inbound).await,
        };
    };
    let id = template_id(id)?;
    match (&steps[1..], inbound.method.as_str()) {
        ([], "PATCH") => record::update(context, id, inbound).await,
        ([], "DELETE") => record::delete(context, id, &inbound).await,
        ([], _) => record::get(context, id, &inbound).await,
        (["background"], "PUT") => background::put(context, id, inbound).await,
        (["background"], _) => background::get(context, id).await,
        (["backgrounds"], _) => background::list(context, id, &inbound).await,
        _ => background::restore(context, id, inbound).await,
    }
}

fn missing() -> Error {
    Error::new(Code::NoSuchRoute, "There is no such route")
}

/// What is no id names no template.
fn template_id(text: &str) -> Result<VersionId, Error> {
    let message = "There is no such template, or it is not yours to see";
    VersionId::parse(text).map_err(|_| Error::new(Code::NoSuchTemplate, message))
}
