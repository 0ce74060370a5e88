//! `POST /v1/buckets`: a bucket of the caller's. By its name it may be asked for again.

use holdfast_core::buckets::{Buckets, Create};
use holdfast_core::error::Error;
use holdfast_core::limits::MAX_BUCKET_BODY_BYTES;
use holdfast_platform::app::Context;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::inbound::Inbound;
use holdfast_web::bucket_request::NewBucket;
use http::HeaderValue;
use http::header::LOCATION;
use wasip3::http::types::Response;

use crate::{BELOW, show};

/// 201 for a new one, 200 for one that the caller made before with the same policy.
pub(crate) async fn create(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let new = NewBucket::parse(&inbound.body.read_whole(MAX_BUCKET_BODY_BYTES).await?)?;
    let asked = Create { bucket: new.name, policy: new.policy, caller: context.caller.clone() };
    let config = &context.app.config;
    let catalog = PgCatalog::new(&config.database_url);
    let store = context.app.blobs()?;
    let created = Buckets { catalog: &catalog, store: &store }.create(&asked).await?;
    let shown = catalog.get_bucket(asked.bucket.as_str(), &context.caller).await?;
    let mut headers = show::headers(context, &shown)?;
    if created {
        let location = format!("{}{BELOW}{}", config.public_url, asked.bucket);
        headers.insert(LOCATION, HeaderValue::try_from(location).map_err(Error::internal)?);
    }
    Ok(show::answer(context, if created { 201 } else { 200 }, headers, shown.body))
}
