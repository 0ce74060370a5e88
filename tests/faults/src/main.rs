//! `holdfast-faults`: the whole stack under load while its parts are killed, paused, cut off and run full.
//!
//! After each fault every promise is looked at: what was acknowledged is there with the same bytes, each
//! key behaves as one register, and the database and SeaweedFS agree. A printed seed chooses everything.

mod change;
mod cli;
mod client;
mod content;
mod disk;
mod fault;
mod history;
mod ledger;
mod link;
mod load;
mod memory;
mod overload;
mod register;
mod replay;
mod report;
mod rig;
mod rng;
mod run;
mod tus;
mod verify;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser as _;
use holdfast_dev::say;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    disk::own_mounts();
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(interruptible(&cli)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format!("holdfast-faults: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A signal drops what runs, and with it the servers and their folder.
async fn interruptible(cli: &Cli) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = run::run(cli) => result,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}
