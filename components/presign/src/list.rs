//! Lists of what was granted, a page at a time.

use holdfast_core::error::Error;
use holdfast_core::names::BucketName;
use holdfast_platform::app::Context;
use holdfast_platform::grants::{self, Grants, Shown};
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_web::page::Page;
use holdfast_web::path::Query;
use serde_json::{Value, json};
use wasip3::http::types::Response;

/// `GET /v1/presign`
pub(crate) async fn signed_urls(context: &Context, inbound: &Inbound) -> Result<Response, Error> {
    page(context, inbound, &["get", "put"], "presigned", |grant| {
        let mut shown = json!({
            "key": grant.key,
            "method": if grant.kind == "put" { "PUT" } else { "GET" },
            "direct": grant.direct || grant.kind == "put",
            "revocable": !grant.direct,
        });
        merge(&mut shown, &grant)?;
        Ok(shown)
    })
    .await
}

/// A share link, without what opens it.
pub(crate) fn share(grant: Shown) -> Result<Value, Error> {
    let mut shown = json!({
        "key": grant.key,
        "download": grant.save_as,
        "maxDownloads": grant.max_uses,
        "downloads": grant.uses,
    });
    merge(&mut shown, &grant)?;
    Ok(shown)
}

/// An upload token, without what opens it.
pub(crate) fn token(grant: Shown) -> Result<Value, Error> {
    let mut shown = json!({
        "prefix": grant.key,
        "maxBytes": grant.max_bytes,
        "types": grant.types,
        "maxUploads": grant.max_uses,
        "uploads": grant.uses,
    });
    merge(&mut shown, &grant)?;
    if let Some(shown) = shown.as_object_mut() {
        shown.remove("version");
    }
    Ok(shown)
}

/// Adds what all grants have.
fn merge(shown: &mut Value, grant: &Shown) -> Result<(), Error> {
    let common = serde_json::to_value(grant).map_err(Error::internal)?;
    if let (Some(shown), Value::Object(common)) = (shown.as_object_mut(), common) {
        shown.extend(common);
    }
    Ok(())
}

pub(crate) async fn page(
    context: &Context,
    inbound: &Inbound,
    kinds: &[&str],
    name: &str,
    show: impl Fn(Shown) -> Result<Value, Error>,
) -> Result<Response, Error> {
    let query = Query::parse(Some(&inbound.query))?;
    let bucket = query.get("bucket")?.map(BucketName::parse).transpose()?;
    let page = Page::parse(&query)?;
    let asked = Grants {
        kinds,
        bucket: bucket.as_ref().map(BucketName::as_str),
        before: page.before.as_deref(),
        limit: page.wanted(),
    };
    let mut found = grants::list(&context.app.config.database_url, &asked, &context.caller).await?;
    let next = page.cut(&mut found, |grant| &grant.id);
    let found: Vec<_> = found.into_iter().map(show).collect::<Result<_, _>>()?;
    if inbound.method == http::Method::HEAD {
        return Ok(reply::empty(200, &context.no_store()));
    }
    Ok(reply::json(200, context.no_store(), &json!({ name: found, "cursor": next })))
}
