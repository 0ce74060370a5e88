//! One HTTP/1.1 connection, kept alive: a client with nothing between hyper and the socket, so that
//! it takes as little as it can of the cores that it shares with the servers.

use anyhow::{Context, Result, bail, ensure};
use http::header::ETAG;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::payload::{Payload, is_content_at};

/// How much of a refusal is shown, in bytes.
const SHOWN_BYTES: usize = 500;

/// A connection to one side.
pub(crate) struct Connection {
    authority: String,
    sender: SendRequest<Payload>,
}

impl Connection {
    pub(crate) async fn open(authority: &str) -> Result<Self> {
        let stream = TcpStream::connect(authority)
            .await
            .with_context(|| format!("cannot connect to {authority}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its failure is the failure of the request, which says so.
        tokio::spawn(connection);
        Ok(Self { authority: authority.to_owned(), sender })
    }

    /// Sends a request, reads the answer to its end and counts its bytes.
    ///
    /// # Errors
    /// No answer, a broken one, or one that is no success: its text is in the error.
    pub(crate) async fn send(&mut self, request: Request<Payload>) -> Result<u64> {
        let mut answer = self.answer(request).await?;
        let mut bytes = 0;
        while let Some(frame) = answer.body_mut().frame().await {
            bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(bytes)
    }

    /// As [`Connection::send`]; the bare entity tag of the answer, and its body, held whole.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub(crate) async fn ask(&mut self, request: Request<Payload>) -> Result<(String, Vec<u8>)> {
        let answer = self.answer(request).await?;
        let etag = answer.headers().get(ETAG).and_then(|value| value.to_str().ok());
        let etag = etag.unwrap_or_default().trim_matches('"').to_owned();
        Ok((etag, answer.into_body().collect().await?.to_bytes().to_vec()))
    }

    /// As [`Connection::send`]; a header of the answer.
    ///
    /// # Errors
    /// As [`Connection::send`], or it has no such header.
    pub(crate) async fn header(&mut self, request: Request<Payload>, name: &str) -> Result<String> {
        let answer = self.answer(request).await?;
        let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
        let value = value.with_context(|| format!("the answer has no {name}"))?.to_owned();
        answer.into_body().collect().await?;
        Ok(value)
    }

    /// As [`Connection::send`], and every byte must be that of a [`Payload`].
    ///
    /// # Errors
    /// As [`Connection::send`], or a byte differs.
    pub(crate) async fn verify(&mut self, request: Request<Payload>) -> Result<u64> {
        let mut answer = self.answer(request).await?;
        let mut bytes = 0;
        while let Some(frame) = answer.body_mut().frame().await {
            let frame = frame?;
            let data = frame.data_ref().map_or(&[][..], |data| data.as_ref());
            ensure!(is_content_at(bytes, data), "what is read is not what was written");
            bytes += data.len() as u64;
        }
        Ok(bytes)
    }

    async fn answer(&mut self, request: Request<Payload>) -> Result<Response<Incoming>> {
        if self.sender.ready().await.is_err() {
            // Closed by the server while it was idle.
            *self = Self::open(&self.authority).await?;
        }
        let what = format!("{} {}", request.method(), request.uri().path());
        let answer = self.sender.send_request(request).await.with_context(|| what.clone())?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)]).into_owned();
        bail!("{what} was answered {status}: {text}")
    }
}
