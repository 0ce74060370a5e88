//! `POST /internal/tick`: the background work, a bounded batch of each kind.
//!
//! Safe to run twice at once: rows are claimed with `SKIP LOCKED`, and each step may be repeated.

use holdfast_core::error::{Code, Error};
use holdfast_core::ports::{Blobs as _, Target};
use holdfast_core::secret;
use holdfast_platform::app::{App, Trace};
use holdfast_platform::blobs::S3Blobs;
use holdfast_platform::catalog::{CountStep, PgCatalog, Sweep};
use holdfast_platform::inbound::Inbound;
use holdfast_platform::{log, reply};
use holdfast_web::bearer;
use wasip3::http::types::{Request, Response};

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    let inbound = Inbound::new(request);
    let trace = Trace::of(&inbound);
    match tick(&inbound).await {
        Ok(done) => reply::json(200, trace.headers(), &done),
        Err(error) => trace.refuse(&error),
    }
}

async fn tick(inbound: &Inbound) -> Result<serde_json::Value, Error> {
    inbound.allow(&["POST"])?;
    let app = App::get().await?;
    let sent = bearer::token(&inbound.headers)?.unwrap_or_default();
    if !secret::equal(sent.as_bytes(), app.config.tick_secret.as_bytes()) {
        return Err(Error::new(Code::AccessDenied, "Send the tick secret as the bearer token"));
    }
    let catalog = PgCatalog::new(&app.config.database_url);
    let blobs = app.blobs();
    let (reaped, reap_failed) = sweep(&catalog, &blobs, Sweep::Reap).await?;
    let (purged, purge_failed) = sweep(&catalog, &blobs, Sweep::Purge).await?;
    Ok(serde_json::json!({
        "reaped": reaped,
        "purged": purged,
        "failed": reap_failed + purge_failed,
        "folded": catalog.count(CountStep::Fold).await?,
        "sequenced": catalog.count(CountStep::Sequence).await?,
        "retired": catalog.count(CountStep::Retire).await?,
    }))
}

/// Claims versions, deletes their blobs, and says so; what fails is claimed again by a later tick.
async fn sweep(
    catalog: &PgCatalog<'_>,
    blobs: &S3Blobs<'_>,
    sweep: Sweep,
) -> Result<(usize, usize), Error> {
    let mut gone = Vec::new();
    let mut failed = 0;
    for claimed in catalog.claim(sweep).await? {
        let at = Target { bucket: &claimed.bucket, s3_key: &claimed.s3_key };
        let deleted = if claimed.delete_blob { blobs.delete(at).await } else { Ok(()) };
        match deleted {
            Ok(()) => gone.push(claimed.version),
            Err(error) => {
                log::warn("a blob was not deleted", &error);
                failed += 1;
            }
        }
    }
    if !gone.is_empty() {
        catalog.swept(sweep, &gone).await?;
    }
    Ok((gone.len(), failed))
}
