//! `GET /v1/batches/{id}/archive`: all cards of a batch as a ZIP.

use holdfast_core::archive::LeftOut;
use holdfast_core::batch::{BUCKET, BatchId, RecordId, RecordStatus};
use holdfast_core::error::Error;
use holdfast_core::names::BucketName;
use holdfast_platform::app::Context;
use holdfast_platform::archive::{self, Contents};
use holdfast_platform::batches::Records;
use holdfast_platform::inbound::Inbound;
use holdfast_web::archive_request::{Selection, Slice};
use holdfast_web::path::Query;
use wasip3::http::types::Response;

use crate::batch::open;

/// Records that failed and are named in the archive, at the most.
const NAMED_FAILURES: i32 = 10_000;

/// Files are called as their records. `after` and `limit` take a batch in several archives.
pub(crate) async fn get(
    context: &Context,
    id: BatchId,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let slice = Slice::from_query(&Query::parse(Some(&inbound.query))?)?;
    let after = slice.after.as_deref().map(RecordId::parse).transpose()?;
    let slice = Slice {
        after: after.map(|after| id.key(&after)).transpose()?.map(|key| key.as_str().to_owned()),
        limit: slice.limit,
    };
    let batches = open(context).await?;
    let batch = batches.get(id).await?;
    let failed =
        Records { status: Some(RecordStatus::Failed), limit: NAMED_FAILURES, ..Records::default() };
    let failed = if batch.failed > 0 { batches.records(id, &failed).await? } else { Vec::new() };
    drop(batches);
    let bucket = BucketName::parse(BUCKET)?;
    let prefix = id.prefix();
    let selection = Selection::Prefix(prefix.clone(), slice);
    let url = &context.app.config.database_url;
    let Contents { mut entries, mut left_out, next } =
        archive::contents(url, &bucket, &selection, &context.caller).await?;
    for entry in &mut entries {
        entry.name.drain(..prefix.len());
    }
    let next = next.map(|key| key[prefix.len()..].to_owned());
    // Once, in the last of several archives.
    if next.is_none() {
        left_out.extend(failed.into_iter().map(|record| LeftOut {
            key: record.record,
            reason: record.reason.unwrap_or_default(),
        }));
    }
    let name = batch.name.unwrap_or_else(|| batch.id.clone());
    archive::reply(context, &bucket, Contents { entries, left_out, next }, &format!("{name}.zip"))
}
