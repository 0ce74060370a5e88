//! Where the probe runs.

use crate::sink;
use anyhow::{Context as _, Result, bail};
use holdfast_dev::Postgres;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const URL: &str = "HOLDFAST_PROBE_URL";

/// Whether somebody else runs the host.
pub(crate) fn is_remote() -> bool {
    std::env::var_os(URL).is_some()
}

/// A running host with the probe, and what the probe calls.
pub(crate) struct Probe {
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    pub(crate) sink_port: u16,
    pub(crate) named_port: u16,
    pub(crate) variables: BTreeMap<String, String>,
    devhost: Option<Devhost>,
    postgres: Option<Postgres>,
    folder: TempDir,
}

impl Probe {
    pub(crate) async fn start() -> Result<Self> {
        let (sink_port, named_port) =
            (listen("HOLDFAST_PROBE_SINK_PORT")?, listen("HOLDFAST_PROBE_NAMED_PORT")?);
        let mut probe = Self {
            url: std::env::var(URL).unwrap_or_default(),
            client: reqwest::Client::new(),
            sink_port,
            named_port,
            variables: BTreeMap::new(),
            devhost: None,
            postgres: None,
            folder: tempfile::Builder::new().prefix("holdfast-probe-").tempdir()?,
        };
        if !is_remote() {
            probe.start_devhost().await?;
        }
        Ok(probe)
    }

    async fn start_devhost(&mut self) -> Result<()> {
        // The server may run as another user, who must reach its folder.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.folder.path(), open)?;
        let tools = holdfast_dev::tools()?;
        let postgres = Postgres::start(&tools, &self.folder.path().join("pg"), None).await?;
        self.variables = BTreeMap::from([
            ("database_url".to_owned(), postgres.url()),
            ("database_host".to_owned(), format!("postgres://127.0.0.1:{}", postgres.port())),
            ("sink_port".to_owned(), self.sink_port.to_string()),
            ("named_port".to_owned(), self.named_port.to_string()),
        ]);
        self.postgres = Some(postgres);
        let devhost = Devhost::start(self.state("main"), &self.variables)?;
        self.url.clone_from(&devhost.url);
        self.devhost = Some(devhost);
        Ok(())
    }

    /// A state folder inside the temporary one.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The state folder and the log of the host that runs.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.state("main").with_extension("log"))?)
    }

    /// Sends GET and reads the JSON answer.
    pub(crate) async fn ask(&self, path: &str) -> Result<Value> {
        let response = self.client.get(format!("{}{path}", self.url)).send().await?;
        if response.status() != 200 {
            bail!("{path}: {}", response.status());
        }
        Ok(response.json().await?)
    }

    pub(crate) async fn stop(&self) {
        if let Some(devhost) = &self.devhost {
            devhost.terminate();
        }
        if let Some(postgres) = &self.postgres {
            let _ = postgres.stop().await;
        }
    }
}

fn listen(variable: &str) -> Result<u16> {
    let port = std::env::var(variable).unwrap_or_else(|_| "0".to_owned());
    let port: u16 = port.parse().with_context(|| format!("{variable} is no port"))?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let port = listener.local_addr()?.port();
    sink::serve(listener);
    Ok(port)
}

/// A `holdfast-devhost` of our own.
pub(crate) struct Devhost {
    pub(crate) url: String,
    process: std::sync::Mutex<Child>,
}

impl Devhost {
    /// Starts it on a free port and waits for its line.
    pub(crate) fn start(state: PathBuf, variables: &BTreeMap<String, String>) -> Result<Self> {
        Self::start_with(state, variables, &[])
    }

    pub(crate) fn start_with(
        state: PathBuf,
        variables: &BTreeMap<String, String>,
        extra: &[&str],
    ) -> Result<Self> {
        let log = std::fs::File::create(state.with_extension("log"))?;
        let mut process = command(&state, variables, "127.0.0.1:0")?
            .args(extra)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let stdout = process.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let Some(url) = line.trim().strip_prefix("Serving ") else {
            let _ = process.wait();
            let log = std::fs::read_to_string(state.with_extension("log"))?;
            bail!("holdfast-devhost did not start: {log}");
        };
        Ok(Self { url: url.to_owned(), process: std::sync::Mutex::new(process) })
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        let id = self.process.lock().map(|process| process.id()).unwrap_or_default();
        let _ = Command::new("kill").args(["-TERM", &id.to_string()]).status();
    }

    /// Waits until it ended.
    pub(crate) fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        let Ok(mut process) = self.process.lock() else { bail!("a check panicked") };
        loop {
            if let Some(status) = process.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > limit {
                bail!("it still runs after {limit:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Devhost {
    fn drop(&mut self) {
        if let Ok(process) = self.process.get_mut() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The command that runs the probe; the manifest is copied so that it finds the built component.
pub(crate) fn command(
    state: &Path,
    variables: &BTreeMap<String, String>,
    listen: &str,
) -> Result<Command> {
    let manifest = holdfast_dev::workspace().join("tests/probe/spin.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-devhost"));
    command.arg("--from").arg(manifest).arg("--state-dir").arg(state);
    command.args(["--listen", listen, "--log-format", "json"]);
    command.env("RUST_LOG", "debug");
    for (name, value) in variables {
        command.env(format!("SPIN_VARIABLE_{}", name.to_uppercase()), value);
    }
    Ok(command)
}
