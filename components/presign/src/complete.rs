//! `POST /v1/presign/{version}/complete`: what was put to a presigned URL becomes current. The signature of the
//! URL stands for a token.

use holdfast_core::complete::Completer;
use holdfast_core::error::{Code, Error};
use holdfast_core::names::VersionId;
use holdfast_core::ports::Clock as _;
use holdfast_platform::app::Context;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::clock::WasiClock;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::{grants, reply, stored};
use holdfast_web::conditional::ETag;
use holdfast_web::path::Query;
use holdfast_web::signed_url::SignedUrl;
use http::HeaderValue;
use http::header::{ETAG, LOCATION};
use wasip3::http::types::Response;

pub(crate) async fn post(
    context: &Context,
    id: &str,
    inbound: &Inbound,
) -> Result<Response, Error> {
    let config = &context.app.config;
    if let Err(error) = verify(context, id, inbound) {
        if error.code == Code::AccessDenied {
            grants::refuse_put(&config.database_url, &error, &context.caller).await;
        }
        return Err(error);
    }

    let version = VersionId::parse(id)?;
    let put = grants::open_put(&config.database_url, version, &context.caller).await?;
    let catalog = PgCatalog::new(&config.database_url);
    let blobs = context.app.blobs()?;
    let completer = Completer { catalog: &catalog, blobs: &blobs, clock: &WasiClock };
    let (commit, committed) = completer.complete(&context.caller, &put).await?;

    let text = |value: String| HeaderValue::try_from(value).map_err(Error::internal);
    let mut headers = context.no_store();
    headers.insert(ETAG, text(ETag::strong(&commit.etag).to_string())?);
    if committed.created {
        headers.insert(LOCATION, text(stored::url(context, &put.bucket, &put.key))?);
    }
    let body = stored::body(context, &put.bucket, &put.key, &commit, &committed);
    Ok(reply::json(if committed.created { 201 } else { 200 }, headers, &body))
}

/// Looks at the signature of the URL.
fn verify(context: &Context, id: &str, inbound: &Inbound) -> Result<(), Error> {
    let query = Query::parse(Some(&inbound.query))?;
    let (url, signature) = SignedUrl::of_complete(&query, id)?;
    let now = WasiClock.now().unix_timestamp();
    url.verify(signature, context.app.url_secret()?, now, &context.caller.ip)
}
