//! `POST /v1/presign`: what SQL grants is signed.

use std::time::Duration;

use holdfast_core::download::{is_active_type, is_sniffed_type};
use holdfast_core::error::Error;
use holdfast_core::limits::{MAX_PRESIGN_BODY_BYTES, MAX_PRESIGN_SECONDS};
use holdfast_core::names::VersionId;
use holdfast_core::ports::{Clock as _, Resolved};
use holdfast_core::sniff::OCTET_STREAM;
use holdfast_core::timestamp::rfc3339;
use holdfast_platform::app::Context;
use holdfast_platform::clock::{WasiClock, random_bytes};
use holdfast_platform::grants::{self, Granted};
use holdfast_platform::inbound::Inbound;
use holdfast_platform::{log, reply, stored};
use holdfast_s3::{Action as _, GetObject, PutObject};
use holdfast_web::idempotency::{IDEMPOTENT_REPLAYED, IdempotencyKey};
use holdfast_web::presign_request::{self, Asked, PresignRequest, Purpose};
use holdfast_web::signed_url::{Class, SignedUrl};
use holdfast_web::{disposition, problem};
use http::HeaderValue;
use serde_json::{Value, json};
use time::OffsetDateTime;
use wasip3::http::types::Response;

use crate::PRESIGN;

pub(crate) async fn post(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let key = IdempotencyKey::from_headers(&inbound.headers)?;
    let body = inbound.body.read_whole(MAX_PRESIGN_BODY_BYTES).await?;
    let Asked { requests, many } = presign_request::parse(&body)?;
    let idempotency = key.map(|key| key.of_json(PRESIGN, &body)).transpose()?;
    let now = WasiClock.now();
    let asked: Vec<_> = requests
        .iter()
        .filter_map(|request| request.as_ref().ok())
        .map(|it| element(it, now))
        .collect();
    let url = &context.app.config.database_url;
    // One call for all that are well formed.
    let granted = if asked.is_empty() {
        Vec::new()
    } else {
        grants::presign(url, &asked, idempotency.as_ref(), now, &context.caller).await?
    };
    let mut headers = context.no_store();
    if granted.iter().flatten().any(|granted| granted.repeated) {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    let mut granted = granted.into_iter();
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        let answer = request.and_then(|request| {
            let granted =
                granted.next().ok_or_else(|| Error::internal("an answer is missing"))??;
            render(context, &request, &granted)
        });
        answers.push(answer);
    }
    if !many && let Some(answer) = answers.pop() {
        return Ok(reply::json(200, headers, &answer?));
    }
    let answers = answers.into_iter().map(|answer| {
        answer.unwrap_or_else(|error| {
            log::error(&context.caller.request_id, &error);
            problem::part(&error)
        })
    });
    Ok(reply::json(200, headers, &answers.collect()))
}

/// A request as `holdfast.presign` has it.
fn element(request: &PresignRequest, now: OffsetDateTime) -> Value {
    // A UUIDv7 too, so that grants are listed by their age.
    let id = VersionId::generate(now, &random_bytes());
    let mut element = json!({
        "id": id.to_string(),
        "bucket": request.bucket.as_str(),
        "key": request.key.as_str(),
        "seconds": request.seconds,
        "method": "GET",
    });
    match &request.purpose {
        Purpose::Get { version, download, client_ip, cacheable } => {
            element["version"] = json!(version.map(|version| version.to_string()));
            element["download"] = json!(download);
            element["ip"] = json!(client_ip);
            element["cacheable"] = json!(cacheable);
        }
        Purpose::Direct { version, .. } => {
            element["version"] = json!(version.map(|version| version.to_string()));
            element["direct"] = json!(true);
        }
        Purpose::Put { size, content_type, metadata, if_match, if_none_match } => {
            element["method"] = json!("PUT");
            element["s3Key"] = json!(id.s3_key(now));
            element["size"] = json!(size);
            element["contentType"] = json!(content_type);
            element["metadata"] = json!(metadata);
            element["ifMatch"] = json!(if_match);
            element["ifNoneMatch"] = json!(if_none_match);
        }
    }
    element
}

