//! What is tested: PostgreSQL, SeaweedFS and the application, with a link that can be broken between each
//! two of them and in front of all.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_dev::{ExternalS3, Postgres, S3Client, S3Keys, SeaweedFs, Stack, StackOptions, tools};
use serde_json::json;

use crate::client::{Client, Observed};
use crate::disk::Disk;
use crate::link::Link;
use crate::rng::Rng;
use crate::verify::ORPHAN_AGE_SECONDS;

/// Life of the clients' token, in seconds: longer than any run.
const TOKEN_SECONDS: i64 = 24 * 3_600;
/// Idle connections that a client keeps.
const CLIENT_CONNECTIONS: usize = 32;

/// Everything that runs. Dropping it stops all of it.
#[derive(Debug)]
pub(crate) struct Rig {
    // Dropped in this order: the application first, the disk last.
    pub(crate) stack: Stack,
    pub(crate) seaweedfs: SeaweedFs,
    pub(crate) postgres: Postgres,
    /// Between the clients and the application.
    pub(crate) front: Link,
    pub(crate) to_seaweedfs: Link,
    pub(crate) to_postgres: Link,
    pub(crate) observed: Arc<Mutex<Observed>>,
    pub(crate) disk: Disk,
}

impl Rig {
    /// Starts it in `folder`.
    ///
    /// # Errors
    /// What does not start, in a sentence.
    pub(crate) async fn start(folder: &Path, rng: &mut Rng) -> Result<Self> {
        let tools = tokio::task::spawn_blocking(tools).await??;
        let disk = Disk::prepare(&folder.join("disk"), &folder.join("disk.ext4"))?;
        let keys = S3Keys {
            access_key_id: format!("faults{:016x}", rng.next()),
            secret_access_key: format!("{:016x}{:016x}", rng.next(), rng.next()),
        };
        let (postgres_data, seaweedfs_data) = (folder.join("postgres"), folder.join("disk/weed"));
        let (postgres, seaweedfs) = tokio::try_join!(
            Postgres::start(&tools, &postgres_data, None),
            SeaweedFs::start(&tools, &seaweedfs_data, None, &keys)
        )?;
        let s3_port = port(&seaweedfs.endpoint())?;
        let to_seaweedfs = Link::to(s3_port, rng.fork()).await?;
        let to_postgres = Link::to(postgres.port(), rng.fork()).await?;

        let mut options = StackOptions::new(folder.join("holdfast"));
        options.pg_url = Some(postgres.url());
        options.s3 = Some(ExternalS3 {
            endpoint: seaweedfs.endpoint(),
            region: "us-east-1".to_owned(),
            keys,
        });
        options.tick_every = None;
        options.variables = over_links(&postgres, &to_postgres, &to_seaweedfs);
        let age = ORPHAN_AGE_SECONDS.to_string();
        options.variables.insert("orphan_age_seconds".to_owned(), age);
        let stack = Stack::start(options).await?;
        let front = Link::to(port(&stack.url())?, rng.fork()).await?;
        let observed = Arc::new(Mutex::new(Observed::default()));
        Ok(Self { stack, seaweedfs, postgres, front, to_seaweedfs, to_postgres, observed, disk })
    }

    /// A client that goes by the front link.
    pub(crate) fn linked_client(&self) -> Result<Client> {
        self.client(&self.front_url(), "faults", &json!({}))
    }

    /// An admin who goes by the front link.
    pub(crate) fn linked_admin(&self) -> Result<Client> {
        self.client(&self.front_url(), "admin", &json!({ "roles": ["admin"] }))
    }

    /// A client that goes straight to the application.
    pub(crate) fn direct_client(&self) -> Result<Client> {
        self.client(&self.stack.url(), "faults", &json!({}))
    }

    fn front_url(&self) -> String {
        format!("http://{}", self.front.address())
    }

    fn client(&self, base: &str, sub: &str, claims: &serde_json::Value) -> Result<Client> {
        let token = self.stack.token(sub, TOKEN_SECONDS, claims);
        Client::new(base, &token, CLIENT_CONNECTIONS, Arc::clone(&self.observed))
    }

    /// SeaweedFS itself, behind all links.
    pub(crate) fn s3(&self) -> &S3Client {
        self.seaweedfs.client()
    }

    /// Ends every request that is still under way in the application, whose client is long gone: from here on
    /// nothing changes by itself but what SeaweedFS was sent.
    pub(crate) async fn quiesce(&self) -> Result<()> {
        self.stack.host().kill9();
        self.stack.host().restart().await?;
        self.stack.host().wait_ready("/readyz").await?;
        Ok(())
    }

    /// Makes SeaweedFS compact every volume that has deleted bytes in it.
    ///
    /// # Errors
    /// The master refuses.
    pub(crate) async fn vacuum(&self) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(120);
        let master = self.seaweedfs.master();
        // `host:port.grpc-port`
        let http = master.rsplit_once('.').map_or(master.as_str(), |(http, _)| http);
        let url = format!("http://{http}/vol/vacuum?garbageThreshold=0.0001");
        let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build()?;
        client.get(url).send().await?.error_for_status().context("the forced vacuum")?;
        Ok(())
    }
}

fn over_links(
    postgres: &Postgres,
    to_postgres: &Link,
    to_seaweedfs: &Link,
) -> BTreeMap<String, String> {
    let real = format!("127.0.0.1:{}/", postgres.port());
    let linked = format!("{}/", to_postgres.address());
    // A query that hangs holds one of the components' connections, so it ends; as `up` sets it.
    let url = postgres.url().replace(&real, &linked) + "&options=-c%20statement_timeout%3D30000";
    BTreeMap::from([
        ("database_url".to_owned(), url),
        ("database_host".to_owned(), format!("postgres://{}", to_postgres.address())),
        ("s3_endpoint".to_owned(), format!("http://{}", to_seaweedfs.address())),
    ])
}

fn port(url: &str) -> Result<u16> {
    let port = url.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    port.with_context(|| format!("{url} has no port"))
}
