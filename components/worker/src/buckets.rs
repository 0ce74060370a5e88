//! Goes on with buckets that somebody began to make or to delete and did not end.

use holdfast_core::buckets::Buckets;
use holdfast_core::error::{Code, Error};
use holdfast_core::ports::Caller;
use holdfast_core::principal::Principal;
use holdfast_platform::blobs::S3Blobs;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::log;

/// Buckets of one tick.
const BATCH: i32 = 16;

/// How many went on, and how many could not. The first one for which the store does not answer is the last.
pub(crate) async fn settle(
    catalog: &PgCatalog<'_>,
    blobs: &S3Blobs<'_>,
) -> Result<(usize, usize), Error> {
    let caller = Caller {
        principal: Principal { sub: "worker".to_owned(), ..Principal::anonymous() },
        ip: String::new(),
        request_id: String::new(),
        grant: None,
    };
    let (mut settled, mut failed) = (0, 0);
    for (bucket, state) in catalog.due_buckets(BATCH).await? {
        match (Buckets { catalog, store: blobs }).settle(&bucket, state, &caller).await {
            // Opened again, because the store holds something in it.
            Err(error) if error.code == Code::BucketNotEmpty => settled += 1,
            Ok(()) => settled += 1,
            Err(error) => {
                log::warn("a bucket was neither made nor deleted", &error);
                failed += 1;
                if error.code == Code::ServiceUnavailable {
                    break;
                }
            }
        }
    }
    Ok((settled, failed))
}
