//! Structured logs on stderr; what components print becomes part of them.

use clap::ValueEnum;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{io, mem};
use tokio::io::AsyncWrite;
use tracing_subscriber::EnvFilter;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// A longer line is logged in parts.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// How a log line looks.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `RUST_LOG` sets what is shown; without it, `info`.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => logs.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
}

/// The standard output or error of a component's instances.
pub(crate) struct ComponentOutput {
    component: Arc<str>,
    stream: &'static str,
}

impl ComponentOutput {
    pub(crate) fn stdout(component: &str) -> Self {
        Self { component: component.into(), stream: "stdout" }
    }

    pub(crate) fn stderr(component: &str) -> Self {
        Self { component: component.into(), stream: "stderr" }
    }
}

impl IsTerminal for ComponentOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for ComponentOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Lines {
            component: Arc::clone(&self.component),
            stream: self.stream,
            pending: Vec::new(),
        })
    }
}

/// Logs each line as it ends, and what is left when the stream closes.
struct Lines {
    component: Arc<str>,
    stream: &'static str,
    pending: Vec<u8>,
}

impl Lines {
    fn log(&mut self) {
        let line = mem::take(&mut self.pending);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if !line.is_empty() {
            tracing::info!(
                target: "component",
                component = &*self.component,
                stream = self.stream,
                "{line}"
            );
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.log();
    }
}

impl AsyncWrite for Lines {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.pending.extend_from_slice(part);
            if part.ends_with(b"\n") || self.pending.len() > MAX_LINE_BYTES {
                self.log();
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
