//! What has to be compiled.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use holdfast_dev::{say, workspace};

use crate::command::{self, cargo};

const TARGET: &str = "wasm32-wasip2";

/// Packages that become components.
pub(crate) const COMPONENTS: [&str; 13] = [
    "holdfast-upload",
    "holdfast-download",
    "holdfast-multipart",
    "holdfast-uppy",
    "holdfast-objects",
    "holdfast-buckets",
    "holdfast-batches",
    "holdfast-presign",
    "holdfast-templates",
    "holdfast-tus",
    "holdfast-worker",
    "holdfast-ops",
    "holdfast-probe",
];

/// The components and the development host.
pub(crate) async fn everything() -> Result<()> {
    components().await?;
    // Together with `holdfast-dev`: Cargo then chooses the same features of their dependencies as
    // for the tests, and compiles wasmtime once.
    native(&["holdfast-devhost", "holdfast-dev"]).await
}

/// All components in release, where `spin.toml` looks for them.
pub(crate) async fn components() -> Result<()> {
    ensure_target().await?;
    say("== Building the components (release, WebAssembly)");
    let mut build = cargo();
    build.args(["build", "--release", "--target", TARGET, "--target-dir"]);
    build.arg(workspace().join("target"));
    // Flags for this machine's programs are none for the components.
    build.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    build.args(packages(&COMPONENTS));
    command::run(build, "building the components").await
}

/// Programs for this machine.
pub(crate) async fn native(names: &[&str]) -> Result<()> {
    say(format!("== Building {} (the first time takes minutes)", names.join(", ")));
    let mut build = cargo();
    build.arg("build").args(packages(names));
    command::run(build, "building the programs").await
}

/// Builds all that one of our harnesses runs on, and runs it.
pub(crate) async fn harness(package: &str, args: Vec<String>, what: &str) -> Result<()> {
    components().await?;
    native(&["holdfast-devhost", "holdfast-dev", package]).await?;
    let mut program = command::program(program_file(package)?);
    program.args(args);
    command::run(program, what).await
}

pub(crate) fn packages<'a>(names: &'a [&str]) -> impl Iterator<Item = &'a str> {
    names.iter().flat_map(|name| ["--package", *name])
}

/// The file that a component's package is built to.
pub(crate) fn component_file(package: &str) -> PathBuf {
    let file = format!("{}.wasm", package.replace('-', "_"));
    workspace().join("target").join(TARGET).join("release").join(file)
}

/// A program that was built beside us.
pub(crate) fn program_file(name: &str) -> Result<PathBuf> {
    let Some(path) = std::env::current_exe()?.parent().map(|folder| folder.join(name)) else {
        bail!("cannot find the folder of the running program")
    };
    Ok(path)
}

/// The standard library of the components' target. Asked of rustc first: it may come with it, and
/// nothing is downloaded then.
async fn ensure_target() -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let found = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(workspace())
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .is_some_and(|folder| std::fs::read_dir(folder.trim()).is_ok_and(|it| it.count() > 0));
    if found {
        return Ok(());
    }
    if Command::new("rustup").arg("--version").output().is_err() {
        bail!(
            "Rust's target {TARGET} is missing and rustup is not on PATH: install rustup, or the \
             target in the way your Rust was installed"
        );
    }
    say(format!("== Installing Rust's target {TARGET}"));
    let mut rustup = command::program("rustup");
    rustup.args(["target", "add", TARGET]);
    command::run(rustup, "rustup target add").await
}
