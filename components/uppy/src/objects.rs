//! `objects/{bucket}/{key...}`: the operations of S3 on uploads in parts, in S3's own shapes.

use holdfast_core::error::{Code, Error};
use holdfast_core::names::{BucketName, ObjectKey, VersionId};
use holdfast_platform::app::Context;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::{reply, stored};
use holdfast_s3::answers::{self, XML};
use holdfast_web::conditional::ETag;
use holdfast_web::multipart::{MAX_BODY_BYTES, named_parts};
use holdfast_web::path::Query;
use holdfast_web::uppy::{NewFile, of_upload};
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderValue};
use wasip3::http::types::Response;

use crate::upload::Steps;

pub(crate) async fn route(
    context: &Context,
    bucket: BucketName,
    key: ObjectKey,
    inbound: Inbound,
) -> Result<Response, Error> {
    let id = of_upload(&Query::parse(Some(&inbound.query))?)?;
    match (id, inbound.method.as_str()) {
        (Some(id), "GET") => list(context, id, &key).await,
        (Some(id), "POST") => complete(context, id, &key, inbound).await,
        (Some(id), _) => abort(context, id, &key).await,
        (None, "POST") => create(context, bucket, key, &inbound).await,
        (None, _) => {
            let message = "Name the upload by the parameter `uploadId`";
            Err(Error::new(Code::InvalidArgument, message))
        }
    }
}

/// CreateMultipartUpload
async fn create(
    context: &Context,
    bucket: BucketName,
    key: ObjectKey,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let file = NewFile::from_headers(bucket.clone(), key.clone(), &inbound.headers)?;
    let id = Steps::of(context)?.create(file).await?;
    let body = answers::initiated(bucket.as_str(), key.as_str(), &id.to_string());
    Ok(xml(context.no_store(), body))
}

/// ListParts: all of them, since Uppy asks for no second page.
async fn list(context: &Context, id: VersionId, key: &ObjectKey) -> Result<Response, Error> {
    let session = Steps::of(context)?.parts(id, key.as_str()).await?;
    let parts = session.parts.iter().map(|part| (part.number, part.etag.as_str(), part.size));
    let body = answers::listed(&session.bucket, &session.key, &id.to_string(), parts);
    Ok(xml(context.no_store(), body))
}

/// CompleteMultipartUpload
async fn complete(
    context: &Context,
    id: VersionId,
    key: &ObjectKey,
    inbound: Inbound,
) -> Result<Response, Error> {
    let body = inbound.body.read_whole(MAX_BODY_BYTES).await?;
    let parts = answers::parse_completion(&body).map_err(|error| {
        Error::new(Code::InvalidArgument, "The body is no CompleteMultipartUpload of S3")
            .because(error.to_string())
    })?;
    let parts = named_parts(parts)?;
    let (session, commit, _) = Steps::of(context)?.complete(id, key.as_str(), &parts).await?;
    let location = stored::url(context, &session.bucket, &session.key);
    let body = answers::completed(&location, &session.bucket, &session.key, &commit.etag);
    let text = |value: String| HeaderValue::try_from(value).map_err(Error::internal);
    let mut headers = context.no_store();
    headers.insert(ETAG, text(ETag::strong(&commit.etag).to_string())?);
    headers.insert(LOCATION, text(location)?);
    Ok(xml(headers, body))
}

/// AbortMultipartUpload
async fn abort(context: &Context, id: VersionId, key: &ObjectKey) -> Result<Response, Error> {
    Steps::of(context)?.abort(id, key.as_str()).await?;
    Ok(reply::empty(204, &context.no_store()))
}

fn xml(mut headers: HeaderMap, body: String) -> Response {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(XML));
    reply::bytes(200, headers, body.into_bytes())
}
