//! What every test needs: a client with tokens, and a place to register.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use holdfast_dev::{S3Client, Stack};
use holdfast_s3::{HeadObject, ListObjectsV2};
use libtest_mimic::{Failed, Trial};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// How long something may take that happens just after an answer.
const SOON: Duration = Duration::from_secs(10);

/// The application as its users see it.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) alice: String,
    pub(crate) bob: String,
    pub(crate) expired: String,
    pub(crate) stack: Arc<Stack>,
    /// SeaweedFS, behind the application.
    pub(crate) s3: S3Client,
}

impl Api {
    pub(crate) fn of(stack: Arc<Stack>) -> Result<Self> {
        let token = |sub: &str, ttl| stack.token(sub, ttl, &json!({}));
        Ok(Self {
            client: Client::new(),
            url: stack.url(),
            alice: token("alice", 3_600),
            bob: token("bob", 3_600),
            expired: token("alice", -3_600),
            s3: stack.s3_client()?,
            stack,
        })
    }

    pub(crate) fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.client
            .put(format!("{}/v1/upload/{path}", self.url))
            .bearer_auth(&self.alice)
            .body(body)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.anonymous(path).bearer_auth(&self.alice)
    }

    pub(crate) fn anonymous(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}/v1/download/{path}", self.url))
    }

    /// One text of one row.
    pub(crate) async fn text(&self, sql: &str) -> Result<String> {
        let client = holdfast_dev::connect(self.stack.database_url()).await?;
        Ok(client.query_one(sql, &[]).await?.get(0))
    }

    /// One number of one row.
    pub(crate) async fn number(&self, sql: &str) -> Result<i64> {
        let client = holdfast_dev::connect(self.stack.database_url()).await?;
        Ok(client.query_one(sql, &[]).await?.get(0))
    }

    /// Statements without an answer, to bring about what would take hours or an operator.
    pub(crate) async fn execute(&self, sql: &str) -> Result<()> {
        let client = holdfast_dev::connect(self.stack.database_url()).await?;
        Ok(client.batch_execute(sql).await?)
    }

    /// Waits until `sql` answers `number`.
    pub(crate) async fn eventually(&self, sql: &str, number: i64) -> Result<()> {
        let start = std::time::Instant::now();
        loop {
            let now = self.number(sql).await?;
            if now == number {
                return Ok(());
            }
            ensure!(start.elapsed() < SOON, "{now} after {SOON:?}, not {number}: {sql}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A bucket of the test's own, with what its policy has beside the least.
    pub(crate) async fn bucket(&self, policy: &Value) -> Result<String> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.create_bucket(&name, policy).await?;
        Ok(name)
    }

    /// A bucket in the database and in the store; its policy is the least one and `policy`.
    pub(crate) async fn create_bucket(&self, name: &str, policy: &Value) -> Result<()> {
        let mut whole =
            json!({ "visibility": "private", "writers": "authenticated", "readers": "owner" });
        if let (Some(whole), Some(more)) = (whole.as_object_mut(), policy.as_object()) {
            whole.extend(more.clone());
        }
        let client = holdfast_dev::connect(self.stack.database_url()).await?;
        let insert = "insert into holdfast.bucket (name, owner, policy) values ($1, 'system', $2::text::jsonb)";
        client.execute(insert, &[&name, &whole.to_string()]).await?;
        self.s3.ensure_bucket(name).await
    }

    /// How many objects SeaweedFS lists in a bucket (of a thousand at the most).
    pub(crate) async fn listed(&self, bucket: &str) -> Result<usize> {
        let list = ListObjectsV2 { bucket, ..Default::default() };
        Ok(ListObjectsV2::parse(&self.s3.call(&list, "").await?)?.objects.len())
    }

    /// Every version of a key: its state, and where its bytes lie.
    pub(crate) async fn versions(&self, bucket: &str, key: &str) -> Result<Vec<(String, String)>> {
        let client = holdfast_dev::connect(self.stack.database_url()).await?;
        let sql = "select v.state, v.s3_key from holdfast.version v \
            join holdfast.object o on o.id = v.object_id where o.bucket = $1 and o.key = $2";
        let rows = client.query(sql, &[&bucket, &key]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Is something stored there? Asked of SeaweedFS itself.
    pub(crate) async fn is_stored(&self, bucket: &str, s3_key: &str) -> Result<bool> {
        let head = HeadObject { bucket, key: s3_key, checksum_mode: false };
        match self.s3.send(&head, "").await?.status().as_u16() {
            200 => Ok(true),
            404 => Ok(false),
            status => anyhow::bail!("SeaweedFS answers HEAD with {status}"),
        }
    }
}

/// Sends, and answers the JSON of an expected status.
pub(crate) async fn json_of(request: RequestBuilder, status: u16) -> Result<Value> {
    let response = expect(request, status).await?;
    response.json().await.context("the body is JSON")
}

/// Sends, and insists on a status.
pub(crate) async fn expect(request: RequestBuilder, status: u16) -> Result<Response> {
    let response = request.send().await?;
    let got = response.status().as_u16();
    if got != status {
        let body = response.text().await.unwrap_or_default();
        anyhow::bail!("status {got}, not {status}: {body}");
    }
    Ok(response)
}

/// Sends, and insists on a problem with this status and code.
pub(crate) async fn refused(request: RequestBuilder, status: u16, code: &str) -> Result<Value> {
    let response = expect(request, status).await?;
    let kind = header(&response, "content-type");
    ensure!(kind == "application/problem+json", "content-type {kind}");
    let problem: Value = response.json().await?;
    ensure!(problem["code"] == code, "{problem}");
    ensure!(problem["status"] == status, "{problem}");
    Ok(problem)
}

/// A header as text; empty where there is none.
pub(crate) fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A body without a length, in chunks of 50,000 bytes.
pub(crate) fn chunked(bytes: &[u8]) -> reqwest::Body {
    let chunks: Vec<_> =
        bytes.chunks(50_000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
    reqwest::Body::wrap_stream(futures_util::stream::iter(chunks))
}

/// Bytes that no compression or repetition can hide an error in.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ count as u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// The tests, each with the stack that they share.
pub(crate) struct Suite {
    runtime: Arc<tokio::runtime::Runtime>,
    api: Api,
    trials: Vec<Trial>,
}

impl Suite {
    pub(crate) fn new(runtime: Arc<tokio::runtime::Runtime>, api: Api) -> Self {
        Self { runtime, api, trials: Vec::new() }
    }

    pub(crate) fn add<F>(&mut self, name: &str, test: impl FnOnce(Api) -> F + Send + 'static)
    where
        F: Future<Output = Result<()>> + 'static,
    {
        let (runtime, api) = (Arc::clone(&self.runtime), self.api.clone());
        self.trials.push(Trial::test(name, move || {
            runtime.block_on(test(api)).map_err(|error| Failed::from(format!("{error:#}")))
        }));
    }

    pub(crate) fn trials(self) -> Vec<Trial> {
        self.trials
    }
}
