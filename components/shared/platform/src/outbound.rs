//! Outbound HTTP: signed per attempt, with time limits by size, and retries where a body allows it.

use std::time::Duration;

use holdfast_core::error::Error;
use http::{HeaderMap, HeaderName, HeaderValue};
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, RequestOptions, Response, Scheme};
use wasip3::wit_bindgen::{StreamReader, StreamResult};
use wasip3::{wit_future, wit_stream};

use crate::body::{End, no_trailers};
use crate::clock::{nanoseconds, random_bytes, sleep};

/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long the peer may be silent between two pieces of a body.
const BETWEEN_BYTES_LIMIT: Duration = Duration::from_secs(60);

/// How often a request with a replayable body is tried.
const ATTEMPTS: u32 = 4;

/// Wait before the second attempt; it doubles, with as much jitter on top.
const BACKOFF: Duration = Duration::from_millis(50);

/// A request without its body.
pub struct Head<'a> {
    /// GET, PUT, ...
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port.
    pub authority: &'a str,
    /// Path and query, encoded.
    pub path_and_query: &'a str,
    /// Headers without `host`.
    pub headers: &'a [(String, String)],
    /// How long the first byte of the answer may take; it covers the sending of the body too.
    pub first_byte_limit: Duration,
}

impl Head<'_> {
    /// Puts a body behind the head.
    ///
    /// # Errors
    /// A header or the URL is not valid.
    pub fn with_body(&self, body: Option<StreamReader<u8>>, end: End) -> Result<Request, Error> {
        let list: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
            .collect();
        let fields = Fields::from_list(&list)
            .map_err(|error| Error::internal(format!("outbound headers: {error:?}")))?;
        let options = RequestOptions::new();
        let limits = options
            .set_connect_timeout(Some(nanoseconds(CONNECT_LIMIT)))
            .and(options.set_first_byte_timeout(Some(nanoseconds(self.first_byte_limit))))
            .and(options.set_between_bytes_timeout(Some(nanoseconds(BETWEEN_BYTES_LIMIT))));
        limits.map_err(|error| Error::internal(format!("outbound limits: {error:?}")))?;
        let (request, _sent) = Request::new(fields, body, end, Some(options));
        let scheme = if self.scheme == "https" { Scheme::Https } else { Scheme::Http };
        request
            .set_method(&method(self.method))
            .and(request.set_scheme(Some(&scheme)))
            .and(request.set_authority(Some(self.authority)))
            .and(request.set_path_with_query(Some(self.path_and_query)))
            .map_err(|()| Error::internal("outbound URL"))?;
        Ok(request)
    }

    /// Sends with a body that is held whole; it is in its stream before the head leaves, so that both
    /// go in one write.
    ///
    /// # Errors
    /// The transport's.
    pub async fn send_bytes(&self, body: Option<&[u8]>) -> Result<Response, Failure> {
        let Some(bytes) = body else {
            let request = self.with_body(None, no_trailers()).map_err(Failure::Ours)?;
            return client::send(request).await.map_err(Failure::Transport);
        };
        let (mut tx, rx) = wit_stream::new();
        let bytes = bytes.to_vec();
        let request = self.with_body(Some(rx), no_trailers()).map_err(Failure::Ours)?;
        let write = async move {
            // What the peer does not want is its own affair: its answer counts.
            let _ = tx.write_all(bytes).await;
        };
        let (answer, ()) = futures_util::future::join(client::send(request), write).await;
        answer.map_err(Failure::Transport)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// The request was never one.
    Ours(Error),
    /// The connection failed or a time limit passed.
    Transport(ErrorCode),
}

impl Failure {
    /// The error for the client; `peer` is who did not answer.
    #[must_use]
    pub fn into_error(self, peer: &str) -> Error {
        match self {
            Self::Ours(error) => error,
            Self::Transport(code) => Error::unavailable(peer, format!("{code:?}")),
        }
    }
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "PUT" => Method::Put,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        other => Method::Other(other.to_owned()),
    }
}

/// An answer that was read whole.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Fields,
    /// The body, up to the limit that was given.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads an answer, but no more than `limit` bytes of its body.
    ///
    /// # Errors
    /// The transport's, if the body breaks.
    pub async fn read(response: Response, limit: usize) -> Result<Self, ErrorCode> {
        let status = response.get_status_code();
        let headers = response.get_headers();
        let (_verdict, verdict_rx) = wit_future::new(|| Ok(()));
        let (mut stream, end) = Response::consume_body(response, verdict_rx);
        let mut body = Vec::new();
        loop {
            let (result, bytes) = stream.read(Vec::with_capacity(16 * 1_024)).await;
            body.extend_from_slice(&bytes);
            if !matches!(result, StreamResult::Complete(_)) {
                break;
            }
            if body.len() >= limit {
                body.truncate(limit);
                return Ok(Self { status, headers, body });
            }
        }
        drop(stream);
        end.await?;
        Ok(Self { status, headers, body })
    }

    /// The headers; values that are no valid header values are left out.
    #[must_use]
    pub fn header_map(&self) -> HeaderMap {
        header_map(&self.headers)
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.headers, name)
    }
}

/// Headers as such; values that are no valid header values are left out.
pub(crate) fn header_map(fields: &Fields) -> HeaderMap {
    let named = fields.copy_all().into_iter().filter_map(|(name, value)| {
        let name = HeaderName::try_from(name.as_str()).ok()?;
        Some((name, HeaderValue::try_from(value).ok()?))
    });
    let mut headers = HeaderMap::new();
    for (name, value) in named {
        headers.append(name, value);
    }
    headers
}

/// The last value of a header, if it is UTF-8.
#[must_use]
pub fn header(fields: &Fields, name: &str) -> Option<String> {
    fields.get(name).pop().and_then(|value| String::from_utf8(value).ok())
}

/// Repeats `attempt` with capped exponential backoff and jitter while it says that this may help.
///
/// # Errors
/// What the last attempt failed with.
pub async fn retry<T>(mut attempt: impl AsyncFnMut() -> Result<T, Retry>) -> Result<T, Error> {
    let mut number = 1;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(Retry::Never(error)) => return Err(error),
            Err(Retry::MayHelp(error)) if number == ATTEMPTS => return Err(error),
            Err(Retry::MayHelp(_)) => {
                let wait = BACKOFF * (1 << (number - 1));
                let [jitter] = random_bytes();
                sleep(wait + wait * u32::from(jitter) / 256).await;
                number += 1;
            }
        }
    }
}

/// Whether a failed attempt is worth another one.
pub enum Retry {
    /// The next attempt may succeed.
    MayHelp(Error),
    /// It would fail the same way.
    Never(Error),
}
