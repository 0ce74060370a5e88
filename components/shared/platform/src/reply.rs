//! Responses. Small ones are in their stream before the head goes, so both leave in one write.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use wasip3::http::types::{Fields, Response};
use wasip3::wit_bindgen::StreamReader;
use wasip3::{wit_future, wit_stream};

use crate::body::{End, no_trailers};

/// A JSON answer.
#[must_use]
pub fn json(status: u16, headers: HeaderMap, value: &serde_json::Value) -> Response {
    let mut headers = headers;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    bytes(status, headers, value.to_string().into_bytes())
}

/// An answer whose body is held whole.
#[must_use]
pub fn bytes(status: u16, mut headers: HeaderMap, body: Vec<u8>) -> Response {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let (mut tx, rx) = wit_stream::new();
    let (response, _sent) = Response::new(fields(&headers), Some(rx), no_trailers());
    wasip3::spawn(async move {
        // A client that left does not read it; there is nobody to tell.
        let _ = tx.write_all(body).await;
    });
    with_status(response, status)
}

/// An answer without a body: to HEAD (with the Content-Length that GET would have), 304 and 204.
#[must_use]
pub fn empty(status: u16, headers: &HeaderMap) -> Response {
    let (response, _sent) = Response::new(fields(headers), None, no_trailers());
    with_status(response, status)
}

/// An answer whose body is another answer's, host to host.
#[must_use]
pub fn spliced(status: u16, headers: &HeaderMap, upstream: Response) -> Response {
    let (_verdict, verdict_rx) = wit_future::new(|| Ok(()));
    let (body, end) = Response::consume_body(upstream, verdict_rx);
    let (response, _sent) = Response::new(fields(headers), Some(body), end);
    with_status(response, status)
}

/// An answer whose body is written while it is read. Its length is not known, and `end` says whether it was whole.
#[must_use]
pub fn streamed(status: u16, headers: &HeaderMap, body: StreamReader<u8>, end: End) -> Response {
    let (response, _sent) = Response::new(fields(headers), Some(body), end);
    with_status(response, status)
}

fn with_status(response: Response, status: u16) -> Response {
    // Every status here is one of ours, from 200 to 599.
    let _ = response.set_status_code(status);
    response
}

fn fields(headers: &HeaderMap) -> Fields {
    let fields = Fields::new();
    for (name, value) in headers {
        if let Err(error) = fields.append(name.as_str(), value.as_bytes()) {
            crate::log::warn("a response header was left out", &format!("{name}: {error:?}"));
        }
    }
    fields
}
