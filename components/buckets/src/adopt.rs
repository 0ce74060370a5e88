//! `POST /v1/buckets/{bucket}/adopt`: registers objects that lie in SeaweedFS already, in place.

use holdfast_core::adopt::{Adopt, Adopter};
use holdfast_core::error::Error;
use holdfast_core::limits::MAX_BUCKET_BODY_BYTES;
use holdfast_core::names::{BucketName, VersionId};
use holdfast_core::ports::Clock as _;
use holdfast_platform::app::Context;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::clock::{WasiClock, random_bytes};
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_web::bucket_request::AdoptRequest;
use serde_json::json;
use wasip3::http::types::Response;

/// What a name says that says nothing.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// One bounded batch; the answer says how to go on.
pub(crate) async fn adopt(
    context: &Context,
    inbound: Inbound,
    bucket: BucketName,
) -> Result<Response, Error> {
    let request = AdoptRequest::parse(&inbound.body.read_whole(MAX_BUCKET_BODY_BYTES).await?)?;
    let asked = Adopt {
        bucket,
        prefix: request.prefix,
        owner: request.owner,
        dry_run: request.dry_run,
        headers: request.headers,
        from: request.from,
        limit: request.limit,
        caller: context.caller.clone(),
    };
    let catalog = PgCatalog::new(&context.app.config.database_url);
    let store = context.app.blobs()?;
    let adopter = Adopter {
        catalog: &catalog,
        store: &store,
        new_version: &|| VersionId::generate(WasiClock.now(), &random_bytes()),
        guess: &guess,
    };
    let done = adopter.adopt(&asked).await?;
    let refused = done.named.iter().map(|(key, why)| json!({ "key": key, "why": why }));
    let answer = json!({
        "dryRun": asked.dry_run,
        "adopted": done.adopted,
        "skipped": done.skipped,
        "refusedCount": done.refused,
        "refused": refused.collect::<Vec<_>>(),
        "nextCursor": done.next,
        "done": done.next.is_none(),
    });
    Ok(reply::json(200, context.no_store(), &answer))
}

/// What the end of a name says of the content.
fn guess(key: &str) -> String {
    mime_guess::from_path(key).first_raw().unwrap_or(UNKNOWN_TYPE).to_owned()
}
