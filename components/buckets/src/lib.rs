//! `/v1/buckets[/{bucket}[/adopt]]`: buckets, made, listed, shown, changed and deleted, and what lies in them already
//! registered. One file an operation: parse, call the use case, render.

mod adopt;
mod create;
mod delete;
mod show;
mod update;

use holdfast_core::error::{Code, Error};
use holdfast_core::names::BucketName;
use holdfast_platform::app::{Context, serve};
use holdfast_platform::inbound::Inbound;
use holdfast_web::path::Target;
use http::Method;
use wasip3::http::types::{Request, Response};

const ROUTE: &str = "/v1/buckets";

/// The same, with a bucket behind it.
const BELOW: &str = "/v1/buckets/";

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    serve(request, route).await
}

async fn route(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    if inbound.path == ROUTE {
        inbound.allow(&["GET", "HEAD", "POST"])?;
        authenticated(context)?;
        if inbound.method == Method::POST {
            return create::create(context, inbound).await;
        }
        return show::list(context, &inbound).await;
    }
    let Target { bucket, key } = Target::parse(&inbound.path, BELOW).map_err(|_| missing())?;
    match key.as_str() {
        "" if !inbound.path.ends_with('/') => {
            inbound.allow(&["GET", "HEAD", "PATCH", "DELETE"])?;
            authenticated(context)?;
            let bucket = BucketName::parse(&bucket)?;
            match inbound.method {
                Method::PATCH => update::update(context, inbound, &bucket).await,
                Method::DELETE => delete::delete(context, &inbound, bucket).await,
                _ => show::show(context, &inbound, &bucket).await,
            }
        }
        "adopt" => {
            inbound.allow(&["POST"])?;
            authenticated(context)?;
            adopt::adopt(context, inbound, BucketName::parse(&bucket)?).await
        }
        _ => Err(missing()),
    }
}

fn missing() -> Error {
    Error::new(Code::NoSuchRoute, "There is no such route")
}

fn authenticated(context: &Context) -> Result<(), Error> {
    context.caller.principal.require("Send a bearer token in the Authorization header")
}
