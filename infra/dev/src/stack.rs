//! Everything that Holdfast needs, in one folder.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::database;
use crate::files::{self, FolderLock};
use crate::host::{Host, HostSpec, Runtime};
use crate::keys::{DevKeys, S3Keys};
use crate::ports;
use crate::postgres::Postgres;
use crate::progress::Step;
use crate::s3::S3Client;
use crate::seaweedfs::SeaweedFs;
use crate::ticker::{self, Ticker};
use crate::tools::{tools, workspace};

/// How long the tokens in `dev.env` live.
const DEV_TOKEN_SECONDS: i64 = 30 * 24 * 3600;
/// How long the tokens of [`Stack::admin_token`] live.
const ADMIN_TOKEN_SECONDS: i64 = 12 * 3600;

/// An S3 server that somebody else runs.
#[derive(Debug, Clone)]
pub struct ExternalS3 {
    /// `http://host:port`
    pub endpoint: String,
    /// Signed, and not checked by SeaweedFS.
    pub region: String,
    /// May create buckets, and write and delete objects.
    pub keys: S3Keys,
}

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// The folder of everything that is kept.
    pub data: PathBuf,
    /// Where the application listens on 127.0.0.1; `None` takes a free port.
    pub port: Option<u16>,
    /// Use this PostgreSQL and start none.
    pub pg_url: Option<String>,
    /// Use this S3 server and start none.
    pub s3: Option<ExternalS3>,
    /// What runs the application.
    pub runtime: Runtime,
    /// The manifest; `None` is the repository's `spin.toml`.
    pub manifest: Option<PathBuf>,
    /// The development host; `None` is the one built beside the running program.
    pub devhost: Option<PathBuf>,
    /// Added to the variables of the application, or in place of them.
    pub variables: BTreeMap<String, String>,
    /// How often the worker is ticked; `None` leaves it to [`Stack::tick`].
    pub tick_every: Option<Duration>,
}

