//! The JSON bodies of requests for URLs, links, tokens and uploads in parts, and the secrets and names in their paths.

use holdfast_core::limits::{
    MAX_GRANT_SECONDS, MAX_GRANT_TYPES, MAX_GRANT_USES, MAX_KEY_BYTES, MAX_PARTS,
    MAX_PRESIGN_BATCH, MAX_PRESIGN_SECONDS, MAX_PUT_BYTES,
};
use holdfast_web::grant_request::{ShareRequest, TokenRequest};
use holdfast_web::idempotency::IdempotencyKey;
use holdfast_web::link::{Secret, split_token, without_secret};
use holdfast_web::multipart::{self, Resource};
use holdfast_web::presign_request::{self, MAX_DOWNLOAD_BYTES, PresignRequest, Purpose};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The input is a body, and a path.
pub fn check(data: &[u8]) {
    presign(data);
    held(data);
    parts(data);
    repeated(data);
    if let Ok(path) = std::str::from_utf8(data) {
        paths(path);
    }
}

fn presign(data: &[u8]) {
    let Ok(asked) = presign_request::parse(data) else { return };
    let body: Value = serde_json::from_slice(data).expect("it was read");
    let elements = match &body {
        Value::Array(elements) => elements.clone(),
        one => vec![one.clone()],
    };
    assert_eq!(asked.many, body.is_array());
    assert!((1..=MAX_PRESIGN_BATCH).contains(&elements.len()));
    assert_eq!(asked.requests.len(), elements.len(), "each has its place");
    for (request, element) in asked.requests.iter().zip(&elements) {
        if let Ok(request) = request {
            one(request, element);
        }
    }
}

/// What is taken says what the body says, within its limits.
fn one(request: &PresignRequest, element: &Value) {
    assert_eq!(element["bucket"], request.bucket.as_str());
    assert_eq!(element["key"], request.key.as_str());
    assert!((1..=MAX_PRESIGN_SECONDS).contains(&request.seconds));
    assert!(element["expiresIn"].is_null() || element["expiresIn"] == request.seconds);
    match &request.purpose {
        Purpose::Get { download, client_ip, cacheable, .. } => {
            assert_eq!(element["method"], "GET");
            assert!(client_ip.is_none() || !cacheable);
            name(download.as_deref(), element);
        }
        Purpose::Direct { download, .. } => {
            assert!(element["method"] == "GET" && element["direct"] == true);
            assert!(element["clientIp"].is_null() && element["cacheable"] != true);
            name(download.as_deref(), element);
        }
        Purpose::Put { size, content_type, metadata, .. } => {
            assert_eq!(element["method"], "PUT");
            assert!(*size <= MAX_PUT_BYTES && element["size"] == *size);
            // What is signed as a header has to be one.
            for text in metadata.values().chain(content_type) {
                assert!(HeaderValue::from_bytes(text.as_bytes()).is_ok(), "{text:?}");
            }
        }
    }
}

/// A name to save a file under.
fn name(download: Option<&str>, body: &Value) {
    assert_eq!(body["download"].as_str(), download);
    assert!(
        download.is_none_or(|it| it.len() <= MAX_DOWNLOAD_BYTES && !it.contains(char::is_control))
    );
}

fn held(data: &[u8]) {
    let body = || serde_json::from_slice::<Value>(data).expect("it was read");
    let uses = |count: Option<i64>| count.is_none_or(|it| (1..=MAX_GRANT_USES).contains(&it));
    if let Ok(share) = ShareRequest::parse(data) {
        assert!((1..=MAX_GRANT_SECONDS).contains(&share.seconds) && uses(share.max_downloads));
        assert_eq!(body()["key"], share.key.as_str());
        name(share.download.as_deref(), &body());
    }
    if let Ok(token) = TokenRequest::parse(data) {
        assert!((1..=MAX_GRANT_SECONDS).contains(&token.seconds) && uses(token.max_uploads));
        assert!(token.prefix.len() <= MAX_KEY_BYTES && token.max_bytes.is_none_or(|it| it >= 0));
        if let Some(types) = token.types {
            assert!((1..=MAX_GRANT_TYPES).contains(&types.len()));
            assert!(types.iter().all(|it| it.contains('/') && !it.contains([';', ',', ' '])));
            assert!(types.iter().all(|it| *it == it.to_ascii_lowercase()));
        }
    }
}

fn parts(data: &[u8]) {
    if let Ok(new) = multipart::create(data) {
        let body: Value = serde_json::from_slice(data).expect("it was read");
        assert!(body["bucket"].is_string() && body["key"].is_string());
        drop(new);
    }
    if let Ok(Some(named)) = multipart::complete(data) {
        assert!((1..=usize::from(MAX_PARTS)).contains(&named.len()));
        for part in named {
            assert!((1..=MAX_PARTS).contains(&part.number));
            assert!(!part.etag.is_empty() && !part.etag.contains(['"', ' ']));
        }
    }
    if let Ok(sign) = multipart::sign(data) {
        assert!(sign.seconds >= 1 && !sign.parts.is_empty());
        assert!(sign.parts.windows(2).all(|pair| pair[0] < pair[1]), "ascending, each once");
    }
    if let Ok(value) = HeaderValue::from_bytes(data) {
        let headers = HeaderMap::from_iter([(multipart::EPOCH, value)]);
        assert!(
            multipart::epoch(&headers).is_ok_and(|it| it.is_some_and(|it| it >= 1))
                || multipart::epoch(&headers).is_err()
        );
    }
}

/// Whatever the spaces, a body is one request under its key; any other value is another one.
fn repeated(data: &[u8]) {
    let key = || IdempotencyKey::parse("key").expect("a key");
    let Ok(first) = key().of_json("/v1/shares", data) else {
        assert!(serde_json::from_slice::<Value>(data).is_err());
        return;
    };
    let body: Value = serde_json::from_slice(data).expect("it was read");
    let print = |route: &str, body: &[u8]| key().of_json(route, body).expect("JSON").fingerprint;
    assert_eq!(print("/v1/shares", &[b" \n", data, b"\t"].concat()), first.fingerprint);
    let pretty = serde_json::to_vec_pretty(&body).expect("JSON");
    // A fraction of many digits is another one when it is written and read; no member of ours has any.
    if serde_json::from_slice::<Value>(&pretty).expect("JSON") == body {
        assert_eq!(print("/v1/shares", &pretty), first.fingerprint);
    }
    assert_ne!(print("/v1/tokens", data), first.fingerprint);
    let wrapped = Value::Array(vec![body]).to_string();
    assert_ne!(print("/v1/shares", wrapped.as_bytes()), first.fingerprint);
}

fn paths(path: &str) {
    if let Some((token, rest)) = split_token(path) {
        assert!(!token.contains('/') && rest.starts_with("/v1/"));
        assert!(without_secret(path).starts_with("/v1/t/-/"));
    }
    if let Some(token) = path.strip_prefix("/s/").filter(|token| !token.contains('/')) {
        assert_eq!(without_secret(path), "/s/-", "{token}");
    }
    if let Some(secret) = Secret::parse(path) {
        assert_eq!(secret.hash, <[u8; 32]>::from(Sha256::digest(path)));
        assert!(!path.contains(['/', '+', '=']));
    }
    if let Ok(Resource::Part(_, number)) = Resource::parse(path) {
        assert!((1..=MAX_PARTS).contains(&number) && path.ends_with(&format!("/parts/{number}")));
    }
}
