//! A private SeaweedFS with its S3 gateway.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::files::{self, FolderLock};
use crate::keys::S3Keys;
use crate::ports;
use crate::process::{Process, ProcessSpec, RunAs, Slot};
use crate::progress::say;
use crate::s3::S3Client;
use crate::tools::Tools;

const REGION: &str = "us-east-1";
/// Holds the object that is written and read to see whether the server is ready.
const CANARY_BUCKET: &str = "holdfast-canary";
/// After a kill, volumes are checked before they are served.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Size of an entry of a volume's index in the builds that are locked, in bytes: 8 of the file's id, 5 of its place
/// and 4 of its size.
const INDEX_ENTRY_BYTES: u64 = 17;

/// Where its parts listen. All on 127.0.0.1.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Ports {
    master: u16,
    master_grpc: u16,
    volume: u16,
    volume_grpc: u16,
    filer: u16,
    filer_grpc: u16,
    s3: u16,
    s3_grpc: u16,
    /// Its gRPC port is 10,000 higher: the maintenance worker expects it there.
    admin: u16,
}

impl Ports {
    const ADMIN_GRPC: u16 = 10_000;

    fn choose(s3: u16) -> Result<Self> {
        Ok(Self {
            master: ports::free_port()?,
            master_grpc: ports::free_port()?,
            volume: ports::free_port()?,
            volume_grpc: ports::free_port()?,
            filer: ports::free_port()?,
            filer_grpc: ports::free_port()?,
            s3,
            s3_grpc: ports::free_port()?,
            admin: ports::free_port_where(11_000..22_000, |port| {
                ports::is_free(port + Self::ADMIN_GRPC)
            })?,
        })
    }

    /// Those of the last start when all are free, else others.
    fn keep(file: &Path, asked: Option<u16>) -> Result<Self> {
        if let Some(port) = asked {
            ports::require_free_port(port, "S3")?;
        }
        let last = files::read_optional(file)?
            .and_then(|text| serde_json::from_str::<Self>(&text).ok())
            .filter(|last| asked.is_none_or(|port| port == last.s3))
            .filter(|last| last.all().into_iter().all(ports::is_free));
        let chosen = match (last, asked) {
            (Some(last), _) => last,
            (None, Some(s3)) => Self::choose(s3)?,
            (None, None) => Self::choose(ports::free_port()?)?,
        };
        files::write_private(file, &serde_json::to_string(&chosen)?)?;
        Ok(chosen)
    }

    fn all(self) -> [u16; 10] {
        [
            self.master,
            self.master_grpc,
            self.volume,
            self.volume_grpc,
            self.filer,
            self.filer_grpc,
            self.s3,
            self.s3_grpc,
            self.admin,
            self.admin.saturating_add(Self::ADMIN_GRPC),
        ]
    }

    fn flags(self) -> [String; 10] {
        [
            format!("-master.port={}", self.master),
            format!("-master.port.grpc={}", self.master_grpc),
            format!("-volume.port={}", self.volume),
            format!("-volume.port.grpc={}", self.volume_grpc),
            format!("-filer.port={}", self.filer),
            format!("-filer.port.grpc={}", self.filer_grpc),
            format!("-s3.port={}", self.s3),
            format!("-s3.port.grpc={}", self.s3_grpc),
            format!("-admin.port={}", self.admin),
            format!("-admin.port.grpc={}", self.admin.saturating_add(Self::ADMIN_GRPC)),
        ]
    }
}

/// Keys between SeaweedFS's own parts: without them its filer port takes anything from anybody.
#[derive(Serialize, Deserialize)]
struct InnerKeys {
    jwt_signing: String,
    jwt_signing_read: String,
    jwt_filer_signing: String,
    jwt_filer_signing_read: String,
    admin_password: String,
}

impl InnerKeys {
    fn load_or_create(path: &Path) -> Result<Self> {
        if let Some(text) = files::read_optional(path)? {
            return Ok(serde_json::from_str(&text)?);
        }
        let keys = Self {
            jwt_signing: files::random_hex(),
            jwt_signing_read: files::random_hex(),
            jwt_filer_signing: files::random_hex(),
            jwt_filer_signing_read: files::random_hex(),
            admin_password: files::random_hex(),
        };
        files::write_private(path, &serde_json::to_string_pretty(&keys)?)?;
        Ok(keys)
    }
}

