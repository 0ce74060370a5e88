//! `/v1/batches`: batches of cards, their records, their progress and their archive.

mod archive;
mod batch;
mod records;

use holdfast_core::batch::{BatchId, RecordId};
use holdfast_core::error::{Code, Error};
use holdfast_platform::app::{Context, serve};
use holdfast_platform::inbound::Inbound;
use holdfast_web::path::Target;
use wasip3::http::types::{Request, Response};

/// What the paths begin with.
const BATCHES: &str = "/v1/batches";

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    serve(request, route).await
}

async fn route(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let principal = &context.caller.principal;
    if inbound.path == BATCHES {
        inbound.allow(&["GET", "HEAD", "POST"])?;
        principal.require("Send a bearer token in the Authorization header")?;
        return match inbound.method.as_str() {
            "POST" => batch::create(context, inbound).await,
            _ => batch::list(context, &inbound).await,
        };
    }
    let target = Target::parse(&inbound.path, &format!("{BATCHES}/"))?;
    let rest = target.key.split_once('/');
    let (resource, methods): (_, &[&str]) = match (target.key.as_str(), rest) {
        ("", _) => (Resource::Batch, &["GET", "HEAD", "DELETE"]),
        ("records", _) => (Resource::Records, &["GET", "HEAD", "POST"]),
        ("archive", _) => (Resource::Archive, &["GET", "HEAD"]),
        (_, Some(("records", record))) => (Resource::Record(record), &["GET", "HEAD", "PUT"]),
        _ => return Err(Error::new(Code::NoSuchRoute, "There is no such route")),
    };
    inbound.allow(methods)?;
    principal.require("Send a bearer token in the Authorization header")?;
    let id = BatchId::parse(&target.bucket)?;
    match (resource, inbound.method.as_str()) {
        (Resource::Batch, "DELETE") => batch::delete(context, id).await,
        (Resource::Batch, _) => batch::get(context, id, &inbound).await,
        (Resource::Records, "POST") => records::report(context, id, inbound).await,
        (Resource::Records, _) => records::list(context, id, &inbound).await,
        (Resource::Record(record), "PUT") => {
            let record = RecordId::parse(record)?;
            records::put(context, id, &record, inbound).await
        }
        (Resource::Record(record), _) => records::get(context, id, &RecordId::parse(record)?).await,
        (Resource::Archive, _) => archive::get(context, id, &inbound).await,
    }
}

/// What a path behind a batch's id names.
enum Resource<'a> {
    Batch,
    Records,
    Record(&'a str),
    Archive,
}
