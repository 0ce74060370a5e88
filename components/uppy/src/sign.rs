//! `POST sign`: what `signRequest` of `@uppy/aws-s3` asks for.

use holdfast_core::error::Error;
use holdfast_core::names::BucketName;
use holdfast_platform::app::Context;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_web::uppy::{MAX_BODY_BYTES, SignRequest, Signing};
use serde_json::json;
use wasip3::http::types::Response;

use crate::token::{self, Needed};
use crate::upload::Steps;
use crate::within;

/// Uploads, and all of an upload in parts but its parts, in URLs by token.
const UPLOAD: &str = "/upload/";
const OBJECTS: &str = "/uppy/s3/objects/";

pub(crate) async fn sign(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let body = inbound.body.read_whole(MAX_BODY_BYTES).await?;
    let SignRequest { signing, key, seconds } = SignRequest::parse(&body, within(context))?;
    let by_token = async |bucket: &BucketName, route: &str| {
        let needed = Needed { bucket, key: &key, seconds };
        let token = token::token(context, &needed).await?;
        Ok::<_, Error>(token::url(context, &token, route, bucket.as_str(), key.as_str()))
    };
    let answer = match signing {
        Signing::PutObject(file) => {
            let url = by_token(&file.bucket, UPLOAD).await?;
            json!({ "url": url, "key": key.as_str(), "headers": file.headers() })
        }
        // The type comes with the request itself.
        Signing::CreateMultipartUpload(file) => {
            let url = by_token(&file.bucket, OBJECTS).await?;
            let url = format!("{url}?uploads=");
            json!({ "url": url, "key": key.as_str(), "headers": file.headers() })
        }
        Signing::UploadPart(id, number) => {
            let steps = Steps::of(context)?;
            let (url, _) = steps.sign((id, number), key.as_str(), seconds).await?;
            json!({ "url": url })
        }
        Signing::OfUpload(id) => {
            let session = Steps::of(context)?.find(id, key.as_str()).await?;
            let bucket = BucketName::parse(&session.bucket)?;
            let url = by_token(&bucket, OBJECTS).await?;
            json!({ "url": format!("{url}?uploadId={id}") })
        }
    };
    Ok(reply::json(200, context.no_store(), &answer))
}
