//! `POST /v1/objects/{bucket}/archive`: files of a bucket as a ZIP.

use holdfast_core::error::Error;
use holdfast_core::names::BucketName;
use holdfast_platform::app::Context;
use holdfast_platform::archive;
use holdfast_platform::inbound::Inbound;
use holdfast_web::archive_request::{ArchiveRequest, MAX_BODY_BYTES};
use wasip3::http::types::Response;

/// Files are called as their keys. What the caller may not read is left out like what is not there.
pub(crate) async fn post(
    context: &Context,
    bucket: &BucketName,
    inbound: Inbound,
) -> Result<Response, Error> {
    let body = inbound.body.read_whole(MAX_BODY_BYTES).await?;
    let asked = ArchiveRequest::parse(&body)?;
    let url = &context.app.config.database_url;
    let contents = archive::contents(url, bucket, &asked.selection, &context.caller).await?;
    archive::reply(context, bucket, contents, &asked.name)
}
