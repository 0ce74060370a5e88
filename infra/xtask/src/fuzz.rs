//! `cargo xtask fuzz`

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use holdfast_dev::{say, workspace};

use crate::command::{self, cargo};
use crate::signals::Interrupted;

/// The targets, each a program of `tests/fuzz`.
const TARGETS: [&str; 13] = [
    "bodies",
    "conditional",
    "digest_header",
    "form_data",
    "image",
    "jwt",
    "key",
    "policy",
    "range",
    "requests",
    "signed_url",
    "sigv4",
    "tus",
];

/// What libFuzzer needs the compiler to add, all of it in stable Rust: a counter for each edge, a
/// table of their places, and a call at each comparison.
const FLAGS: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// An input that takes longer than this, in seconds, is a finding.
const INPUT_LIMIT_SECONDS: u32 = 5;

/// A target that takes more memory than this, in MiB, is a finding.
const MEMORY_LIMIT_MIB: u32 = 512;

/// Longest input that is made up, in bytes.
const MAX_INPUT_BYTES: u32 = 4_096;

/// How much of a finding's log is shown, in lines.
const SHOWN_LINES: usize = 40;

#[derive(Args)]
pub(crate) struct Fuzz {
    /// How long each target runs
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Which targets to run, one after the other; without any, all of them
    #[arg(value_parser = TARGETS)]
    targets: Vec<String>,
}

impl Fuzz {
    pub(crate) async fn run(self) -> Result<()> {
        let host = host_triple()?;
        build(&host).await?;
        let targets = match &self.targets[..] {
            [] => TARGETS.map(str::to_owned).to_vec(),
            some => some.to_vec(),
        };
        let mut failed = Vec::new();
        // Also after a finding: one run shows all that is wrong.
        for target in targets {
            match self.target(&host, &target).await {
                Ok(()) => {}
                Err(error) if error.is::<Interrupted>() => return Err(error),
                Err(error) => {
                    say(format!("{error:#}"));
                    failed.push(target);
                }
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        bail!("found something in: {}", failed.join(", "))
    }

    /// Runs one target. What it learns stays in its corpus, and the next run begins there.
    async fn target(&self, host: &str, target: &str) -> Result<()> {
        let corpus = folder("corpus", target)?;
        let findings = folder("findings", target)?;
        let log = findings.join("log");
        let program = home().join("build").join(host).join("release").join(target);
        say(format!("== Fuzzing {target} for {} s (log: {})", self.seconds, log.display()));
        let mut fuzz = command::program(program);
        fuzz.arg(format!("-max_total_time={}", self.seconds));
        fuzz.arg(format!("-timeout={INPUT_LIMIT_SECONDS}"));
        fuzz.arg(format!("-rss_limit_mb={MEMORY_LIMIT_MIB}"));
        fuzz.arg(format!("-max_len={MAX_INPUT_BYTES}"));
        fuzz.arg(format!("-artifact_prefix={}/", findings.display()));
        fuzz.arg("-print_final_stats=1");
        // The first folder is written to, the second only read.
        fuzz.arg(corpus).arg(manifest().with_file_name("seeds").join(target));
        // The message of a panic, not forty lines of libFuzzer's own frames.
        fuzz.env("RUST_BACKTRACE", "0");
        fuzz.stderr(File::create(&log)?);
        let result = command::run(fuzz, target).await;
        let log = fs::read(&log).map(|log| String::from_utf8_lossy(&log).into_owned())?;
        match &result {
            Ok(()) => say(format!("{target}: {}", summary(&log))),
            Err(error) if error.is::<Interrupted>() => {}
            Err(_) => say(tail(&log)),
        }
        result
    }
}

/// Compiles the targets, with everything that they use, for libFuzzer. Cargo fetches `libfuzzer-sys`, which
/// has libFuzzer's sources; a C++ compiler has to be there.
async fn build(host: &str) -> Result<()> {
    say("== Building the fuzz targets (the first time takes minutes)");
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        bail!(
            "libFuzzer is C++ and {} is not on PATH: install a C++ compiler (package g++), or set CXX",
            compiler.display()
        );
    }
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--bins"]);
    build.arg("--manifest-path").arg(manifest());
    build.arg("--target-dir").arg(home().join("build"));
    // Named, so that the flags are not for build scripts and macros.
    build.args(["--target", host]);
    build.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    command::run(build, "building the fuzz targets").await
}

fn manifest() -> PathBuf {
    workspace().join("tests/fuzz/Cargo.toml")
}

/// Where everything that is made here lies.
fn home() -> PathBuf {
    workspace().join("target/fuzz")
}

fn folder(kind: &str, target: &str) -> Result<PathBuf> {
    let folder = home().join(kind).join(target);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The triple of this machine, as rustc names it.
fn host_triple() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").current_dir(workspace()).output()?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV does not name its host")
}

/// `1234 executions, 56 a second, 78 edges covered`, out of libFuzzer's statistics.
fn summary(log: &str) -> String {
    let stat = |name: &str| {
        let line = log.lines().rev().find_map(|line| line.strip_prefix(name));
        line.map_or("?", str::trim).to_owned()
    };
    let covered = log.lines().rev().find_map(|line| line.split_once(" cov: "));
    let edges = covered.and_then(|(_, rest)| rest.split(' ').next()).unwrap_or("?");
    format!(
        "{} executions, {} a second, {edges} edges covered, at most {} MiB",
        stat("stat::number_of_executed_units:"),
        stat("stat::average_exec_per_sec:"),
        stat("stat::peak_rss_mb:"),
    )
}

/// The end of a log: the finding and the path of its input.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_targets_are_those_of_the_manifest_and_have_seeds() {
        let manifest_text = fs::read_to_string(manifest()).expect("the manifest");
        let names: Vec<_> = manifest_text
            .split("[[bin]]\nname = \"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(names, TARGETS);
        for target in TARGETS {
            let seeds = manifest().with_file_name("seeds").join(target);
            assert!(fs::read_dir(seeds).expect(target).count() > 0, "{target}");
        }
    }

    #[test]
    fn figures_of_a_log() {
        let log = "#2\tINITED cov: 10 ft: 11\n#9\tDONE   cov: 345 ft: 500\n\
            stat::number_of_executed_units: 1234\nstat::average_exec_per_sec:     56\n\
            stat::peak_rss_mb:              78\n";
        assert_eq!(summary(log), "1234 executions, 56 a second, 345 edges covered, at most 78 MiB");
    }
}
