//! `/v1/tus`: uploads that go on where they stopped, for any client of TUS 1.0.0. Below `/v1/t/{token}` an upload token
//! stands for a bearer token.

mod create;
mod render;
mod upload;

use holdfast_core::checksum::Algorithm;
use holdfast_core::error::Error;
use holdfast_core::limits::MAX_OBJECT_BYTES;
use holdfast_core::stream::{Budget, Streamer};
use holdfast_platform::app::{Context, Front, serve_with};
use holdfast_platform::blobs::S3Blobs;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::clock::WasiClock;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_web::tus::{
    self, EXTENSIONS, Resource, TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE, TUS_RESUMABLE,
    TUS_VERSION, VERSION,
};
use http::{HeaderMap, HeaderValue};
use wasip3::http::types::{Method, Request, Response};

/// `423 Locked`: not now, and later again.
const LOCKED: u16 = 423;

thread_local! {
    /// Of all requests of this instance.
    static BUDGET: &'static Budget = Box::leak(Box::default());
}

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    let version = HeaderValue::from_static(VERSION);
    // `Tus-Version` is asked for where ours is not theirs; it does no harm elsewhere.
    let headers = HeaderMap::from_iter([(TUS_RESUMABLE, version.clone()), (TUS_VERSION, version)]);
    let asks_for_offset = matches!(request.get_method(), Method::Head);
    let response =
        serve_with(request, Front { by_token: true, headers, open_options: true }, route).await;
    // Clients that take a HEAD without an offset for the end of an upload begin anew, tus-js-client among them, and lose
    // what is there. Of all refusals this one alone makes them ask again.
    if asks_for_offset && matches!(response.get_status_code(), 409 | 429 | 500..) {
        // One of the statuses that there are.
        let _ = response.set_status_code(LOCKED);
    }
    response
}

async fn route(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let resource = Resource::parse(&inbound.path)?;
    let method = tus::method(&inbound.method, &inbound.headers)?;
    let inbound = Inbound { method, ..inbound };
    inbound.allow(match resource {
        Resource::Uploads => &["OPTIONS", "POST"],
        Resource::Upload(_) => &["OPTIONS", "HEAD", "PATCH", "DELETE"],
    })?;
    if inbound.method.as_str() == "OPTIONS" {
        return options(context);
    }
    tus::check_version(&inbound.headers)?;
    context.caller.principal.require("Send a bearer token in the Authorization header")?;
    match (resource, inbound.method.as_str()) {
        (Resource::Uploads, _) => create::create(context, inbound).await,
        (Resource::Upload(id), "PATCH") => upload::append(context, id, inbound).await,
        (Resource::Upload(id), "DELETE") => upload::terminate(context, id).await,
        (Resource::Upload(id), _) => upload::status(context, id).await,
    }
}

/// What of the protocol is here.
fn options(context: &Context) -> Result<Response, Error> {
    let mut headers = context.headers();
    headers.insert(TUS_EXTENSION, HeaderValue::from_static(EXTENSIONS));
    headers.insert(TUS_MAX_SIZE, HeaderValue::from(MAX_OBJECT_BYTES));
    let algorithms = Algorithm::ALL.map(Algorithm::as_str).join(",");
    let algorithms = HeaderValue::try_from(algorithms).map_err(Error::internal)?;
    headers.insert(TUS_CHECKSUM_ALGORITHM, algorithms);
    Ok(reply::empty(204, &headers))
}

/// The steps of one request.
struct Steps<'a> {
    catalog: PgCatalog<'a>,
    blobs: S3Blobs<'a>,
    budget: &'static Budget,
}

impl<'a> Steps<'a> {
    fn of(context: &'a Context) -> Result<Self, Error> {
        let catalog = PgCatalog::new(&context.app.config.database_url);
        Ok(Self { catalog, blobs: context.app.blobs()?, budget: BUDGET.with(|budget| *budget) })
    }

    fn streamer(&self) -> Streamer<'_, PgCatalog<'a>, S3Blobs<'a>, WasiClock> {
        let Self { catalog, blobs, budget } = self;
        Streamer { catalog, blobs, clock: &WasiClock, budget }
    }
}
