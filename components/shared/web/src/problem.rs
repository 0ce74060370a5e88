//! The one renderer of errors: `application/problem+json`.
//!
//! Spec: RFC 9457.

use std::collections::BTreeMap;

use holdfast_core::error::{Code, Error};
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Response, StatusCode};
use serde::Serialize;

use crate::bearer;
use crate::request_id::{RequestId, X_REQUEST_ID};

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What the `type` of every problem begins with; the code follows.
pub const TYPE_PREFIX: &str = "urn:holdfast:error:";

/// What a client reads of a fault of ours, whatever the error's own message says.
const INTERNAL_DETAIL: &str = "An internal error occurred; quote the request id";

/// The request that failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// Its method: a HEAD gets no body.
    pub method: &'a Method,
    /// Its id.
    pub request_id: &'a RequestId,
    /// Its raw path, without the query, which may hold a signature.
    pub instance: &'a str,
}

/// Renders an error. `source` stays inside; a 405 and a 416 still need their Allow and Content-Range.
#[must_use]
pub fn render(error: &Error, failed: Failed<'_>) -> Response<Vec<u8>> {
    let status = status(error.code);
    let body = if *failed.method == Method::HEAD { Vec::new() } else { body(error, failed) };

    let mut response = Response::new(body);
    *response.status_mut() = status;
    let length = response.body().len();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_REQUEST_ID, failed.request_id.to_header());
    // A HEAD may leave it out, and 0 would be a lie about the GET.
    if *failed.method != Method::HEAD {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(challenge) = bearer::challenge(error.code) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(seconds) = error.retry_after_seconds {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What tells the refusal of one part of a request, whose other parts may have been granted.
#[must_use]
pub fn part(error: &Error) -> serde_json::Value {
    serde_json::json!({
        "status": error.code.status(),
        "code": error.code.as_str(),
        "title": error.code.title(),
        "detail": if error.code == Code::InternalError { INTERNAL_DETAIL } else { &error.message },
        "rule": error.rule,
        "retryAfter": error.retry_after_seconds,
    })
}

/// The members, in the order in which they are written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<&'a BTreeMap<String, u64>>,
    request_id: &'a str,
    instance: &'a str,
}

fn body(error: &Error, failed: Failed<'_>) -> Vec<u8> {
    let problem = Problem {
        r#type: format!("{TYPE_PREFIX}{}", error.code.as_str()),
        title: error.code.title(),
        status: status(error.code).as_u16(),
        detail: if error.code == Code::InternalError { INTERNAL_DETAIL } else { &error.message },
        code: error.code.as_str(),
        rule: error.rule.as_deref(),
        counts: error.counts.as_deref(),
        request_id: failed.request_id.as_str(),
        instance: failed.instance,
    };
    // Strings and a number always serialise.
    serde_json::to_vec(&problem).unwrap_or_default()
}

fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rendered(error: &Error, method: &Method) -> Response<Vec<u8>> {
        let request_id = RequestId::parse("req-1").expect("valid");
        render(error, Failed { method, request_id: &request_id, instance: "/v1/download/b/a%20b" })
    }

    fn json(response: &Response<Vec<u8>>) -> Value {
        serde_json::from_slice(response.body()).expect("JSON")
    }

    #[test]
    fn every_member_is_there() {
        let error = Error::new(Code::EntityTooLarge, "At most 5 bytes").rule("policy.maxBytes");
        let response = rendered(&error, &Method::PUT);
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[X_REQUEST_ID], "req-1");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[CONTENT_LENGTH], response.body().len().to_string());
        assert_eq!(
            json(&response),
            json!({
                "type": "urn:holdfast:error:EntityTooLarge",
                "title": "The content is too large",
                "status": 413,
                "detail": "At most 5 bytes",
                "code": "EntityTooLarge",
                "rule": "policy.maxBytes",
                "requestId": "req-1",
                "instance": "/v1/download/b/a%20b",
            })
        );
    }

    #[test]
    fn what_there_is_is_told() {
        let counts = BTreeMap::from([("live".to_owned(), 2), ("pending".to_owned(), 1)]);
        let error = Error::new(Code::BucketNotEmpty, "m").counts(counts);
        let body = json(&rendered(&error, &Method::DELETE));
        assert_eq!(body["counts"], json!({"live": 2, "pending": 1}));
    }

    #[test]
    fn a_head_has_no_body() {
        let response = rendered(&Error::new(Code::NoSuchKey, "gone"), &Method::HEAD);
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(response.body().is_empty());
        assert_eq!(response.headers().get(CONTENT_LENGTH), None);
    }

    #[test]
    fn every_code_has_its_status_and_every_401_a_challenge() {
        for code in Code::ALL {
            let response = rendered(&Error::new(code, "m"), &Method::GET);
            assert_eq!(response.status().as_u16(), code.status());
            assert_eq!(json(&response)["code"], code.as_str());
            let challenge = response.headers().get(WWW_AUTHENTICATE);
            assert_eq!(challenge.is_some(), code.status() == 401, "{}", code.as_str());
        }
    }

    #[test]
    fn no_internal_text_leaves() {
        let careless = Error::new(Code::InternalError, "panicked at secret.rs");
        for error in [
            Error::internal("hunter2 at 10.0.0.1"),
            Error::unavailable("The database", "password=hunter2 at 10.0.0.1"),
            careless,
        ] {
            let body =
                String::from_utf8(rendered(&error, &Method::GET).into_body()).expect("UTF-8");
            for secret in ["hunter2", "10.0.0.1", "secret.rs"] {
                assert!(!body.contains(secret), "{body}");
            }
        }
    }

    #[test]
    fn a_client_is_told_when_to_come_back() {
        let response = rendered(&Error::new(Code::SlowDown, "m"), &Method::GET);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        let response = rendered(&Error::new(Code::NoSuchKey, "m"), &Method::GET);
        assert_eq!(response.headers().get(RETRY_AFTER), None);
    }

    #[test]
    fn a_path_is_escaped() {
        let request_id = RequestId::parse("r").expect("valid");
        let failed = Failed { method: &Method::GET, request_id: &request_id, instance: "/\"\\\n" };
        let response = render(&Error::new(Code::NoSuchRoute, "m"), failed);
        assert_eq!(json(&response)["instance"], "/\"\\\n");
    }
}
