//! The token in URLs that Uppy uses without a header: the one in the path, or one for this very key.

use std::borrow::Cow;

use holdfast_core::error::Error;
use holdfast_core::names::{BucketName, ObjectKey, VersionId};
use holdfast_core::ports::Clock as _;
use holdfast_platform::app::Context;
use holdfast_platform::clock::{WasiClock, random_bytes};
use holdfast_platform::grants::{self, Making};
use holdfast_web::grant_request::TokenRequest;
use holdfast_web::link::{Secret, TOKENS};
use holdfast_web::path;

/// How often one URL may store a file: Uppy sends up to three times more what it had no answer to.
const TRIES: i64 = 4;

/// What a token is needed for.
pub(crate) struct Needed<'a> {
    pub(crate) bucket: &'a BucketName,
    pub(crate) key: &'a ObjectKey,
    /// How long, in seconds.
    pub(crate) seconds: i32,
}

/// The token, as its text.
pub(crate) async fn token<'a>(
    context: &'a Context,
    needed: &Needed<'_>,
) -> Result<Cow<'a, str>, Error> {
    if let Some(reach) = &context.reach {
        return Ok(Cow::Borrowed(&reach.token));
    }
    let asked = TokenRequest {
        bucket: needed.bucket.clone(),
        prefix: needed.key.to_string(),
        max_bytes: None,
        // The content would have to look like the type that the browser guessed, and many a good file does not.
        types: None,
        max_uploads: Some(TRIES),
        seconds: needed.seconds.into(),
    };
    let id = VersionId::generate(WasiClock.now(), &random_bytes());
    let (text, secret) = Secret::generate(random_bytes());
    let url = &context.app.config.database_url;
    let making = Making { id, secret, idempotency: None };
    grants::create_token(url, &making, &asked, &context.caller).await?;
    Ok(Cow::Owned(text))
}

/// A URL of ours, `route` below `/v1` and with a slash at its end, by this token.
pub(crate) fn url(context: &Context, token: &str, route: &str, bucket: &str, key: &str) -> String {
    let prefix = format!("{}{TOKENS}{token}{route}", context.app.config.public_url);
    path::encode(&prefix, bucket, key)
}
