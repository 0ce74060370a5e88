//! Outbound HTTP.

use crate::reply::{BETWEEN_WRITES, fields, no_trailers};
use crate::{Query, nanoseconds, sleep};
use futures_util::future::join;
use serde_json::{Value, json};
use std::time::Instant;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, RequestOptions, Response, Scheme};
use wasip3::wit_stream;

/// GET of `path` at 127.0.0.1:`port`, with `first-byte` milliseconds as limit if given.
pub(crate) async fn fetch(query: &Query<'_>) -> Value {
    let options = query.milliseconds("first-byte").map(|limit| {
        let options = RequestOptions::new();
        let _ = options.set_first_byte_timeout(Some(nanoseconds(limit)));
        options
    });
    let (request, _) = Request::new(Fields::new(), None, no_trailers(), options);
    answer(send(request, query, Method::Get).await)
}

/// POST of two bytes to 127.0.0.1:`port`, each in a write of its own; tells how long it took.
pub(crate) async fn two_writes(query: &Query<'_>) -> Value {
    let (mut tx, rx) = wit_stream::new();
    let (request, _) = Request::new(fields(2), Some(rx), no_trailers(), None);
    let writes = async move {
        let _ = tx.write_all(b"a".to_vec()).await;
        sleep(BETWEEN_WRITES).await;
        let _ = tx.write_all(b"b".to_vec()).await;
    };
    let start = Instant::now();
    let ((), sent) = join(writes, send(request, query, Method::Post)).await;
    let elapsed = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    match sent {
        Ok(_) => json!({ "milliseconds": elapsed }),
        Err(error) => failed(&error),
    }
}

async fn send(request: Request, query: &Query<'_>, method: Method) -> Result<Response, ErrorCode> {
    let authority = format!("127.0.0.1:{}", query.number("port"));
    let path = format!("/{}", query.text("path"));
    let set = request
        .set_method(&method)
        .and_then(|()| request.set_scheme(Some(&Scheme::Http)))
        .and_then(|()| request.set_authority(Some(&authority)))
        .and_then(|()| request.set_path_with_query(Some(&path)));
    if set.is_err() {
        return Err(ErrorCode::HttpRequestUriInvalid);
    }
    client::send(request).await
}

fn answer(sent: Result<Response, ErrorCode>) -> Value {
    match sent {
        Ok(response) => json!({ "status": response.get_status_code() }),
        Err(error) => failed(&error),
    }
}

fn failed(error: &ErrorCode) -> Value {
    json!({ "error": format!("{error:?}") })
}
