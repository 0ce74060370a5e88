//! `cargo xtask faults`

use anyhow::Result;
use clap::Args;

use crate::build;

#[derive(Args)]
pub(crate) struct Faults {
    /// Passed on to the harness, such as `--rounds 50 --seed 7` (`-- --help` lists them)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Faults {
    pub(crate) async fn run(self) -> Result<()> {
        build::harness("holdfast-faults", self.args, "the faults").await
    }
}
