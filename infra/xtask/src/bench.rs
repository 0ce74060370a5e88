//! `cargo xtask bench`

use anyhow::Result;
use clap::Args;

use crate::{build, command};

#[derive(Args)]
pub(crate) struct Bench {
    /// Passed on to the benchmark (`-- --help` lists them)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Bench {
    pub(crate) async fn run(self) -> Result<()> {
        build::components().await?;
        build::native(&["holdfast-devhost", "holdfast-dev", "holdfast-bench"]).await?;
        let mut bench = command::program(build::program_file("holdfast-bench")?);
        bench.args(self.args);
        command::run(bench, "the benchmark").await
    }
}
