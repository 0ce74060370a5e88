//! Tells SeaweedFS which pages of other origins may use a bucket by signed URLs, where that has changed.

use futures_util::future::join_all;
use holdfast_core::error::Error;
use holdfast_platform::blobs::S3Blobs;
use holdfast_platform::bucket_cors::DueCors;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::log;

/// Buckets that are told at once. Each claim is for one of these groups, so that it is over long before it ends.
const AT_ONCE: usize = 8;

/// Groups of one tick.
const GROUPS: usize = 16;

/// How many buckets were told, and how many could not be. The first group in which one fails is the last; the next tick
/// tries again.
pub(crate) async fn tell(
    catalog: &PgCatalog<'_>,
    blobs: &S3Blobs<'_>,
    ours: &[String],
) -> Result<(usize, usize), Error> {
    let (mut told, mut failed) = (0, 0);
    for _ in 0..GROUPS {
        let group = catalog.due_cors(ours, AT_ONCE).await?;
        let outcomes = join_all(group.iter().map(|due| one(catalog, blobs, due))).await;
        for outcome in outcomes {
            match outcome {
                Ok(()) => told += 1,
                Err(error) => {
                    log::warn("the CORS configuration of a bucket was not set", &error);
                    failed += 1;
                }
            }
        }
        if failed > 0 || group.len() < AT_ONCE {
            break;
        }
    }
    Ok((told, failed))
}

async fn one(catalog: &PgCatalog<'_>, blobs: &S3Blobs<'_>, due: &DueCors) -> Result<(), Error> {
    let told = match &due.origins {
        Some(origins) => blobs.put_cors(&due.bucket, origins).await,
        None => blobs.delete_cors(&due.bucket).await,
    };
    catalog.cors_applied(due, told.is_ok()).await?;
    told
}
