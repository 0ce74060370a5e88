//! What every test needs: a client with tokens, and a place to register.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use holdfast_dev::{S3Keys, Stack};
use libtest_mimic::{Failed, Trial};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The application as its users see it.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) alice: String,
    pub(crate) bob: String,
    pub(crate) expired: String,
    pub(crate) database_url: String,
    pub(crate) s3_endpoint: String,
    pub(crate) s3_keys: S3Keys,
}

impl Api {
    pub(crate) fn of(stack: &Stack) -> Self {
        let token = |sub: &str, ttl| stack.token(sub, ttl, &json!({}));
        Self {
            client: Client::new(),
            url: stack.url(),
            alice: token("alice", 3_600),
            bob: token("bob", 3_600),
            expired: token("alice", -3_600),
            database_url: stack.database_url().to_owned(),
            s3_endpoint: stack.s3_endpoint().to_owned(),
            s3_keys: stack.s3_keys().clone(),
        }
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

    /// One value of one row.
    pub(crate) async fn number(&self, sql: &str) -> Result<i64> {
        let (client, connection) =
            tokio_postgres::connect(&self.database_url, tokio_postgres::NoTls).await?;
        let connection = tokio::spawn(connection);
        let number = client.query_one(sql, &[]).await?.get(0);
        drop(client);
        connection.await??;
        Ok(number)
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

    pub(crate) fn add<F>(&mut self, name: &str, test: fn(Api) -> F)
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
