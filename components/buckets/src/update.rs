//! `PATCH /v1/buckets/{bucket}`: a merge patch of its policy (RFC 7396), which is checked as a whole.

use holdfast_core::error::{Code, Error};
use holdfast_core::limits::MAX_BUCKET_BODY_BYTES;
use holdfast_core::names::BucketName;
use holdfast_core::policy;
use holdfast_platform::app::Context;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::inbound::Inbound;
use holdfast_web::bucket_request::policy_patch;
use holdfast_web::conditional::{EntityTags, Preconditions};
use http::HeaderMap;
use wasip3::http::types::Response;

use crate::show;

/// How often a change begins anew because somebody else changed the policy meanwhile.
const ATTEMPTS: u32 = 4;

/// Answers the bucket as it is then.
pub(crate) async fn update(
    context: &Context,
    inbound: Inbound,
    bucket: &BucketName,
) -> Result<Response, Error> {
    let if_match = if_match(&inbound.headers)?;
    let patch = policy_patch(&inbound.body.read_whole(MAX_BUCKET_BODY_BYTES).await?)?;
    let catalog = PgCatalog::new(&context.app.config.database_url);
    let (name, caller, if_match) = (bucket.as_str(), &context.caller, if_match.as_deref());
    for _ in 0..ATTEMPTS {
        let seen = catalog.update_bucket(name, None, if_match, caller).await?;
        let seen = seen.ok_or_else(|| Error::internal("a look changed something"))?;
        let mut merged = seen.policy;
        policy::merge(&mut merged, &patch);
        let checked = policy::validate(&merged)?;
        let put = Some((&checked, seen.etag.as_str()));
        if catalog.update_bucket(name, put, if_match, caller).await?.is_some() {
            let shown = catalog.get_bucket(name, caller).await?;
            return Ok(show::answer(context, 200, show::headers(context, &shown)?, shown.body));
        }
    }
    let message = "Others change the policy all the time; try again";
    Err(Error::new(Code::PreconditionFailed, message).rule("bucket.changed"))
}

/// The one condition of a change. Another one is refused: to ignore it would change what the client wanted kept.
fn if_match(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let conditions = Preconditions::from_headers(headers)?;
    if conditions.if_none_match.is_some() || conditions.if_unmodified_since.is_some() {
        return Err(Error::new(
            Code::InvalidArgument,
            "A change takes If-Match and no other condition",
        ));
    }
    conditions.if_match.as_ref().map(EntityTags::canonical).transpose()
}
