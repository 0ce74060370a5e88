//! How the outbound client opens a connection: each request has its own limit for it.

use http::Uri;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tower_service::Service;
use wasmtime_wasi_http::Error;

tokio::task_local! {
    /// The limit of the request for which the client connects: it passes the connector a URI only.
    pub(crate) static CONNECT_TIMEOUT: Duration;
}

/// Opens plain TCP. TLS is left out: nothing that runs here speaks it.
#[derive(Clone, Debug)]
pub(crate) struct Connector;

/// Why a connection was not made.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum ConnectFailure {
    /// The peer does not listen, or cannot be reached.
    #[error("connection refused")]
    Refused,
    /// The name has no address.
    #[error("no such host")]
    Dns,
    /// It took too long.
    #[error("connecting took too long")]
    Timeout,
    /// This host speaks no TLS.
    #[error("holdfast-devhost speaks no TLS")]
    Tls,
}

impl ConnectFailure {
    /// The code that the guest sees.
    pub(crate) fn code(self) -> Error {
        match self {
            Self::Refused => Error::ConnectionRefused,
            Self::Dns => Error::DnsError {
                rcode: Some("address not available".to_owned()),
                info_code: Some(0),
            },
            Self::Timeout => Error::ConnectionTimeout,
            Self::Tls => Error::TlsProtocolError,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let limit = CONNECT_TIMEOUT.try_with(|limit| *limit).unwrap_or(Duration::MAX);
        Box::pin(async move {
            let connecting = tokio::time::timeout(limit, connect(&uri));
            connecting.await.map_err(|_| ConnectFailure::Timeout)?.map(TokioIo::new)
        })
    }
}

async fn connect(uri: &Uri) -> Result<TcpStream, ConnectFailure> {
    if uri.scheme_str() == Some("https") {
        tracing::error!("outbound HTTPS: holdfast-devhost speaks no TLS");
        return Err(ConnectFailure::Tls);
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let addresses = tokio::net::lookup_host((host, uri.port_u16().unwrap_or(80)))
        .await
        .map_err(|_| ConnectFailure::Dns)?
        .collect::<Vec<_>>();
    TcpStream::connect(addresses.as_slice()).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrNotAvailable => ConnectFailure::Dns,
        _ => ConnectFailure::Refused,
    })
}
