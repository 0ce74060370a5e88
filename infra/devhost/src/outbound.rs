//! Outbound HTTP: the allow list, Spin's time limits, one pooled client for all components.

use crate::component::Component;
use crate::connector::{CONNECT_TIMEOUT, ConnectFailure, Connector};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Spin's default for connecting, for the first byte, and between bytes.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// The client that all components share. It leaves Nagle's algorithm on, as Spin does.
pub(crate) type Client = legacy::Client<Connector, WasiBody>;

/// Makes the client.
pub(crate) fn client() -> Client {
    legacy::Client::builder(TokioExecutor::new()).build(Connector)
}

type SendResult =
    Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

/// The outbound side of one instance.
pub(crate) struct Outbound(Arc<Component>);

impl Outbound {
    pub(crate) fn new(component: Arc<Component>) -> Self {
        Self(component)
    }
}

impl WasiHttpHooks for Outbound {
    /// The client writes it, from the authority.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = SendResult> + Send> {
        let component = Arc::clone(&self.0);
        Box::new(async move {
            if !allowed(&component, request.uri()) {
                tracing::error!(
                    component = component.id,
                    authority = request.uri().authority().map(tracing::field::display),
                    "outbound HTTP denied: allowed_outbound_hosts does not list this host"
                );
                return Err(Error::HttpRequestDenied);
            }
            let response = send(&component.client, request, options.unwrap_or_default()).await?;
            Ok((response, Box::new(async { Ok(()) }) as Box<_>))
        })
    }
}

fn allowed(component: &Component, uri: &http::Uri) -> bool {
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return false };
    component.allow_list.allows(scheme, host, uri.port_u16())
}

/// The limit for the first byte covers the sending of the body too, as on Spin.
async fn send(
    client: &Client,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<Response<WasiBody>, Error> {
    let connect = options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let first_byte = options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let between_bytes = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let sent = CONNECT_TIMEOUT.scope(connect, client.request(request));
    let response = tokio::time::timeout(first_byte, sent)
        .await
        .map_err(|_| Error::ConnectionReadTimeout)?
        .map_err(|error| code(&error))?;
    Ok(response.map(|body| TimedBody::new(body, between_bytes).boxed_unsync()))
}

/// A failed connect says how, anything else is a protocol error.
fn code(error: &legacy::Error) -> Error {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(failure) = inner.downcast_ref::<ConnectFailure>() {
            return failure.code();
        }
        source = inner.source();
    }
    tracing::debug!(%error, "outbound HTTP failed");
    Error::HttpProtocolError
}

/// A response body that fails when nothing comes for too long.
struct TimedBody {
    body: Incoming,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

impl TimedBody {
    fn new(body: Incoming, limit: Duration) -> Self {
        Self { body, limit, timer: Box::pin(tokio::time::sleep(limit)) }
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let next = Instant::now() + self.limit;
            self.timer.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::Hyper)));
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_limits_default_to_those_of_spin() {
        assert_eq!(DEFAULT_TIMEOUT, Duration::from_secs(600));
    }
}
