//! `cargo xtask faults`

use anyhow::Result;
use clap::Args;

use crate::{build, command};

#[derive(Args)]
pub(crate) struct Faults {
    /// Passed on to the harness, such as `--rounds 50 --seed 7` (`-- --help` lists them)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Faults {
    pub(crate) async fn run(self) -> Result<()> {
        build::components().await?;
        build::native(&["holdfast-devhost", "holdfast-dev", "holdfast-faults"]).await?;
        let mut faults = command::program(build::program_file("holdfast-faults")?);
        faults.args(self.args);
        command::run(faults, "the faults").await
    }
}