/// Signs what was granted.
fn render(context: &Context, request: &PresignRequest, granted: &Granted) -> Result<Value, Error> {
    // Of a repeated request when the first one was signed, so that it is the same URL.
    let now = OffsetDateTime::from_unix_timestamp(granted.signed).map_err(Error::internal)?;
    let mut answer = match &request.purpose {
        Purpose::Get { download, client_ip, cacheable, .. } => {
            let signed = SignedUrl {
                class: Class::Get,
                bucket: request.bucket.as_str(),
                key: request.key.as_str(),
                expires: granted.expires,
                id: &granted.id,
                version: granted.version.as_deref(),
                download: download.as_deref(),
                ip: client_ip.as_deref(),
                cacheable: *cacheable,
            };
            let path = stored::url(context, request.bucket.as_str(), request.key.as_str());
            let query = signed.to_query(context.app.url_secret()?);
            json!({ "url": format!("{path}?{query}"), "method": "GET", "headers": {}, "revocable": true })
        }
        Purpose::Direct { download, content_type, .. } => {
            direct(context, request, granted, download.as_deref(), content_type.as_deref(), now)?
        }
        Purpose::Put { size, content_type, .. } => {
            put(context, request, granted, *size, content_type.as_deref(), now)?
        }
    };
    answer["id"] = json!(granted.id);
    answer["version"] = json!(granted.version);
    answer["expiresAt"] = json!(rfc3339(granted.expires.saturating_mul(1_000_000)));
    Ok(answer)
}

/// A URL straight to the bytes of a version. The store knows neither their type nor their name, so both are signed.
fn direct(
    context: &Context,
    request: &PresignRequest,
    granted: &Granted,
    download: Option<&str>,
    content_type: Option<&str>,
    now: OffsetDateTime,
) -> Result<Value, Error> {
    let content_type = content_type.or(granted.content_type.as_deref()).unwrap_or(OCTET_STREAM);
    let own_name = Resolved::file_name(request.key.as_str());
    let attachment = |name| {
        let value = disposition::attachment(name);
        value.to_str().map(str::to_owned).map_err(Error::internal)
    };
    let disposition = match (download, &granted.content_disposition) {
        (Some(""), _) => Some(attachment(own_name)?),
        (Some(name), _) => Some(attachment(name)?),
        // Whatever its uploader says: a page must not run beside the store, which says no `nosniff`.
        (None, _) if is_active_type(content_type) || is_sniffed_type(content_type) => {
            Some(attachment(own_name)?)
        }
        (None, stored) => stored.clone(),
    };
    let action = GetObject {
        bucket: request.bucket.as_str(),
        key: s3_key(granted)?,
        response_content_type: Some(content_type),
        response_content_disposition: disposition.as_deref(),
        ..GetObject::default()
    };
    let url = context.app.public_signer()?.presign(&action, now, left(granted, now));
    // Its end cannot be moved any more.
    Ok(
        json!({ "url": url.map_err(Error::internal)?, "method": "GET", "headers": {}, "revocable": false }),
    )
}

/// A URL to which the bytes are put, once, and another one to say that they are there.
fn put(
    context: &Context,
    request: &PresignRequest,
    granted: &Granted,
    size: u64,
    content_type: Option<&str>,
    now: OffsetDateTime,
) -> Result<Value, Error> {
    let action = PutObject {
        bucket: request.bucket.as_str(),
        key: s3_key(granted)?,
        content_type: content_type.unwrap_or(OCTET_STREAM),
        content_length: Some(size),
        checksum: None,
        headers: &[("if-none-match", "*")],
    };
    let url = context.app.public_signer()?.presign(&action, now, left(granted, now));
    let sent: serde_json::Map<_, _> = action
        .request()
        .headers()
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect();
    let query =
        SignedUrl::complete(&granted.id, granted.expires).to_query(context.app.url_secret()?);
    let public_url = &context.app.config.public_url;
    Ok(json!({
        "url": url.map_err(Error::internal)?,
        "method": "PUT",
        "headers": sent,
        "complete": format!("{public_url}{PRESIGN}/{}/complete?{query}", granted.id),
        "revocable": true,
    }))
}

fn s3_key(granted: &Granted) -> Result<&str, Error> {
    granted.s3_key.as_deref().ok_or_else(|| Error::internal("a version without a blob"))
}

/// How long a URL that is signed now lives until the end that SQL gave it.
fn left(granted: &Granted, now: OffsetDateTime) -> Duration {
    let seconds = (granted.expires - now.unix_timestamp()).clamp(1, MAX_PRESIGN_SECONDS);
    Duration::from_secs(seconds.unsigned_abs())
}
