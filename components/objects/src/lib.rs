//! `/v1/objects/{bucket}/{key...}`: what is done to an object apart from its bytes. One file an operation: parse,
//! call the use case, render.

mod delete;

use holdfast_core::error::Error;
use holdfast_core::names::{BucketName, ObjectKey};
use holdfast_platform::app::{Context, serve};
use holdfast_platform::inbound::Inbound;
use holdfast_web::path::Target;
use wasip3::http::types::{Request, Response};

const ROUTE: &str = "/v1/objects/";

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    serve(request, route).await
}

async fn route(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    inbound.allow(&["DELETE"])?;
    delete::delete(context, &inbound).await
}

/// The object that the path names.
fn object(inbound: &Inbound) -> Result<(BucketName, ObjectKey), Error> {
    let target = Target::parse(&inbound.path, ROUTE)?;
    Ok((BucketName::parse(&target.bucket)?, ObjectKey::parse(&target.key)?))
}
