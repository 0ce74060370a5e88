//! `/v1/multipart`: large files in parts, in any order and by many connections, that go on after anything broke.

mod render;
mod session;
mod sign;

use holdfast_core::error::Error;
use holdfast_core::multipart::Multipart;
use holdfast_platform::app::{Context, serve};
use holdfast_platform::blobs::S3Blobs;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::clock::WasiClock;
use holdfast_platform::inbound::Inbound;
use holdfast_web::multipart::Resource;
use wasip3::http::types::{Request, Response};

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    serve(request, route).await
}

async fn route(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let resource = Resource::parse(&inbound.path)?;
    inbound.allow(match resource {
        Resource::Sessions => &["GET", "HEAD", "POST"],
        Resource::Session(_) => &["GET", "HEAD", "DELETE"],
        Resource::Part(..) => &["PUT"],
        Resource::Complete(_) | Resource::Resume(_) | Resource::Sign(_) => &["POST"],
    })?;
    context.caller.principal.require("Send a bearer token in the Authorization header")?;
    match (resource, inbound.method.as_str()) {
        (Resource::Sessions, "POST") => session::create(context, inbound).await,
        (Resource::Sessions, _) => session::list(context, &inbound).await,
        (Resource::Session(id), "DELETE") => session::abort(context, id).await,
        (Resource::Session(id), _) => session::status(context, id, &inbound).await,
        (Resource::Part(id, number), _) => session::part(context, id, number, inbound).await,
        (Resource::Complete(id), _) => session::complete(context, id, inbound).await,
        (Resource::Resume(id), _) => session::resume(context, id).await,
        (Resource::Sign(id), _) => sign::sign(context, id, inbound).await,
    }
}

/// The steps of one request.
struct Steps<'a> {
    catalog: PgCatalog<'a>,
    blobs: S3Blobs<'a>,
}

impl<'a> Steps<'a> {
    fn of(context: &'a Context) -> Result<Self, Error> {
        let catalog = PgCatalog::new(&context.app.config.database_url);
        Ok(Self { catalog, blobs: context.app.blobs()? })
    }

    fn multipart(&self) -> Multipart<'_, PgCatalog<'a>, S3Blobs<'a>, WasiClock> {
        Multipart { catalog: &self.catalog, blobs: &self.blobs, clock: &WasiClock }
    }
}
