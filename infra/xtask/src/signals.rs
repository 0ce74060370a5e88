//! Ctrl-C, SIGTERM and a closed terminal all mean: stop, cleanly.

use std::fmt;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

/// The user wants an end; not a failure to explain.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Returns when one of them arrives.
pub(crate) async fn stop() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// `work`, unless a signal comes first: then `work` is dropped, with all that it started.
pub(crate) async fn or_stop<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        result = work => result,
        stopped = stop() => {
            stopped?;
            Err(Interrupted.into())
        }
    }
}
