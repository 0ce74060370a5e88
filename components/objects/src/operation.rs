//! `POST /v1/objects/{bucket}`: an operation, as its body says.

use holdfast_core::error::Error;
use holdfast_core::limits::MAX_OPERATION_BODY_BYTES;
use holdfast_core::names::BucketName;
use holdfast_platform::app::Context;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::objects::{Moved, RenameStep};
use holdfast_platform::{reply, stored};
use holdfast_web::idempotency::IdempotencyKey;
use holdfast_web::object_request::Operation;
use serde_json::json;
use wasip3::http::types::Response;

use crate::{ROUTE, catalog, copy, delete, rename};

pub(crate) async fn post(
    context: &Context,
    bucket: &BucketName,
    inbound: Inbound,
) -> Result<Response, Error> {
    let caller = &context.caller;
    caller
        .principal
        .require("Send a bearer token in the Authorization header to change objects")?;
    let key = IdempotencyKey::from_headers(&inbound.headers)?;
    let body = inbound.body.read_whole(MAX_OPERATION_BODY_BYTES).await?;
    match Operation::parse(bucket, &body)? {
        Operation::Copy(asked) => {
            let route = format!("{ROUTE}{bucket}");
            let idempotency = key.map(|key| key.of_json(&route, &body)).transpose()?;
            copy::copy(context, bucket, asked, idempotency).await
        }
        Operation::Move(asked) => {
            let moved = catalog(context).move_object(bucket, &asked, caller).await?;
            Ok(current(context, bucket, asked.to.as_str(), &moved))
        }
        Operation::Restore(asked) => {
            let restored = catalog(context).restore(bucket, &asked, caller).await?;
            Ok(current(context, bucket, asked.key.as_str(), &restored))
        }
        Operation::Delete(asked) => delete::many(context, bucket, &asked).await,
        Operation::Rename(asked) => rename::start(context, bucket, &asked).await,
        Operation::ContinueRename(id) => rename::step(context, bucket, id, RenameStep::Go).await,
        Operation::UndoRename(id) => rename::step(context, bucket, id, RenameStep::Undo).await,
    }
}

/// What is current now.
fn current(context: &Context, bucket: &BucketName, key: &str, moved: &Moved) -> Response {
    let body = json!({
        "bucket": bucket.as_str(),
        "key": key,
        "version": moved.version,
        "replaced": moved.replaced,
        "url": stored::url(context, bucket.as_str(), key),
    });
    reply::json(200, context.headers(), &body)
}
