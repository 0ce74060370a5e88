//! What every measurement needs to know.

use std::sync::Arc;

use crate::cli::Cli;
use crate::target::Target;

/// Connections of the measurements with many small requests.
pub(crate) const CONNECTIONS: u64 = 16;

/// One run.
pub(crate) struct Bench {
    /// Both sides of every comparison.
    pub(crate) target: Arc<Target>,
    /// The process that runs the components.
    pub(crate) host_pid: u32,
    /// Rounds per side.
    pub(crate) rounds: u32,
    /// Less of everything.
    pub(crate) quick: bool,
}

impl Bench {
    pub(crate) fn new(cli: &Cli, target: Target, host_pid: u32) -> Self {
        let rounds = cli.rounds.unwrap_or(if cli.quick { 3 } else { 5 });
        Self { target: Arc::new(target), host_pid, rounds, quick: cli.quick }
    }
}
