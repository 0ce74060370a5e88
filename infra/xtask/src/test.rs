//! `cargo xtask test`

use anyhow::Result;
use clap::Args;
use holdfast_dev::say;

use crate::build::{self, packages};
use crate::command::{self, cargo};
use crate::imports;
use crate::signals::Interrupted;

/// Everything that is compiled for this machine.
const NATIVE: [&str; 10] = [
    "holdfast-s3",
    "holdfast-core",
    "holdfast-web",
    "holdfast-dev",
    "holdfast-migrations",
    "holdfast-xtask",
    "holdfast-devhost",
    "holdfast-e2e",
    "holdfast-faults",
    "holdfast-bench",
];

#[derive(Args)]
pub(crate) struct Test {
    /// Passed on to the end-to-end tests, such as a name to filter by
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Test {
    pub(crate) async fn run(self) -> Result<()> {
        tokio::task::spawn_blocking(holdfast_dev::tools).await??;
        build::components().await?;

        say("== Checking what the components import against wit/");
        imports::check()?;

        build::native(&[
            "holdfast-devhost",
            "holdfast-dev",
            "holdfast-e2e",
            "holdfast-faults",
            "holdfast-bench",
        ])
        .await?;

        say("== Unit, property and SQL tests, and the host's probe");
        // A test that is stopped half way leaves its folders here, and they go with it.
        let temporary = tempfile::tempdir()?;
        let mut native = cargo();
        native.args(["test", "--no-fail-fast"]).args(packages(&NATIVE));
        native.env("TMPDIR", temporary.path());
        let native = command::run(native, "the native tests").await;
        if native.as_ref().is_err_and(|error| error.is::<Interrupted>()) {
            return native;
        }

        // Also after a failure: one run shows all that is wrong. Before the end-to-end tests, whose summary
        // ends the run; who asks for some of those by name wants nothing else.
        let faults = if self.args.is_empty() {
            say("== Faults under load, the short form");
            let mut faults = command::program(build::program_file("holdfast-faults")?);
            faults.arg("--short").env("TMPDIR", temporary.path());
            command::run(faults, "the faults").await
        } else {
            Ok(())
        };
        if faults.as_ref().is_err_and(|error| error.is::<Interrupted>()) {
            return faults;
        }

        say("== End-to-end tests against real servers");
        let mut e2e = command::program(build::program_file("holdfast-e2e")?);
        e2e.args(self.args).env("TMPDIR", temporary.path());
        let e2e = command::run(e2e, "the end-to-end tests").await;
        temporary.close()?;
        native.and(faults).and(e2e)
    }
}
