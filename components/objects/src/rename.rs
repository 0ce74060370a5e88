//! `rename`: another name for a folder, a step at a time, and back.

use holdfast_core::error::Error;
use holdfast_core::names::{BucketName, VersionId};
use holdfast_core::ports::Clock as _;
use holdfast_core::timestamp::rfc3339;
use holdfast_platform::app::Context;
use holdfast_platform::clock::{WasiClock, random_bytes};
use holdfast_platform::inbound::Inbound;
use holdfast_platform::objects::RenameStep;
use holdfast_platform::reply;
use holdfast_web::object_request::{self, Rename};
use serde_json::Value;
use wasip3::http::types::Response;

use crate::{answer, catalog};

/// Begins, and goes the first step: a small folder is done with it.
pub(crate) async fn start(
    context: &Context,
    bucket: &BucketName,
    asked: &Rename,
) -> Result<Response, Error> {
    let id = VersionId::generate(WasiClock.now(), &random_bytes());
    catalog(context).start_rename(id, bucket, asked, &context.caller).await?;
    step(context, bucket, id, RenameStep::Go).await
}

/// One step more. 202 while there is another one to go.
pub(crate) async fn step(
    context: &Context,
    bucket: &BucketName,
    id: VersionId,
    step: RenameStep,
) -> Result<Response, Error> {
    let job = catalog(context).step_rename(id, bucket, step, &context.caller).await?;
    let ended = matches!(job["state"].as_str(), Some("done" | "undone"));
    Ok(reply::json(if ended { 200 } else { 202 }, context.no_store(), &shown(job)))
}

/// How far it is.
pub(crate) async fn look(
    context: &Context,
    bucket: &BucketName,
    id: &str,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let id = object_request::job(id)?;
    let job = catalog(context).step_rename(id, bucket, RenameStep::Look, &context.caller).await?;
    Ok(answer(context, inbound, &shown(job)))
}

/// A job as clients read it.
fn shown(mut job: Value) -> Value {
    if let Some(members) = job.as_object_mut() {
        for (from, to) in [("createdAtUs", "createdAt"), ("endedAtUs", "endedAt")] {
            let at = members.remove(from).and_then(|at| at.as_i64());
            members.insert(to.to_owned(), at.and_then(rfc3339).into());
        }
    }
    job
}
