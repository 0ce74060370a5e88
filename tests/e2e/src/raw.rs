//! HTTP/1.1 by hand: for what a client library does not do, such as to leave in the middle.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::Api;

/// How long the other side may take for one piece.
const PATIENCE: Duration = Duration::from_secs(90);

/// One connection.
pub(crate) struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// Connects and sends the head of alice's request. `headers` are whole lines, each with its end.
    pub(crate) async fn open(api: &Api, method: &str, path: &str, headers: &str) -> Result<Self> {
        let authority = api.url.strip_prefix("http://").context("an http URL")?;
        let mut stream = TcpStream::connect(authority).await?;
        let token = &api.alice;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {token}\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        Ok(Self { stream })
    }

    /// Sends bytes of the body; false once the other side takes no more.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<bool> {
        let sent = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await;
        Ok(sent.context("the server takes no bytes")?.is_ok())
    }

    /// Sends one chunk of a chunked body.
    pub(crate) async fn send_chunk(&mut self, bytes: &[u8]) -> Result<bool> {
        let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
        self.send(&framed).await
    }

    /// Reads at least `count` bytes of whatever comes.
    pub(crate) async fn receive(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 * 1_024];
        while bytes.len() < count {
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await;
            match read.context("the server sends no bytes")? {
                Ok(0) | Err(_) => break,
                Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            }
        }
        Ok(bytes)
    }

    /// Reads an answer up to the end of its problem document: the status and the text.
    pub(crate) async fn problem(&mut self) -> Result<(u16, String)> {
        let mut text = String::new();
        while !text.trim_end().ends_with('}') {
            let more = self.receive(1).await?;
            if more.is_empty() {
                bail!("the connection ended after {text:?}");
            }
            text.push_str(&String::from_utf8_lossy(&more));
        }
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.with_context(|| text.clone())?, text))
    }

    /// Ends the connection by a reset, as a client that is killed or loses its network does.
    pub(crate) fn reset(self) -> Result<()> {
        self.stream.set_zero_linger()?;
        Ok(())
    }
}
