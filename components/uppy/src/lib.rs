//! `/v1/uppy/s3`: what Uppy's plugin for S3 talks to, as Companion's routes or as a signer. Below `/v1/t/{token}` an
//! upload token stands for a bearer token.
//!
//! Nothing calls us after Uppy's last request, so whatever ends an upload leads to us: a form or a PUT goes to the
//! route of uploads, and CreateMultipartUpload, ListParts, CompleteMultipartUpload and AbortMultipartUpload come here,
//! in S3's own shapes. Only parts go straight to SeaweedFS, to the one key of an upload that the caller has begun.
//! Those URLs of ours carry an upload token, because Uppy sends no header with them.

mod check;
mod companion;
mod objects;
mod sign;
mod token;
mod upload;

use holdfast_core::error::Error;
use holdfast_platform::app::{Context, serve_by_token};
use holdfast_platform::inbound::Inbound;
use holdfast_web::uppy::{Resource, Within};
use wasip3::http::types::{Request, Response};

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    serve_by_token(request, route).await
}

async fn route(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let resource = Resource::parse(&inbound.path)?;
    inbound.allow(match resource {
        Resource::Params | Resource::Part(..) | Resource::Check => &["GET"],
        Resource::Uploads | Resource::Complete(_) | Resource::Sign => &["POST"],
        Resource::Upload(_) => &["GET", "DELETE"],
        Resource::Object(..) => &["GET", "POST", "DELETE"],
    })?;
    context.caller.principal.require("Send a bearer token, or use an upload token in the path")?;
    match (resource, inbound.method.as_str()) {
        (Resource::Params, _) => companion::params(context, &inbound).await,
        (Resource::Uploads, _) => companion::create(context, inbound).await,
        (Resource::Upload(id), "DELETE") => companion::abort(context, id, &inbound).await,
        (Resource::Upload(id), _) => companion::list(context, id, &inbound).await,
        (Resource::Part(id, number), _) => companion::part(context, id, number, &inbound).await,
        (Resource::Complete(id), _) => companion::complete(context, id, inbound).await,
        (Resource::Check, _) => check::check(context, &inbound).await,
        (Resource::Sign, _) => sign::sign(context, inbound).await,
        (Resource::Object(bucket, key), _) => objects::route(context, bucket, key, inbound).await,
    }
}

/// What the token in the path reaches; without one, all that its caller names.
fn within(context: &Context) -> Within<'_> {
    context.reach.as_ref().map_or_else(Within::default, |reach| Within {
        bucket: Some(&reach.bucket),
        prefix: &reach.prefix,
    })
}
