//! `cargo xtask bench`

use anyhow::Result;
use clap::Args;

use crate::build;

#[derive(Args)]
pub(crate) struct Bench {
    /// Passed on to the benchmark (`-- --help` lists them)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Bench {
    pub(crate) async fn run(self) -> Result<()> {
        build::harness("holdfast-bench", self.args, "the benchmark").await
    }
}