/// A SeaweedFS server on loopback, killed when dropped.
#[derive(Debug)]
pub struct SeaweedFs {
    weed: PathBuf,
    data: PathBuf,
    ports: Ports,
    client: S3Client,
    process: Slot,
    _lock: FolderLock,
}

impl SeaweedFs {
    /// Starts a server whose files, identities and log are in `data`, and waits until an object
    /// can be written and read. `keys` may do everything, everybody else nothing.
    ///
    /// Without an `s3_port` it takes the ports it had last time, or others when one is taken.
    ///
    /// # Errors
    /// The folder is in use or cannot be written, the port is taken, or the server does not come
    /// up; the sentence says which and names the log.
    pub async fn start(
        tools: &Tools,
        data: &Path,
        s3_port: Option<u16>,
        keys: &S3Keys,
    ) -> Result<Self> {
        files::folder(data, 0o700)?;
        let data = fs::canonicalize(data)?;
        let lock = FolderLock::take(&data)?;
        files::write_private(&data.join("s3.json"), &identities(keys).to_string())?;
        let ports = Ports::keep(&data.join("ports.json"), s3_port)?;
        let client = S3Client::new(&endpoint(ports), REGION, keys)?;
        let process = launch(&tools.weed, &data, ports, &client).await?;
        let weed = tools.weed.clone();
        Ok(Self { weed, data, ports, client, process: Slot::new(process), _lock: lock })
    }

    /// `http://127.0.0.1:...`
    #[must_use]
    pub fn endpoint(&self) -> String {
        endpoint(self.ports)
    }

    /// A client with the server's keys.
    #[must_use]
    pub fn client(&self) -> &S3Client {
        &self.client
    }

    /// The master's address, for `weed shell` and its HTTP API.
    #[must_use]
    pub fn master(&self) -> String {
        format!("127.0.0.1:{}.{}", self.ports.master, self.ports.master_grpc)
    }

    /// The server's process.
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

    /// Asks it to stop and waits; it is killed after ten seconds, which loses nothing.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub async fn stop(&self) -> Result<()> {
        let stopped = self.process.get().stop().await;
        remove_sockets(self.ports);
        stopped
    }

    /// Kills it at once.
    pub fn kill9(&self) {
        self.process.get().kill();
    }

    /// Stops it in its tracks (SIGSTOP).
    pub fn pause(&self) {
        self.process.get().signal(Signal::SIGSTOP);
    }

    /// Undoes [`SeaweedFs::pause`].
    pub fn resume(&self) {
        self.process.get().signal(Signal::SIGCONT);
    }

    /// Starts it again on the same ports, stopping it first when it still runs.
    ///
    /// # Errors
    /// As [`SeaweedFs::start`].
    pub async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.process.set(launch(&self.weed, &self.data, self.ports, &self.client).await?);
        Ok(())
    }
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        self.process.get().kill();
        remove_sockets(self.ports);
    }
}

