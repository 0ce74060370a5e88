//! What every measurement needs to know.

use std::sync::Arc;

use anyhow::Result;
use holdfast_dev::Stack;

use crate::cli::Cli;
use crate::target::Target;

/// Connections of the measurements with many small requests.
pub(crate) const CONNECTIONS: u64 = 16;

/// One run.
pub(crate) struct Bench {
    /// Both sides of every comparison.
    pub(crate) target: Arc<Target>,
    /// The database behind the components.
    pub(crate) database_url: String,
    /// The process that runs the components.
    pub(crate) host_pid: u32,
    /// Rounds per side.
    pub(crate) rounds: u32,
    /// Less of everything.
    pub(crate) quick: bool,
}

impl Bench {
    pub(crate) fn new(cli: &Cli, stack: &Stack) -> Result<Self> {
        Ok(Self {
            target: Arc::new(Target::of(stack)?),
            database_url: stack.database_url().to_owned(),
            host_pid: stack.host().pid(),
            rounds: cli.rounds.unwrap_or(if cli.quick { 3 } else { 5 }),
            quick: cli.quick,
        })
    }
}
