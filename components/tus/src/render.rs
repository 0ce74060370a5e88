//! Headers of the answers.

use holdfast_core::error::Error;
use holdfast_core::names::VersionId;
use holdfast_core::ports::Commit;
use holdfast_core::session::Session;
use holdfast_core::stream::Appended;
use holdfast_platform::app::Context;
use holdfast_platform::stored;
use holdfast_web::conditional::ETag;
use holdfast_web::http_date::HttpDate;
use holdfast_web::link::TOKENS;
use holdfast_web::tus::{ROUTE, UPLOAD_EXPIRES, UPLOAD_OFFSET};
use http::header::{CONTENT_LOCATION, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The version that an upload became.
const OBJECT_VERSION: HeaderName = HeaderName::from_static("x-holdfast-version");

/// Where an upload is; by token for who came by token.
pub(crate) fn upload_url(context: &Context, id: VersionId) -> String {
    let public_url = &context.app.config.public_url;
    match &context.reach {
        None => format!("{public_url}{ROUTE}/{id}"),
        Some(reach) => format!("{public_url}{TOKENS}{}/tus/{id}", reach.token),
    }
}

/// When an upload ends by itself.
pub(crate) fn expires(headers: &mut HeaderMap, at_us: i64) -> Result<(), Error> {
    let date = HttpDate::from_unix(at_us / 1_000_000).to_string();
    headers.insert(UPLOAD_EXPIRES, HeaderValue::try_from(date).map_err(Error::internal)?);
    Ok(())
}

/// Where an upload is after bytes came.
pub(crate) fn appended(
    context: &Context,
    headers: &mut HeaderMap,
    appended: &Appended,
) -> Result<(), Error> {
    headers.insert(UPLOAD_OFFSET, HeaderValue::from(appended.offset));
    match &appended.done {
        Some((session, commit, _)) => object(context, headers, session, commit),
        None => expires(headers, appended.expires_at_us),
    }
}

/// The object that an upload became.
pub(crate) fn object(
    context: &Context,
    headers: &mut HeaderMap,
    session: &Session,
    commit: &Commit,
) -> Result<(), Error> {
    let url = stored::url(context, &session.bucket, &session.key);
    let etag = ETag::strong(&commit.etag).to_string();
    for (name, value) in
        [(CONTENT_LOCATION, url), (ETAG, etag), (OBJECT_VERSION, commit.version.to_string())]
    {
        headers.insert(name, HeaderValue::try_from(value).map_err(Error::internal)?);
    }
    Ok(())
}
