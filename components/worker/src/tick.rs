//! `POST /internal/tick`: the background work, a bounded batch of each kind.
//!
//! Safe to run twice at once: rows are claimed with `SKIP LOCKED`, and each step may be repeated.

use holdfast_core::error::Error;
use holdfast_core::ports::{Blobs as _, Target};
use holdfast_platform::app::App;
use holdfast_platform::blobs::S3Blobs;
use holdfast_platform::catalog::{CountStep, PgCatalog, Sweep};
use holdfast_platform::log;

/// One batch of each kind of work.
pub(crate) async fn tick(app: &App) -> Result<serde_json::Value, Error> {
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
