//! `PUT /v1/upload/{bucket}/{key...}`: a raw body becomes the current version of an object.

use holdfast_core::error::{Code, Error};
use holdfast_core::names::{BucketName, ObjectKey};
use holdfast_core::upload::{Upload, Uploaded, Uploader};
use holdfast_platform::app::{Context, serve};
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::clock::WasiClock;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_web::conditional::{ETag, EntityTags, Preconditions};
use holdfast_web::path::{self, Target};
use holdfast_web::{content_type, metadata};
use http::HeaderValue;
use http::header::{ETAG, LOCATION};
use wasip3::http::types::{Request, Response};

const ROUTE: &str = "/v1/upload/";

/// Where the file is read again.
const DOWNLOAD_ROUTE: &str = "/v1/download/";

holdfast_platform::component!(handle);

async fn handle(request: Request) -> Response {
    serve(request, put).await
}

async fn put(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    inbound.allow(&["PUT"])?;
    let target = Target::parse(&inbound.path, ROUTE)?;
    let conditions = Preconditions::from_headers(&inbound.headers)?;
    let upload = Upload {
        bucket: BucketName::parse(&target.bucket)?,
        key: ObjectKey::parse(&target.key)?,
        length: inbound.content_length()?,
        content_type: content_type::from_headers(&inbound.headers)?.map(str::to_owned),
        user_metadata: metadata::from_headers(&inbound.headers)?,
        if_match: conditions.if_match.as_ref().map(EntityTags::canonical).transpose()?,
        if_none_match: conditions.if_none_match.as_ref().map(EntityTags::canonical).transpose()?,
        caller: context.caller.clone(),
    };
    if upload.caller.principal.is_anonymous() {
        return Err(Error::new(
            Code::MissingAuthentication,
            "Send a bearer token in the Authorization header to upload",
        ));
    }
    let catalog = PgCatalog::new(&context.app.config.database_url);
    let blobs = context.app.blobs();
    let uploader = Uploader { catalog: &catalog, blobs: &blobs, clock: &WasiClock };
    let uploaded = uploader.upload(&upload, inbound.body).await?;
    answer(context, &upload, &uploaded)
}

/// 201 for a new object, 200 for a new version of one; the body says all there is to know.
fn answer(context: &Context, upload: &Upload, uploaded: &Uploaded) -> Result<Response, Error> {
    let Uploaded { commit, committed } = uploaded;
    let route = format!("{}{DOWNLOAD_ROUTE}", context.app.config.public_url);
    let url = path::encode(&route, upload.bucket.as_str(), upload.key.as_str());
    let body = serde_json::json!({
        "bucket": upload.bucket.as_str(),
        "key": upload.key.as_str(),
        "version": commit.version.to_string(),
        "size": commit.size,
        "contentType": commit.content_type,
        "etag": commit.etag,
        "digest": commit.crc64nvme.as_ref().map(|value| format!("crc64nvme={value}")),
        "url": url,
        "createdAt": committed.committed_at(),
    });
    let mut headers = context.headers();
    let etag =
        HeaderValue::try_from(ETag::strong(&commit.etag).to_string()).map_err(Error::internal)?;
    headers.insert(ETAG, etag);
    if committed.created {
        headers.insert(LOCATION, HeaderValue::try_from(url).map_err(Error::internal)?);
    }
    Ok(reply::json(if committed.created { 201 } else { 200 }, headers, &body))
}
