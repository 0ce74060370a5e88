//! Answers in one write, and one in two.

use crate::sleep;
use serde_json::Value;
use std::time::Duration;
use wasip3::http::types::{ErrorCode, Fields, Response};
use wasip3::wit_bindgen::FutureReader;
use wasip3::{wit_future, wit_stream};

/// Long enough for the first write to leave, short beside the 40 ms of a delayed acknowledgement.
pub(crate) const BETWEEN_WRITES: Duration = Duration::from_millis(3);

pub(crate) fn json(value: &Value) -> Response {
    let body = value.to_string().into_bytes();
    let (mut tx, rx) = wit_stream::new();
    let (response, _) = Response::new(fields(body.len()), Some(rx), no_trailers());
    wasip3::spawn(async move {
        let _ = tx.write_all(body).await;
    });
    response
}

/// Two bytes, each in a write of its own.
pub(crate) fn two_writes() -> Response {
    let (mut tx, rx) = wit_stream::new();
    let (response, _) = Response::new(fields(2), Some(rx), no_trailers());
    wasip3::spawn(async move {
        let _ = tx.write_all(b"a".to_vec()).await;
        sleep(BETWEEN_WRITES).await;
        let _ = tx.write_all(b"b".to_vec()).await;
    });
    response
}

pub(crate) fn fields(length: usize) -> Fields {
    let fields = Fields::new();
    // A name and a value that are always good.
    let _ = fields.append("content-length", length.to_string().as_bytes());
    fields
}

pub(crate) fn no_trailers() -> FutureReader<Result<Option<Fields>, ErrorCode>> {
    let (tx, rx) = wit_future::new(|| Ok(None));
    drop(tx);
    rx
}
