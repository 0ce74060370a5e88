//! `DELETE`: the current version goes to the trash.

use holdfast_core::error::{Code, Error};
use holdfast_core::objects::{Delete, Objects};
use holdfast_core::timestamp::rfc3339;
use holdfast_platform::app::Context;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_web::conditional::{EntityTags, Preconditions};
use wasip3::http::types::Response;

use crate::object;

/// Moves the current version to the trash; the answer says which, and until when it may come back.
pub(crate) async fn delete(context: &Context, inbound: &Inbound) -> Result<Response, Error> {
    let (bucket, key) = object(inbound)?;
    let asked = Delete {
        bucket,
        key,
        if_match: if_match(&Preconditions::from_headers(&inbound.headers)?)?,
        caller: context.caller.clone(),
    };
    let catalog = PgCatalog::new(&context.app.config.database_url);
    let deleted = Objects { catalog: &catalog }.delete(&asked).await?;
    let body = serde_json::json!({
        "bucket": asked.bucket.as_str(),
        "key": asked.key.as_str(),
        "version": deleted.version.to_string(),
        "deletedAt": rfc3339(deleted.deleted_at_us),
        "purgeAfter": rfc3339(deleted.purge_after_us),
    });
    Ok(reply::json(200, context.headers(), &body))
}

/// The one condition of a deletion. Another one is refused: to ignore it would delete what the client wanted kept.
fn if_match(conditions: &Preconditions) -> Result<Option<String>, Error> {
    if conditions.if_none_match.is_some() || conditions.if_unmodified_since.is_some() {
        return Err(Error::new(
            Code::InvalidArgument,
            "A deletion takes If-Match and no other condition",
        ));
    }
    conditions.if_match.as_ref().map(EntityTags::canonical).transpose()
}
