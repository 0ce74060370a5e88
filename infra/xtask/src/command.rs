//! Programs that run in the foreground: cargo and what it built.

use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::signals::{self, Interrupted};

/// How long a program may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// A program in a group of its own, so that a signal reaches all that it starts; it is stopped
/// with us, whatever ends us.
pub(crate) fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(path).stdin(Stdio::null()).process_group(0);
    command.current_dir(holdfast_dev::workspace());
    command
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Set for us, not for what we start.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH"] {
        command.env_remove(name);
    }
    command
}

/// Runs a program with our output.
///
/// # Errors
/// [`Interrupted`], or it did not succeed: `what` begins the sentence.
pub(crate) async fn run(mut command: Command, what: &str) -> Result<()> {
    let child = command.spawn().with_context(|| {
        format!("{what}: cannot start it; is `setpriv` (package util-linux) on PATH?")
    })?;
    let status = wait(child).await?;
    if !status.success() {
        bail!("{what}: failed ({status})");
    }
    Ok(())
}

/// Waits for the end of a program, which a signal brings about.
async fn wait(mut child: Child) -> Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return Ok(status?),
        stopped = signals::stop() => stopped?,
    }
    let Some(id) = child.id() else {
        return Err(Interrupted.into());
    };
    let group = Pid::from_raw(i32::try_from(id)?);
    let _ = killpg(group, Signal::SIGTERM);
    let _ = tokio::time::timeout(STOP_LIMIT, child.wait()).await;
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.wait().await;
    Err(Interrupted.into())
}
