//! Templates and backgrounds as their clients read them.

use holdfast_core::error::Error;
use holdfast_core::names::VersionId;
use holdfast_core::ports::{Commit, Committed};
use holdfast_core::timestamp::rfc3339;
use holdfast_platform::app::Context;
use holdfast_platform::templates::{Background, Template};
use holdfast_platform::{reply, stored};
use holdfast_web::conditional::ETag;
use http::header::ETAG;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use wasip3::http::types::Response;

use crate::BUCKET;

/// The key of a template's background.
pub(crate) fn key(id: VersionId) -> String {
    format!("{id}/background")
}

/// Where a background is read, whichever version is current.
pub(crate) fn url(context: &Context, id: &str) -> String {
    stored::url(context, BUCKET, &format!("{id}/background"))
}

/// A template.
pub(crate) fn template(context: &Context, template: &Template) -> Value {
    let background = template.background.as_ref().map(|background| {
        let mut shown = shown(background);
        shown["url"] = url(context, &template.id).into();
        shown
    });
    json!({
        "id": template.id,
        "name": template.name,
        "owner": template.owner,
        "data": template.data,
        "version": template.version,
        "background": background,
        "createdAt": rfc3339(template.created_at_us),
        "updatedAt": rfc3339(template.updated_at_us),
    })
}

/// A background among all of its template.
pub(crate) fn background(context: &Context, id: VersionId, background: &Background) -> Value {
    let current = background.state == "live";
    let mut shown = shown(background);
    shown["current"] = current.into();
    // What is in the trash is read again once it is restored.
    shown["url"] = match background.state.as_str() {
        "live" => url(context, &id.to_string()).into(),
        "superseded" => {
            let url = url(context, &id.to_string());
            format!("{url}?version={}", background.version).into()
        }
        _ => Value::Null,
    };
    shown
}

fn shown(background: &Background) -> Value {
    json!({
        "version": background.version,
        "width": background.width,
        "height": background.height,
        "contentType": background.format,
        "size": background.size,
        "etag": background.etag,
        "createdAt": rfc3339(background.created_at_us),
    })
}

/// A background that was just stored.
pub(crate) fn uploaded(
    context: &Context,
    id: VersionId,
    commit: &Commit,
    committed: &Committed,
) -> Result<Value, Error> {
    let image = commit.image.ok_or_else(|| Error::internal("a background that is no image"))?;
    Ok(json!({
        "id": id.to_string(),
        "background": {
            "version": commit.version.to_string(),
            "width": image.width,
            "height": image.height,
            "contentType": commit.content_type,
            "size": commit.size,
            "etag": commit.etag,
            "url": url(context, &id.to_string()),
            "createdAt": committed.committed_at(),
        },
    }))
}

/// The headers of an answer with this record.
pub(crate) fn headers(context: &Context, template: &Template) -> Result<HeaderMap, Error> {
    let mut headers = context.no_store();
    let etag = ETag::strong(&template.etag()).to_string();
    headers.insert(ETAG, HeaderValue::try_from(etag).map_err(Error::internal)?);
    Ok(headers)
}

/// An answer to GET or HEAD.
pub(crate) fn read(method: &Method, headers: HeaderMap, body: &Value) -> Response {
    if *method == Method::HEAD {
        return reply::empty(200, &headers);
    }
    reply::json(200, headers, body)
}
