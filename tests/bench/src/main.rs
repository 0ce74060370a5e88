//! `holdfast-bench`: what Holdfast costs, against SeaweedFS called directly.
//!
//! It starts one whole stack (the development host, a real SeaweedFS and PostgreSQL) in a temporary
//! folder and prints ratios taken in one run: rounds to SeaweedFS, signed, and through Holdfast
//! take turns, so that both meet the same machine. Client, host and servers share its cores.

mod bench;
mod cli;
mod client;
mod load;
mod measure;
mod memory;
mod payload;
mod rounds;
mod small;
mod table;
mod target;
mod throughput;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser as _;
use holdfast_dev::{Stack, StackOptions, say};
use tokio::signal::unix::{SignalKind, signal};

use crate::bench::Bench;
use crate::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match interruptible(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format!("holdfast-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A signal drops what runs, and with it the servers and their folder.
async fn interruptible(cli: Cli) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = run(cli) => result,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn run(cli: Cli) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("holdfast-bench-")
        .tempdir()
        .context("cannot create a temporary folder")?;
    let mut options = StackOptions::new(folder.path());
    options.devhost.clone_from(&cli.devhost);
    let stack = Stack::start(options).await?;
    let bench = Bench::new(&cli, &stack)?;
    let measured = measure::all(&bench, &cli.measurements()).await;
    // A host that died explains a failed request better than the request does.
    let running = stack.host().check_running();
    stack.stop().await?;
    running.and(measured)
}
