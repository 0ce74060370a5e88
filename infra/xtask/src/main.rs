//! `cargo xtask`: builds the components and runs every test, with all the set-up that they need.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

/// The target of the components.
const TARGET: &str = "wasm32-wasip2";

/// The components, as cargo names their packages.
const COMPONENTS: [&str; 4] =
    ["holdfast-upload", "holdfast-download", "holdfast-worker", "holdfast-ops"];

#[derive(Parser)]
#[command(about = "Builds and tests Holdfast")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds every component for Spin, in release.
    Build,
    /// Builds the components and runs all tests; starts the servers that these need, and stops them.
    Test,
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Build => build(),
        Task::Test => {
            build()?;
            holdfast_dev::tools()?;
            say("running the tests");
            run("cargo", &["test", "--no-fail-fast"])
        }
    }
}

/// Ensures the target and builds the components with it.
fn build() -> Result<()> {
    say(&format!("ensuring the target {TARGET}"));
    run("rustup", &["target", "add", TARGET])?;
    say("building the components");
    let mut arguments = vec!["build", "--release", "--target", TARGET];
    for component in COMPONENTS {
        arguments.extend(["-p", component]);
    }
    run("cargo", &arguments)
}

fn say(what: &str) {
    eprintln!("xtask: {what}");
}

/// Runs a tool and fails as it does.
fn run(tool: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(tool)
        .args(arguments)
        .status()
        .with_context(|| format!("`{tool}` does not start; is it installed and on PATH?"))?;
    if !status.success() {
        bail!("`{tool} {}` failed: {status}", arguments.join(" "));
    }
    Ok(())
}
