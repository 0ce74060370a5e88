//! `POST /internal/tick`: the background work, a bounded batch of each kind.
//!
//! Safe to run twice at once: rows are claimed with `SKIP LOCKED`, and each step may be repeated.

use futures_util::future::join_all;
use holdfast_core::error::{Code, Error};
use holdfast_core::limits::EXPIRE_BATCHES;
use holdfast_core::multipart::Multipart;
use holdfast_core::ports::{Blobs as _, Target};
use holdfast_core::session::PartStore as _;
use holdfast_platform::app::App;
use holdfast_platform::blobs::S3Blobs;
use holdfast_platform::catalog::{CountStep, PgCatalog, Sweep};
use holdfast_platform::clock::WasiClock;
use holdfast_platform::log;

use crate::{bucket_cors, buckets};

/// Blobs that are deleted at once.
const AT_ONCE: usize = 8;

/// One batch of each kind of work. What needs PostgreSQL alone comes first: a store that hangs holds no event up.
pub(crate) async fn tick(app: &App) -> Result<serde_json::Value, Error> {
    let catalog = PgCatalog::new(&app.config.database_url);
    let blobs = app.blobs()?;
    let folded = catalog.count(CountStep::Fold).await?;
    let folded_batches = catalog.count(CountStep::FoldBatches).await?;
    let swept = catalog.count(CountStep::SweepBatches).await?;
    let sequenced = catalog.count(CountStep::Sequence).await?;
    let retired = catalog.count(CountStep::Retire).await?;
    let (expired, let_go) = expire(&catalog).await?;
    let (settled, settle_failed) = settle(&catalog, &blobs).await?;
    let (reaped, reap_failed) = sweep(&catalog, &blobs, Sweep::Reap).await?;
    // Where the store refuses one kind it refuses the other: the next tick tries again.
    let (purged, purge_failed) = match reap_failed {
        0 => sweep(&catalog, &blobs, Sweep::Purge).await?,
        _ => (0, 0),
    };
    let (buckets, bucket_failed) = buckets::settle(&catalog, &blobs).await?;
    let (told, cors_failed) = bucket_cors::tell(&catalog, &blobs, &app.config.cors_origins).await?;
    Ok(serde_json::json!({
        "settled": settled,
        "reaped": reaped,
        "purged": purged,
        "cors": told,
        "buckets": buckets,
        "expired": expired,
        "letGo": let_go,
        "failed": settle_failed + reap_failed + purge_failed + bucket_failed + cors_failed,
        "folded": folded,
        "foldedBatches": folded_batches,
        "sweptCards": swept,
        "sequenced": sequenced,
        "retired": retired,
    }))
}

/// What the lifecycle of policies says: objects that went to the trash, and uploads in parts that the reaper gets.
async fn expire(catalog: &PgCatalog<'_>) -> Result<(i64, i64), Error> {
    let (mut objects, mut uploads) = (0, 0);
    for _ in 0..EXPIRE_BATCHES {
        let Some(batch) = catalog.expire().await? else { break };
        objects += batch.objects;
        uploads += batch.uploads;
    }
    Ok((objects, uploads))
}

/// Ends uploads in parts whose client asked for it and did not see it: as their creators, and as they wanted.
async fn settle(catalog: &PgCatalog<'_>, blobs: &S3Blobs<'_>) -> Result<(usize, usize), Error> {
    let (mut settled, mut failed) = (0, 0);
    let multipart = Multipart { catalog, blobs, clock: &WasiClock };
    for due in catalog.due_sessions("worker").await? {
        match multipart.settle(&due.caller, due.version, due.hopeless).await {
            Ok(()) => settled += 1,
            // The next tick after its claim tries again.
            Err(error) => {
                log::warn("an upload in parts was not completed", &error);
                failed += 1;
                if error.code == Code::ServiceUnavailable {
                    break;
                }
            }
        }
    }
    Ok((settled, failed))
}

/// Claims versions, deletes their blobs, and says so; what fails is claimed again by a later tick. The first group
/// in which one fails is the last: each failure may have waited for every time limit that there is.
async fn sweep(
    catalog: &PgCatalog<'_>,
    blobs: &S3Blobs<'_>,
    sweep: Sweep,
) -> Result<(usize, usize), Error> {
    let mut gone = Vec::new();
    let mut failed = 0;
    for group in catalog.claim(sweep).await?.chunks(AT_ONCE) {
        let deleted = group.iter().map(async |claimed| {
            let at = Target { bucket: &claimed.bucket, s3_key: &claimed.s3_key };
            // Parts first: an Abort that meets a finished object leaves one whose bytes are gone.
            if claimed.multipart {
                blobs.abort_uploads(at).await?;
            }
            for s3_key in &claimed.tails {
                blobs.delete(Target { s3_key, ..at }).await?;
            }
            if claimed.delete_blob { blobs.delete(at).await } else { Ok(()) }
        });
        for (claimed, deleted) in group.iter().zip(join_all(deleted).await) {
            match deleted {
                Ok(()) => gone.push(claimed.version.clone()),
                Err(error) => {
                    log::warn("a blob was not deleted", &error);
                    failed += 1;
                }
            }
        }
        if failed > 0 {
            break;
        }
    }
    if !gone.is_empty() {
        catalog.swept(sweep, &gone).await?;
    }
    Ok((gone.len(), failed))
}
