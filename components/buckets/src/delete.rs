//! `DELETE /v1/buckets/{bucket}?confirm={bucket}`: of one that is empty.

use holdfast_core::buckets::{Buckets, DeleteBucket};
use holdfast_core::error::{Code, Error};
use holdfast_core::names::BucketName;
use holdfast_platform::app::Context;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_web::path::Query;
use wasip3::http::types::Response;

/// 204, also where the worker has to forget the rest of it.
pub(crate) async fn delete(
    context: &Context,
    inbound: &Inbound,
    bucket: BucketName,
) -> Result<Response, Error> {
    let query = Query::parse(Some(&inbound.query))?;
    let confirm = query.get("confirm")?;
    if confirm.is_some_and(|name| name != bucket.as_str()) {
        let message = "confirm repeats the name of the bucket that shall be deleted";
        return Err(Error::new(Code::InvalidArgument, message).rule("confirm"));
    }
    let asked =
        DeleteBucket { bucket, confirmed: confirm.is_some(), caller: context.caller.clone() };
    let catalog = PgCatalog::new(&context.app.config.database_url);
    let store = context.app.blobs()?;
    Buckets { catalog: &catalog, store: &store }.delete(&asked).await?;
    Ok(reply::empty(204, &context.no_store()))
}
