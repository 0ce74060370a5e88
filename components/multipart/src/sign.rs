//! `POST /v1/multipart/{id}/sign`: URLs by which parts go to SeaweedFS and not through here.

use holdfast_core::error::Error;
use holdfast_core::names::VersionId;
use holdfast_core::session::Sessions as _;
use holdfast_core::timestamp::rfc3339;
use holdfast_platform::app::Context;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_platform::signed_parts::{self, Wanted};
use holdfast_web::multipart::{self as parse, MAX_BODY_BYTES};
use serde_json::{Map, json};
use wasip3::http::types::Response;

use crate::Steps;

pub(crate) async fn sign(
    context: &Context,
    id: VersionId,
    inbound: Inbound,
) -> Result<Response, Error> {
    let epoch = parse::epoch(&inbound.headers)?;
    let asked = parse::sign(&inbound.body.read_whole(MAX_BODY_BYTES).await?)?;
    let steps = Steps::of(context)?;
    let session = steps.catalog.session(&context.caller, id, false).await?;
    let wanted = Wanted { parts: &asked.parts, epoch, seconds: asked.seconds };
    let (signed, expires) = signed_parts::sign(context, &steps.catalog, &session, wanted).await?;
    let parts: Vec<_> = signed
        .into_iter()
        .map(|part| {
            let headers: Map<_, _> =
                part.headers.into_iter().map(|(name, value)| (name, value.into())).collect();
            json!({ "number": part.number, "method": "PUT", "url": part.url, "headers": headers })
        })
        .collect();
    let expires = rfc3339(expires.unix_timestamp() * 1_000_000);
    Ok(reply::json(200, context.no_store(), &json!({ "parts": parts, "expiresAt": expires })))
}
