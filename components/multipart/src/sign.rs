//! `POST /v1/multipart/{id}/sign`: URLs by which parts go to SeaweedFS and not through here.

use std::time::Duration;

use holdfast_core::error::{Code, Error};
use holdfast_core::names::VersionId;
use holdfast_core::session::{Sessions as _, State};
use holdfast_core::timestamp::rfc3339;
use holdfast_platform::app::Context;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_s3::{Action as _, PartNumber, UploadPart};
use holdfast_web::multipart::{self as parse, MAX_BODY_BYTES};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use wasip3::http::types::Response;

use crate::Steps;

/// Signs, and writes down before that S3 may have parts that SQL does not know.
pub(crate) async fn sign(
    context: &Context,
    id: VersionId,
    inbound: Inbound,
) -> Result<Response, Error> {
    let epoch = parse::epoch(&inbound.headers)?;
    let asked = parse::sign(&inbound.body.read_whole(MAX_BODY_BYTES).await?)?;
    let steps = Steps::of(context)?;
    let caller = &context.caller;
    let session = steps.catalog.session(caller, id, false).await?;
    if matches!(session.state, State::Done | State::Aborted) {
        let message = "The upload is over; create another one";
        return Err(Error::new(Code::NoSuchUpload, message).rule("session.state"));
    }
    if let (Some(last), Some(count)) = (asked.parts.last(), session.plan.count())
        && *last > count
    {
        let message = format!("A part of this upload has a number from 1 to {count}");
        return Err(Error::new(Code::InvalidArgument, message));
    }
    let seconds =
        steps.catalog.sign_parts(caller, id, epoch, asked.parts.len(), asked.seconds).await?;
    let at = OffsetDateTime::now_utc();
    let lives = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let signer = context.app.public_signer()?;
    let mut parts = Vec::with_capacity(asked.parts.len());
    for number in asked.parts {
        let part_number = PartNumber::new(number)
            .ok_or_else(|| Error::internal(format!("part number {number}")))?;
        let action = UploadPart {
            bucket: &session.bucket,
            key: &session.s3_key,
            upload_id: &session.upload_id,
            part_number,
            content_length: session.plan.length_of(number),
            // SeaweedFS does not compare digests of presigned requests.
            checksum: None,
        };
        let url = signer.presign(&action, at, lives).map_err(Error::internal)?;
        let headers: Map<String, Value> = action
            .request()
            .headers()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        parts.push(json!({ "number": number, "method": "PUT", "url": url, "headers": headers }));
    }
    let expires = at + lives;
    let answer =
        json!({ "parts": parts, "expiresAt": rfc3339(expires.unix_timestamp() * 1_000_000) });
    Ok(reply::json(200, context.no_store(), &answer))
}
