//! The process that runs `spin.toml`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::files;
use crate::process::{Process, ProcessSpec, RunAs, Slot};
use crate::tools::workspace;

/// Components are compiled on the first start.
const START_LIMIT: Duration = Duration::from_secs(120);

/// What runs the components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Runtime {
    /// `holdfast-devhost`, built from this repository.
    #[default]
    Devhost,
    /// The Spin CLI, found on PATH.
    Spin,
}

impl Runtime {
    /// Is it there? Asked before minutes are spent on building for it.
    ///
    /// # Errors
    /// The Spin CLI is not on PATH.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Devhost => Ok(()),
            Self::Spin => spin().map(drop),
        }
    }
}

fn spin() -> Result<PathBuf> {
    match on_path("spin") {
        Some(path) => Ok(path),
        None => bail!("the Spin CLI is not on PATH: install Spin 4.1, or use --runtime devhost"),
    }
}

/// How to start the application. `Debug` does not show the variables.
#[derive(Clone)]
pub struct HostSpec {
    /// The program of [`Runtime::Devhost`].
    pub devhost: PathBuf,
    /// `spin.toml`.
    pub manifest: PathBuf,
    /// Where it serves HTTP.
    pub listen: SocketAddr,
    /// The application's variables by their names in the manifest.
    pub variables: BTreeMap<String, String>,
    /// Key-value stores and compiled code.
    pub state_dir: PathBuf,
    /// What it writes is appended here.
    pub log: PathBuf,
    /// What runs it.
    pub runtime: Runtime,
}

impl fmt::Debug for HostSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostSpec")
            .field("manifest", &self.manifest)
            .field("listen", &self.listen)
            .field("runtime", &self.runtime)
            .finish_non_exhaustive()
    }
}

impl HostSpec {
    fn program(&self) -> Result<PathBuf> {
        match self.runtime {
            Runtime::Devhost if self.devhost.is_file() => Ok(self.devhost.clone()),
            Runtime::Devhost => bail!(
                "there is no development host at {}: run `cargo xtask build`",
                self.devhost.display()
            ),
            Runtime::Spin => spin(),
        }
    }

    fn args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        if self.runtime == Runtime::Spin {
            args.push("up".into());
            let config = workspace().join("infra/spin/runtime-config.toml");
            if config.is_file() {
                args.extend(["--runtime-config-file".into(), config.into()]);
            }
        }
        args.extend(["--from".into(), self.manifest.clone().into()]);
        args.extend(["--listen".into(), self.listen.to_string().into()]);
        args.extend(["--state-dir".into(), self.state_dir.clone().into()]);
        args
    }

    /// Variables go by the environment: arguments can be read by every user of the machine.
    fn env(&self) -> BTreeMap<String, String> {
        self.variables
            .iter()
            .map(|(name, value)| (format!("SPIN_VARIABLE_{}", name.to_uppercase()), value.clone()))
            .collect()
    }

    fn spawn(&self) -> Result<Process> {
        let mut env = self.env();
        for name in ["RUST_LOG", "RUST_BACKTRACE"] {
            if let Ok(value) = std::env::var(name) {
                env.insert(name.to_owned(), value);
            }
        }
        Process::spawn(ProcessSpec {
            name: "the application",
            program: self.program()?,
            args: self.args(),
            env,
            cwd: self.manifest.parent().unwrap_or(Path::new("/")).to_path_buf(),
            log: self.log.clone(),
            run_as: RunAs::Me,
            stop_signal: Signal::SIGTERM,
            // Spin passes SIGTERM on to the trigger process that it started.
            orphan_signal: match self.runtime {
                Runtime::Devhost => Signal::SIGKILL,
                Runtime::Spin => Signal::SIGTERM,
            },
        })
    }
}

/// A program by its bare name.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// The running application, killed when dropped.
#[derive(Debug)]
pub struct Host {
    spec: HostSpec,
    http: reqwest::Client,
    process: Slot,
}

impl Host {
    /// Starts it; [`Host::wait_ready`] says when it can be used.
    ///
    /// # Errors
    /// The port is taken or the program missing.
    pub async fn start(spec: HostSpec) -> Result<Self> {
        crate::ports::require_free_port(spec.listen.port(), "the application")?;
        files::folder(&spec.state_dir, 0o700)?;
        let http =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let process = Slot::new(spec.spawn()?);
        Ok(Self { spec, http, process })
    }

    /// `http://127.0.0.1:3000`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.spec.listen)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.get().pid()
    }

    /// What it writes to.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.spec.log
    }

    /// Did it end by itself? The answer is the sentence that says so.
    ///
    /// # Errors
    /// It did.
    pub fn check_running(&self) -> Result<()> {
        self.process.get().check_running()
    }

    /// Waits until `GET path` answers 200.
    ///
    /// # Errors
    /// The process ended, or the time is over.
    pub async fn wait_ready(&self, path: &str) -> Result<()> {
        let url = format!("{}{path}", self.url());
        let process = self.process.get();
        process
            .wait_until(START_LIMIT, async || {
                let answer =
                    self.http.get(&url).send().await.map_err(|error| format!("{path}: {error}"))?;
                let status = answer.status();
                if status.is_success() {
                    return Ok(());
                }
                let body = answer.text().await.unwrap_or_default();
                Err(format!("{path} answers {status} {}", body.trim()))
            })
            .await
    }

    /// Asks it to stop, waits for the requests in flight, kills it after ten seconds.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub async fn stop(&self) -> Result<()> {
        self.process.get().stop().await
    }

    /// Kills it at once.
    pub fn kill9(&self) {
        self.process.get().kill();
    }

    /// Starts it again on the same port, stopping it first when it still runs.
    ///
    /// # Errors
    /// As [`Host::start`].
    pub async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.process.set(self.spec.spawn().context("cannot start the application again")?);
        Ok(())
    }
}