/// It also listens in the temporary folder, and leaves the sockets there.
fn remove_sockets(ports: Ports) {
    let (temporary, ours) = (std::env::temp_dir(), ports.all());
    for entry in fs::read_dir("/tmp").into_iter().chain(fs::read_dir(temporary)).flatten().flatten()
    {
        let name = entry.file_name();
        let port = name.to_str().and_then(|name| {
            name.strip_prefix("seaweedfs-")?.strip_suffix(".sock")?.rsplit_once('-')?.1.parse().ok()
        });
        if port.is_some_and(|port| ours.contains(&port)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn endpoint(ports: Ports) -> String {
    format!("http://127.0.0.1:{}", ports.s3)
}

fn identities(keys: &S3Keys) -> Value {
    json!({ "identities": [{
        "name": "holdfast",
        "credentials": [{ "accessKey": keys.access_key_id, "secretKey": keys.secret_access_key }],
        "actions": ["Admin"],
    }]})
}

async fn launch(weed: &Path, data: &Path, ports: Ports, client: &S3Client) -> Result<Process> {
    mend_cut_indexes(weed, data).await?;
    let process = Process::spawn(server(weed, data, ports)?)?;
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let status = format!("http://127.0.0.1:{}/dir/status", ports.master);
    process
        .wait_until(START_LIMIT, async || {
            has_volume_server(&http, &status).await?;
            let canary =
                tokio::time::timeout(Duration::from_secs(10), client.canary(CANARY_BUCKET));
            match canary.await {
                Ok(result) => result.map_err(|error| format!("{error:#}")),
                Err(_) => Err("S3 did not answer within 10 s".to_owned()),
            }
        })
        .await?;
    Ok(process)
}

/// `/healthz` says yes seconds before an object can be stored; the master knows better.
async fn has_volume_server(http: &reqwest::Client, status: &str) -> Result<(), String> {
    let ask = async || -> reqwest::Result<Value> { http.get(status).send().await?.json().await };
    let answer = ask().await.map_err(|error| format!("the master: {error}"))?;
    let topology = &answer["Topology"];
    let node = &topology["DataCenters"][0]["Racks"][0]["DataNodes"][0];
    if topology["Max"].as_i64().unwrap_or(0) > 0 && !node.is_null() {
        Ok(())
    } else {
        Err("no volume server has registered with the master".to_owned())
    }
}

/// A full disk may cut an index in the middle of an entry, and SeaweedFS does not load such a volume. What was
/// stored is all in the `.dat` beside it, from which `weed fix` writes the index anew.
async fn mend_cut_indexes(weed: &Path, data: &Path) -> Result<()> {
    for entry in fs::read_dir(files_of(data)?)? {
        let index = entry?.path();
        let is_index = index.extension().is_some_and(|extension| extension == "idx");
        if !is_index || fs::metadata(&index)?.len().is_multiple_of(INDEX_ENTRY_BYTES) {
            continue;
        }
        say(format!("The index {} is cut; writing it anew by `weed fix`.", index.display()));
        let args = vec!["fix".into(), index.with_extension("dat").into()];
        spec(weed, data, "weed fix", args)?.run().await?;
    }
    Ok(())
}

/// Where the volumes and the filer's store are.
fn files_of(data: &Path) -> Result<PathBuf> {
    let files = data.join("data");
    files::folder(&files, 0o700)?;
    Ok(files)
}

fn server(weed: &Path, data: &Path, ports: Ports) -> Result<ProcessSpec> {
    let files = files_of(data)?;
    // Settings of its last start.
    let _ = fs::remove_file(files.join("mini.options"));

    let keys = InnerKeys::load_or_create(&data.join("inner-keys.json"))?;
    let mut args: Vec<OsString> = vec!["mini".into()];
    args.push(flag("-dir=", &files));
    args.push(flag("-s3.config=", &data.join("s3.json")));
    args.extend(ports.flags().map(Into::into));
    args.push(format!("-admin.password={}", keys.admin_password).into());
    args.extend(
        [
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-master.telemetry=false",
            // Small volumes, not allocated in advance: else a small disk takes six buckets.
            "-volume.max=2000",
            "-master.volumeSizeLimitMB=64",
            "-s3.autoCreateBucket=false",
            "-s3.allowDeleteBucketNotEmpty=false",
        ]
        .map(Into::into),
    );
    let mut spec = spec(weed, data, "SeaweedFS", args)?;
    spec.env.extend([
        ("GOMEMLIMIT".to_owned(), "400MiB".to_owned()),
        ("WEED_JWT_SIGNING_KEY".to_owned(), keys.jwt_signing),
        ("WEED_JWT_SIGNING_READ_KEY".to_owned(), keys.jwt_signing_read),
        ("WEED_JWT_FILER_SIGNING_KEY".to_owned(), keys.jwt_filer_signing),
        ("WEED_JWT_FILER_SIGNING_READ_KEY".to_owned(), keys.jwt_filer_signing_read),
    ]);
    Ok(spec)
}

/// `weed` with these arguments, in an empty folder: it reads settings from its working and home folder.
fn spec(weed: &Path, data: &Path, name: &'static str, args: Vec<OsString>) -> Result<ProcessSpec> {
    let empty = data.join("empty");
    let _ = fs::remove_dir_all(&empty);
    files::folder(&empty, 0o700)?;
    let env = BTreeMap::from([
        ("HOME".to_owned(), empty.to_string_lossy().into_owned()),
        // It logs there too.
        ("TMPDIR".to_owned(), empty.to_string_lossy().into_owned()),
    ]);
    Ok(ProcessSpec {
        name,
        program: weed.to_path_buf(),
        args,
        env,
        cwd: empty,
        log: data.join("log"),
        run_as: RunAs::Me,
        stop_signal: Signal::SIGTERM,
        orphan_signal: Signal::SIGKILL,
    })
}

fn flag(name: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(name);
    flag.push(path);
    flag
}