impl StackOptions {
    /// Everything private and new in `data`, on a free port, ticked every second.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            port: None,
            pg_url: None,
            s3: None,
            runtime: Runtime::default(),
            manifest: None,
            devhost: None,
            variables: BTreeMap::new(),
            tick_every: Some(Duration::from_secs(1)),
        }
    }

    /// Takes the servers that `DATABASE_URL` and `S3_ENDPOINT` (with `S3_ACCESS_KEY_ID`,
    /// `S3_SECRET_ACCESS_KEY` and `S3_REGION`) name.
    ///
    /// # Errors
    /// An endpoint without keys.
    pub fn servers_from_env(mut self) -> Result<Self> {
        self.pg_url = variable("DATABASE_URL");
        if let Some(endpoint) = variable("S3_ENDPOINT") {
            let (Some(access_key_id), Some(secret_access_key)) =
                (variable("S3_ACCESS_KEY_ID"), variable("S3_SECRET_ACCESS_KEY"))
            else {
                bail!("S3_ENDPOINT is set: set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY too")
            };
            let region = variable("S3_REGION").unwrap_or_else(|| "us-east-1".to_owned());
            let keys = S3Keys { access_key_id, secret_access_key };
            self.s3 = Some(ExternalS3 { endpoint, region, keys });
        }
        Ok(self)
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The running servers and the application. Dropping it kills all of them.
#[derive(Debug)]
pub struct Stack {
    // Dropped in this order: the application first.
    ticker: std::sync::Mutex<Option<Ticker>>,
    host: Host,
    seaweedfs: Option<SeaweedFs>,
    postgres: Option<Postgres>,
    database_url: String,
    s3: ExternalS3,
    keys: DevKeys,
    data: PathBuf,
    _lock: FolderLock,
}

impl Stack {
    /// Starts the servers that are not given, migrates the database, creates the default buckets
    /// in it and in S3, starts the application and waits until `/readyz` is good. Writes
    /// `dev.env` into the data folder.
    ///
    /// # Errors
    /// The first thing that went wrong, in a sentence; nothing keeps running.
    pub async fn start(options: StackOptions) -> Result<Self> {
        files::folder(&options.data, 0o755)?;
        let data = fs::canonicalize(&options.data)?;
        let lock = FolderLock::take(&data)?;
        if let Some(port) = options.port {
            ports::require_free_port(port, "the application")?;
        }
        let keys = DevKeys::load_or_create(&data)?;
        let (postgres, seaweedfs) = start_servers(&options, &data, &keys).await?;
        let database_url = match (&postgres, &options.pg_url) {
            (Some(server), _) => server.url(),
            (None, Some(url)) => url.clone(),
            (None, None) => bail!("there is no PostgreSQL"),
        };
        let s3 = match (&seaweedfs, &options.s3) {
            (Some(server), _) => ExternalS3 {
                endpoint: server.endpoint(),
                region: "us-east-1".to_owned(),
                keys: keys.s3.clone(),
            },
            (None, Some(s3)) => s3.clone(),
            (None, None) => bail!("there is no S3 server"),
        };
        prepare(&database_url, &s3).await?;

        let step = Step::start("Starting the application");
        let host = Host::start(host_spec(&options, &data, &keys, &database_url, &s3)?).await?;
        host.wait_ready("/readyz").await?;
        step.done(&host.url());

        let ticker = options
            .tick_every
            .map(|every| Ticker::start(host.url(), keys.tick_secret.clone(), every));
        let ticker = std::sync::Mutex::new(ticker);
        let stack =
            Self { ticker, host, seaweedfs, postgres, database_url, s3, keys, data, _lock: lock };
        files::write_private(&stack.data.join("dev.env"), &stack.dev_env())?;
        Ok(stack)
    }

    /// `http://127.0.0.1:3000`, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        self.host.url()
    }

    /// The connection string of the database's owner.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// `http://127.0.0.1:8333`
    #[must_use]
    pub fn s3_endpoint(&self) -> &str {
        &self.s3.endpoint
    }

    /// The key that the application signs with.
    #[must_use]
    pub fn s3_keys(&self) -> &S3Keys {
        &self.s3.keys
    }

    /// A client of the S3 server, to look behind the application.
    ///
    /// # Errors
    /// The endpoint is no URL.
    pub fn s3_client(&self) -> Result<S3Client> {
        S3Client::new(&self.s3.endpoint, &self.s3.region, &self.s3.keys)
    }

    /// Signs bearer tokens.
    #[must_use]
    pub fn jwt_secret(&self) -> &str {
        &self.keys.jwt_hs256_secret
    }

    /// Authorises ticks.
    #[must_use]
    pub fn tick_secret(&self) -> &str {
        &self.keys.tick_secret
    }

    /// Signs the URLs that the application makes.
    #[must_use]
    pub fn url_secret(&self) -> &str {
        &self.keys.url_secret
    }

    /// The folder of everything.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The application's process.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Our PostgreSQL, unless another was given.
    #[must_use]
    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// Our SeaweedFS, unless another S3 server was given.
    #[must_use]
    pub fn seaweedfs(&self) -> Option<&SeaweedFs> {
        self.seaweedfs.as_ref()
    }

    /// Did one of our processes end by itself? The answer is the sentence that says so.
    ///
    /// # Errors
    /// One did.
    pub fn check_running(&self) -> Result<()> {
        self.host.check_running()?;
        self.seaweedfs.as_ref().map_or(Ok(()), SeaweedFs::check_running)?;
        self.postgres.as_ref().map_or(Ok(()), Postgres::check_running)
    }

    /// A bearer token for `sub`; see [`DevKeys::token`].
    #[must_use]
    pub fn token(&self, sub: &str, ttl_seconds: i64, extra: &Value) -> String {
        self.keys.token(sub, ttl_seconds, extra)
    }

    /// A bearer token that may do everything.
    #[must_use]
    pub fn admin_token(&self) -> String {
        self.token("admin", ADMIN_TOKEN_SECONDS, &json!({ "roles": ["admin"] }))
    }

    /// Ticks the worker once, now; the answer's body.
    ///
    /// # Errors
    /// The worker refused or failed.
    pub async fn tick(&self) -> Result<String> {
        ticker::tick(&self.url(), self.tick_secret()).await
    }

    /// Stops all that was started: the application first, so that requests in flight can end.
    ///
    /// # Errors
    /// A process cannot be waited for.
    pub async fn stop(&self) -> Result<()> {
        drop(self.ticker.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        self.host.stop().await?;
        let seaweedfs = async {
            match &self.seaweedfs {
                Some(server) => server.stop().await,
                None => Ok(()),
            }
        };
        let postgres = async {
            match &self.postgres {
                Some(server) => server.stop().await,
                None => Ok(()),
            }
        };
        let (seaweedfs, postgres) = tokio::join!(seaweedfs, postgres);
        seaweedfs.and(postgres)
    }

    /// For a shell, and for what is run in it: `. DIR/dev.env`.
    fn dev_env(&self) -> String {
        let keys = &self.keys;
        let user = keys.token("dev", DEV_TOKEN_SECONDS, &Value::Null);
        let admin = keys.token("admin", DEV_TOKEN_SECONDS, &json!({ "roles": ["admin"] }));
        let lines = [
            ("HOLDFAST_URL", self.url()),
            ("HOLDFAST_TOKEN", user),
            ("HOLDFAST_ADMIN_TOKEN", admin),
            ("HOLDFAST_TICK_SECRET", keys.tick_secret.clone()),
            ("DATABASE_URL", self.database_url.clone()),
            ("S3_ENDPOINT", self.s3.endpoint.clone()),
            ("S3_ACCESS_KEY_ID", self.s3.keys.access_key_id.clone()),
            ("S3_SECRET_ACCESS_KEY", self.s3.keys.secret_access_key.clone()),
        ];
        lines.map(|(name, value)| format!("export {name}={}\n", shell_quoted(&value))).concat()
    }
}

/// Within single quotes a shell takes everything as it is.
fn shell_quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

async fn start_servers(
    options: &StackOptions,
    data: &Path,
    keys: &DevKeys,
) -> Result<(Option<Postgres>, Option<SeaweedFs>)> {
    if options.pg_url.is_some() && options.s3.is_some() {
        return Ok((None, None));
    }
    let tools = tokio::task::spawn_blocking(tools).await??;
    let postgres = async {
        if options.pg_url.is_some() {
            return Ok(None);
        }
        Postgres::start(&tools, &data.join("postgres"), None).await.map(Some)
    };
    let seaweedfs = async {
        if options.s3.is_some() {
            return Ok(None);
        }
        SeaweedFs::start(&tools, &data.join("seaweedfs"), None, &keys.s3).await.map(Some)
    };
    let what = match (&options.pg_url, &options.s3) {
        (None, None) => "Starting PostgreSQL and SeaweedFS",
        (None, Some(_)) => "Starting PostgreSQL",
        (Some(_), _) => "Starting SeaweedFS",
    };
    let step = Step::start(what);
    let servers = tokio::try_join!(postgres, seaweedfs)?;
    step.done("");
    Ok(servers)
}

async fn prepare(database_url: &str, s3: &ExternalS3) -> Result<()> {
    let step = Step::start("Migrating the database and creating the default buckets");
    let buckets = database::prepare(database_url).await?;
    let client = S3Client::new(&s3.endpoint, &s3.region, &s3.keys)?;
    for bucket in &buckets {
        client.ensure_bucket(bucket).await?;
    }
    step.done(&buckets.join(", "));
    Ok(())
}

fn host_spec(
    options: &StackOptions,
    data: &Path,
    keys: &DevKeys,
    database_url: &str,
    s3: &ExternalS3,
) -> Result<HostSpec> {
    let port = match options.port {
        Some(port) => port,
        None => ports::free_port()?,
    };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut variables = BTreeMap::from(
        [
            ("database_url", database::with_statement_timeout(database_url)),
            ("database_host", database::outbound_host(database_url)?),
            ("s3_endpoint", s3.endpoint.clone()),
            ("s3_region", s3.region.clone()),
            ("s3_access_key_id", s3.keys.access_key_id.clone()),
            ("s3_secret_access_key", s3.keys.secret_access_key.clone()),
            ("jwt_hs256_secret", keys.jwt_hs256_secret.clone()),
            ("public_url", format!("http://{listen}")),
            ("tick_secret", keys.tick_secret.clone()),
            ("url_secret", keys.url_secret.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    variables.extend(options.variables.clone());
    let folder = data.join("host");
    files::folder(&folder, 0o700)?;
    Ok(HostSpec {
        devhost: match &options.devhost {
            Some(path) => path.clone(),
            None => built_devhost()?,
        },
        manifest: options.manifest.clone().unwrap_or_else(|| workspace().join("spin.toml")),
        listen,
        variables,
        state_dir: folder.join("state"),
        log: folder.join("log"),
        runtime: options.runtime,
    })
}

/// Cargo puts programs side by side, and tests one folder below.
fn built_devhost() -> Result<PathBuf> {
    let me = std::env::current_exe().context("cannot find the running program")?;
    let beside = |folder: &Path| folder.join("holdfast-devhost");
    let places: Vec<PathBuf> = me.ancestors().skip(1).take(2).map(beside).collect();
    Ok(places.iter().find(|path| path.is_file()).or(places.first()).cloned().unwrap_or(me))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_value_is_one_word_for_a_shell() {
        let value = "it's $HOME; `id` & \"x\"";
        let script = format!("printf %s {}", shell_quoted(value));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
    }
}
