//! `DELETE`: the current version goes to the trash; or, with `?permanent=true`, all that there is goes for good. And many
//! at once.

use holdfast_core::error::{Code, Error};
use holdfast_core::names::{BucketName, VersionId};
use holdfast_core::objects::{Delete, Deleted, Objects};
use holdfast_core::timestamp::rfc3339;
use holdfast_platform::app::Context;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::objects::Named;
use holdfast_platform::{log, reply};
use holdfast_web::path::Query;
use holdfast_web::{object_request, problem};
use serde_json::{Value, json};
use wasip3::http::types::Response;

use crate::{catalog, if_match, only};

/// Deletes one; the answer says which version, and until when it may come back, or its bytes stay.
pub(crate) async fn one(
    context: &Context,
    object: Named<'_>,
    query: &Query,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let principal = &context.caller.principal;
    principal.require("Send a bearer token in the Authorization header to delete")?;
    only(query, &["permanent", "version"])?;
    let permanent = match query.get("permanent")? {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(invalid("permanent is true or false")),
    };
    let version = query.get("version")?.map(VersionId::parse).transpose()?;
    if version.is_some() && !permanent {
        return Err(invalid("A version is deleted for good: send permanent=true with it"));
    }
    let asked = Delete {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        if_match: if_match(inbound)?,
        caller: context.caller.clone(),
    };
    let catalog = catalog(context);
    let mut body = if permanent {
        let erased = catalog.erase(&asked, version).await?;
        let mut body = shown(&erased.deleted);
        body["permanent"] = true.into();
        body["versions"] = erased.versions.into();
        body
    } else {
        shown(&Objects { catalog: &catalog }.delete(&asked).await?)
    };
    body["bucket"] = object.bucket.as_str().into();
    body["key"] = object.key.as_str().into();
    Ok(reply::json(200, context.headers(), &body))
}

/// Deletes many in one step, each for itself.
pub(crate) async fn many(
    context: &Context,
    bucket: &BucketName,
    asked: &object_request::Delete,
) -> Result<Response, Error> {
    let answers =
        catalog(context).delete_many(bucket, &asked.keys, asked.permanent, &context.caller).await?;
    let answers = asked.keys.iter().zip(answers).map(|(key, answer)| {
        let mut shown = answer.map_or_else(
            |error| {
                log::error(&context.caller.request_id, &error);
                problem::part(&error)
            },
            |deleted| shown(&deleted),
        );
        shown["key"] = key.as_str().into();
        shown
    });
    let body = json!({ "bucket": bucket.as_str(), "deleted": answers.collect::<Vec<_>>() });
    Ok(reply::json(200, context.headers(), &body))
}

fn shown(deleted: &Deleted) -> Value {
    json!({
        "version": deleted.version.to_string(),
        "deletedAt": rfc3339(deleted.deleted_at_us),
        "purgeAfter": rfc3339(deleted.purge_after_us),
    })
}

fn invalid(message: &str) -> Error {
    Error::new(Code::InvalidArgument, message)
}
