//! Inbound HTTP, 1.1 and 2 without TLS on one port: routing, the `spin-*` headers, fixed answers,
//! and a stop that lets requests finish.

use crate::instance::Instances;
use crate::routes::Routes;
use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use wasmtime_wasi_http::handler::ProxyHandler;
use wasmtime_wasi_http::{Error, WasiBody};

const WELL_KNOWN: &str = "/.well-known/spin/";

/// The application, ready for requests.
pub(crate) struct Inbound {
    pub(crate) application: String,
    pub(crate) routes: Routes,
    pub(crate) handlers: BTreeMap<String, ProxyHandler<Instances>>,
}

/// Opens the port.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("cannot listen on {address}: another process has this port")
        }
        _ => anyhow::Error::from(error).context(format!("cannot listen on {address}")),
    })
}

/// Serves until `stop` resolves, then takes no new connection and waits up to `drain` for requests
/// in flight.
pub(crate) async fn serve(
    listener: TcpListener,
    inbound: Arc<Inbound>,
    stop: impl Future<Output = ()>,
    drain: Duration,
) {
    let connections = GracefulShutdown::new();
    let protocol = auto::Builder::new(TokioExecutor::new());
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => {
                    let inbound = Arc::clone(&inbound);
                    let service = service_fn(move |request| {
                        let inbound = Arc::clone(&inbound);
                        async move { Ok::<_, Infallible>(inbound.answer(request, client).await) }
                    });
                    // Nagle's algorithm stays on, as on Spin.
                    let connection = protocol.serve_connection(TokioIo::new(stream), service);
                    let connection = connections.watch(connection.into_owned());
                    tokio::spawn(async move {
                        if let Err(error) = connection.await {
                            tracing::debug!(%error, "connection ended");
                        }
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: waiting is all that helps.
                    tracing::error!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    tracing::info!(connections = connections.count(), "stopping: requests in flight may finish");
    if tokio::time::timeout(drain, connections.shutdown()).await.is_err() {
        tracing::warn!(limit = ?drain, "requests in flight were cut off");
    }
}

impl Inbound {
    async fn answer(&self, request: Request<Incoming>, client: SocketAddr) -> Response<WasiBody> {
        let start = Instant::now();
        let method = request.method().clone();
        let response = self.route(request, client).await;
        // The path is left out: it may carry a token.
        tracing::debug!(
            %method,
            status = response.status().as_u16(),
            elapsed_us = start.elapsed().as_micros(),
            "request"
        );
        response
    }

    async fn route(&self, request: Request<Incoming>, client: SocketAddr) -> Response<WasiBody> {
        let uri = match full_uri(&request) {
            Ok(uri) => uri,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "bad request");
                return empty(StatusCode::INTERNAL_SERVER_ERROR);
            }
        };
        if let Some(name) = uri.path().strip_prefix(WELL_KNOWN) {
            return self.well_known(name);
        }
        let Some(found) = self.routes.find(uri.path()) else {
            return empty(StatusCode::NOT_FOUND);
        };
        let Some(handler) = self.handlers.get(found.component) else {
            return empty(StatusCode::NOT_FOUND);
        };
        let mut headers = found.headers(&uri.to_string());
        headers.push(("spin-client-addr".to_owned(), client.to_string()));
        let request = match prepare(request, uri, headers) {
            Ok(request) => request,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "bad request");
                return empty(StatusCode::INTERNAL_SERVER_ERROR);
            }
        };
        handler.handle((), request).await.unwrap_or_else(|error| {
            tracing::error!(
                component = found.component,
                route = found.route,
                error = format!("{error:#}"),
                "the component failed"
            );
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        })
    }

    fn well_known(&self, name: &str) -> Response<WasiBody> {
        match name {
            "health" => Response::new(whole("OK")),
            "info" => {
                let info = serde_json::json!({ "name": self.application });
                let mut response = Response::new(whole(info.to_string()));
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
                response
            }
            _ => empty(StatusCode::NOT_FOUND),
        }
    }
}

/// The absolute URI: the authority is in the request line or in `host`, and equal if in both.
fn full_uri(request: &Request<Incoming>) -> Result<Uri> {
    let named = request.headers().get(header::HOST);
    let named = named.map(|host| Authority::try_from(host.as_bytes()));
    let named = named.transpose().context("`host` is no authority")?;
    let uri = request.uri().clone().into_parts();
    let authority = match (uri.authority, named) {
        (Some(line), Some(named)) if line != named => {
            anyhow::bail!("the request line and `host` differ")
        }
        (Some(authority), _) | (None, Some(authority)) => authority,
        (None, None) => anyhow::bail!("neither the request line nor `host` has an authority"),
    };
    let path = uri.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(path);
    Ok(uri.build()?)
}

/// The request as the component gets it. What the client sent stays in front of what is appended.
fn prepare(
    request: Request<Incoming>,
    uri: Uri,
    added: Vec<(String, String)>,
) -> Result<Request<WasiBody>> {
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(header::CONNECTION);
    if let Some((name, _)) =
        parts.headers.iter().find(|(_, value)| std::str::from_utf8(value.as_bytes()).is_err())
    {
        anyhow::bail!("header {name} is not UTF-8");
    }
    for (name, value) in added {
        let name = HeaderName::try_from(name)?;
        parts.headers.append(name, HeaderValue::try_from(value)?);
    }
    parts.uri = uri;
    Ok(Request::from_parts(parts, body.map_err(Error::Hyper).boxed_unsync()))
}

fn whole(text: impl Into<Bytes>) -> WasiBody {
    Full::new(text.into()).map_err(Error::from).boxed_unsync()
}

fn empty(status: StatusCode) -> Response<WasiBody> {
    let mut response = Response::new(Empty::new().map_err(Error::from).boxed_unsync());
    *response.status_mut() = status;
    response
}
