//! `/v1/upload/{bucket}`: a raw body becomes the current version of an object, or the files of a form do. Below
//! `/v1/t/{token}` an upload token stands for a bearer token.

mod form;

use holdfast_core::error::Error;
use holdfast_core::names::{BucketName, ObjectKey};
use holdfast_core::upload::{Upload, Uploaded, Uploader};
use holdfast_platform::app::{Context, serve_by_token};
use holdfast_platform::body::UploadBody;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::clock::WasiClock;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::stored;
use holdfast_web::path::Target;
use holdfast_web::upload_request;
use wasip3::http::types::{Request, Response};

const ROUTE: &str = "/v1/upload/";

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    serve_by_token(request, route).await
}

async fn route(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let target = Target::parse(&inbound.path, ROUTE)?;
    inbound.allow(if target.key.is_empty() { &["POST"] } else { &["PUT"] })?;
    let principal = &context.caller.principal;
    principal.require("Send a bearer token in the Authorization header to upload")?;
    let bucket = BucketName::parse(&target.bucket)?;
    if target.key.is_empty() {
        form::post(context, &bucket, inbound).await
    } else {
        put(context, bucket, &target.key, inbound).await
    }
}

/// `PUT /v1/upload/{bucket}/{key...}`
async fn put(
    context: &Context,
    bucket: BucketName,
    key: &str,
    inbound: Inbound,
) -> Result<Response, Error> {
    let length = inbound.content_length()?;
    let upload = upload_request::whole(
        &context.caller,
        bucket,
        ObjectKey::parse(key)?,
        &inbound.headers,
        length,
    )?;
    let uploaded = store(context, &upload, UploadBody::Whole(inbound.body)).await?;
    stored::uploaded(context, &upload, &uploaded)
}

/// The write protocol, for one body.
async fn store(context: &Context, upload: &Upload, body: UploadBody) -> Result<Uploaded, Error> {
    let catalog = PgCatalog::new(&context.app.config.database_url);
    let blobs = context.app.blobs()?;
    Uploader { catalog: &catalog, blobs: &blobs, clock: &WasiClock }.upload(upload, body).await
}
