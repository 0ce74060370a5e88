//! A private PostgreSQL.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::files::{self, FolderLock};
use crate::ports;
use crate::process::{Process, ProcessSpec, RunAs, Slot, UNPRIVILEGED};
use crate::tools::Tools;

/// Name of the role (its owner) and of the database.
const NAME: &str = "holdfast";
/// A crash recovery is part of starting.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The four components keep up to 64 connections each. `fsync` stays on: tests kill this server
/// and then ask for every acknowledged byte. Parallel workers would want shared memory files,
/// of which a container has few.
const SETTINGS: [&str; 14] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=800",
    "shared_buffers=128MB",
    "max_wal_size=2GB",
    "checkpoint_timeout=15min",
    "max_parallel_workers_per_gather=0",
    "jit=off",
    "random_page_cost=1.1",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_line_prefix=%m [%p] ",
    "log_min_duration_statement=1000",
    "track_io_timing=on",
];

/// A PostgreSQL server on loopback, killed when dropped.
#[derive(Debug)]
pub struct Postgres {
    postgres: PathBuf,
    data: PathBuf,
    run_as: RunAs,
    port: u16,
    password: String,
    process: Slot,
    _lock: FolderLock,
}

impl Postgres {
    /// Starts a server whose cluster, password and log are in `data`, made on the first start.
    ///
    /// Without a `port` it takes the one it had last time, or another when that is taken. As root
    /// the server runs as `nobody`, which is given the cluster's folder.
    ///
    /// # Errors
    /// The folder is in use or cannot be written, the port is taken, or the server does not come
    /// up; the sentence says which and names the log.
    pub async fn start(tools: &Tools, data: &Path, port: Option<u16>) -> Result<Self> {
        files::folder(data, 0o755)?;
        let data = &fs::canonicalize(data)?;
        let lock = FolderLock::take(data)?;
        let password = files::secret(&data.join("password"))?;
        let run_as =
            RunAs::not_root(&[&data.join("pgdata/PG_VERSION"), data, &tools.postgres_bin])?;
        if !data.join("pgdata/PG_VERSION").exists() {
            init(tools, data, run_as, &password).await?;
        }
        let port = ports::keep(&data.join("port"), port, "PostgreSQL")?;
        let postgres = tools.postgres_bin.join("postgres");
        let process = Slot::new(launch(&postgres, data, run_as, port, &password).await?);
        let server =
            Self { postgres, data: data.clone(), run_as, port, password, process, _lock: lock };
        server.create_database().await?;
        Ok(server)
    }

    /// `postgres://holdfast:...@127.0.0.1:.../holdfast`, for the owner of the database.
    #[must_use]
    pub fn url(&self) -> String {
        url(&self.password, self.port, NAME)
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process that owns the cluster.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.get().pid()
    }

    /// Did it end by itself? The answer is the sentence that says so.
    ///
    /// # Errors
    /// It did.
    pub fn check_running(&self) -> Result<()> {
        self.process.get().check_running()
    }

    /// What it writes to.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.data.join("log")
    }

    /// Ends connections, writes a checkpoint and stops.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub async fn stop(&self) -> Result<()> {
        self.process.get().stop().await
    }

    /// Kills the server and all its backends at once, as a crash would.
    pub fn kill9(&self) {
        self.process.get().kill();
    }

    /// Stops every process of the server in its tracks (SIGSTOP).
    pub fn pause(&self) {
        self.process.get().signal(Signal::SIGSTOP);
    }

    /// Undoes [`Postgres::pause`].
    pub fn resume(&self) {
        self.process.get().signal(Signal::SIGCONT);
    }

    /// Starts it again on the same port, stopping it first when it still runs.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn restart(&self) -> Result<()> {
        self.process.get().stop().await?;
        let (postgres, data) = (&self.postgres, &self.data);
        let process = launch(postgres, data, self.run_as, self.port, &self.password).await?;
        self.process.set(process);
        Ok(())
    }

    async fn create_database(&self) -> Result<()> {
        let (client, connection) = tokio_postgres::connect(
            &url(&self.password, self.port, "postgres"),
            tokio_postgres::NoTls,
        )
        .await?;
        let connection = tokio::spawn(connection);
        let known =
            client.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&NAME]).await?;
        if known.is_none() {
            client.batch_execute(&format!("CREATE DATABASE {NAME}")).await?;
        }
        drop(client);
        let _ = connection.await;
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // "Immediate": gives the shared memory back, which SIGKILL would not.
        self.process.get().end_with(Signal::SIGQUIT, Duration::from_secs(3));
    }
}

fn url(password: &str, port: u16, database: &str) -> String {
    format!(
        "postgres://{NAME}:{password}@127.0.0.1:{port}/{database}?sslmode=disable&connect_timeout=5"
    )
}

/// Makes the cluster beside its place and moves it there when it is whole.
async fn init(tools: &Tools, data: &Path, run_as: RunAs, password: &str) -> Result<()> {
    let (new, secret) = (data.join("pgdata.new"), data.join("initdb.password"));
    let _ = fs::remove_dir_all(&new);
    files::folder(&new, 0o700)?;
    files::write_private(&secret, password)?;
    if let RunAs::Nobody { .. } = run_as {
        for path in [&new, &secret] {
            std::os::unix::fs::chown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED))
                .with_context(|| format!("cannot give {} to nobody", path.display()))?;
        }
    }
    let mut args: Vec<OsString> =
        ["--username", NAME, "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-instructions"]
            .into_iter()
            .chain(["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"])
            .map(Into::into)
            .collect();
    args.extend(["--pwfile".into(), secret.clone().into(), "--pgdata".into(), new.clone().into()]);
    let made = spec(tools.postgres_bin.join("initdb"), args, data, run_as).run().await;
    let _ = fs::remove_file(&secret);
    made?;
    fs::rename(&new, data.join("pgdata"))?;
    Ok(())
}

async fn launch(
    postgres: &Path,
    data: &Path,
    run_as: RunAs,
    port: u16,
    password: &str,
) -> Result<Process> {
    let mut args: Vec<OsString> = vec!["-D".into(), data.join("pgdata").into()];
    args.extend(["-p".into(), port.to_string().into()]);
    args.extend(SETTINGS.iter().flat_map(|setting| ["-c".into(), (*setting).into()]));
    let process = Process::spawn(spec(postgres.to_path_buf(), args, data, run_as))?;
    let url = url(password, port, "postgres");
    process
        .wait_until(START_LIMIT, async || {
            let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
            connected.map(drop).map_err(|error| error.to_string())
        })
        .await?;
    Ok(process)
}

fn spec(program: PathBuf, args: Vec<OsString>, data: &Path, run_as: RunAs) -> ProcessSpec {
    ProcessSpec {
        name: "PostgreSQL",
        program,
        args,
        env: BTreeMap::from([("LC_ALL".into(), "C".into())]),
        cwd: data.to_path_buf(),
        log: data.join("log"),
        run_as,
        // "Fast": SIGTERM would wait for the clients.
        stop_signal: Signal::SIGINT,
        // "Immediate": the backends end too, and the shared memory is given back.
        orphan_signal: Signal::SIGQUIT,
    }
}
