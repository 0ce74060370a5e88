//! Holdfast in the hands of programs that we did not write: boto3, the AWS SDK for JavaScript and what they send with
//! use the URLs that it makes, and Uppy uploads. The programs are in `tests/clients`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use holdfast_dev::{node_program, python_program, workspace};
use holdfast_s3::{Action as _, Endpoint, GetObject, PartNumber, PutObject, UploadPart};
use holdfast_web::signed_url::{Class, SignedUrl};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Api, Suite, expect, json_of};
use crate::presign::{ask, get, text, used};

/// All that a program does.
const TIME_LIMIT: Duration = Duration::from_secs(480);

/// How long a URL lives whose time is over.
const LIVES: Duration = Duration::from_secs(3_600);

pub(crate) fn register(suite: &mut Suite) {
    suite.add("the_aws_sdk_for_javascript_uses_signed_urls", |api| async {
        let program = node().await?;
        run(api, program, "aws.mjs", 73).await
    });
    suite.add("us_003_a_designer_works_on_a_template", |api| async move {
        let program = node().await?;
        let set_up = json!({ "url": api.url, "token": api.alice });
        run_with(&program, "designer.mjs", &set_up, 11).await
    });
    suite.add("uppy_itself_uploads_in_each_of_its_modes", |api| async {
        let program = node().await?;
        run(api, program, "uppy.mjs", 12).await
    });
    suite.add("boto3_and_curl_use_signed_urls", |api| async {
        let program = python().await?;
        run(api, program, "boto.py", 95).await
    });
}

pub(crate) fn folder() -> PathBuf {
    workspace().join("tests/clients")
}

/// Node, with the packages of `tests/clients` in place.
pub(crate) async fn node() -> Result<PathBuf> {
    tokio::task::spawn_blocking(|| node_program(&folder())).await?
}

/// Python, with the packages of `tests/clients`.
pub(crate) async fn python() -> Result<PathBuf> {
    let install = || {
        let requirements = folder().join("requirements.txt");
        python_program(".venv-clients", &requirements, "python")
    };
    tokio::task::spawn_blocking(install).await?
}

/// Runs a program of `tests/clients` to its end; it says at the least `checks` times that something held.
async fn run(api: Api, program: PathBuf, file: &str, checks: usize) -> Result<()> {
    let keys = api.stack.s3_keys();
    let set_up = json!({
        "url": api.url,
        "token": api.alice,
        "s3": {
            "endpoint": api.stack.s3_endpoint(),
            "region": "us-east-1",
            "accessKeyId": keys.access_key_id,
            "secretAccessKey": keys.secret_access_key,
        },
        "expired": expired(&api, file).await?,
    });
    run_with(&program, file, &set_up, checks).await
}

/// Runs a program of `tests/clients` that is told this.
pub(crate) async fn run_with(
    program: &Path,
    file: &str,
    set_up: &Value,
    checks: usize,
) -> Result<()> {
    let output = timeout(TIME_LIMIT, command(program, file, set_up).output())
        .await
        .with_context(|| format!("{file} took longer than {TIME_LIMIT:?}"))?
        .with_context(|| format!("cannot run {file}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{file} ended with {}\n{said}\n{errors}", output.status);
    let held = said.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(held >= checks, "{file} made {held} checks, not {checks}:\n{said}");
    Ok(())
}

/// A program of `tests/clients` that is told this; it dies with its handle.
pub(crate) fn command(program: &Path, file: &str, set_up: &Value) -> Command {
    let mut command = Command::new(program);
    command.arg(folder().join(file)).env("HOLDFAST_CLIENTS", set_up.to_string());
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// One URL of each kind as it was made long ago: the clock is moved, by the keys that the application signs with.
async fn expired(api: &Api, file: &str) -> Result<Value> {
    let key = format!("clients/{file}/expired");
    expect(api.put(&format!("documents/{key}"), "hello"), 201).await?;
    let made = |method: &str| {
        let asked = json!({"method": method, "bucket": "documents", "key": key, "size": 5});
        let asked = if method == "PUT" { asked } else { get(&key) };
        json_of(ask(api, &api.alice, &asked), 200)
    };
    let (read, put) = (made("GET").await?, made("PUT").await?);
    let versions = api.versions("documents", &key).await?;
    let of = |state: &str| {
        let found = versions.iter().find(|(it, _)| it == state);
        found.map(|(_, s3_key)| s3_key.clone()).with_context(|| format!("no {state} version"))
    };
    let makers = Makers { read, put, live: of("live")?, pending: of("pending")?, key };

    // Nothing but the time is wrong with them.
    let now = makers.urls(api, OffsetDateTime::now_utc())?;
    let use_it = |kind: &str| {
        let made = &now[kind];
        let body = if made["method"] == "PUT" { "hello" } else { "" };
        used(api, made, body)
    };
    expect(use_it("signed")?, 200).await?;
    expect(use_it("direct")?, 200).await?;
    expect(use_it("put")?, 200).await?;
    expect(use_it("part")?, 404).await?;
    expect(use_it("complete")?, 200).await?;
    makers.urls(api, OffsetDateTime::now_utc() - 2 * LIVES)
}

/// What the URLs of one object are made of.
struct Makers {
    key: String,
    /// The answers of `/v1/presign`.
    read: Value,
    put: Value,
    /// Where the versions' bytes are.
    live: String,
    pending: String,
}

impl Makers {
    /// Those that are made at this time.
    fn urls(&self, api: &Api, at: OffsetDateTime) -> Result<Value> {
        let expires = (at + LIVES).unix_timestamp();
        let secret = api.stack.url_secret().as_bytes();
        let signed = SignedUrl {
            class: Class::Get,
            bucket: "documents",
            key: &self.key,
            ..SignedUrl::complete(text(&self.read, "id")?, expires)
        };
        let end = SignedUrl::complete(text(&self.put, "id")?, expires);
        let again = |answer: &Value, name: &str, signed: &SignedUrl<'_>| -> Result<String> {
            let path = text(answer, name)?.split('?').next().context("a path")?;
            Ok(format!("{path}?{}", signed.to_query(secret)))
        };

        let endpoint = Endpoint::parse(api.stack.s3_endpoint(), "us-east-1")?;
        let credentials = api.stack.s3_keys().credentials();
        let direct = GetObject { bucket: "documents", key: &self.live, ..GetObject::default() };
        let put = PutObject {
            bucket: "documents",
            key: &self.pending,
            content_type: "text/plain",
            content_length: Some(5),
            checksum: None,
            headers: &[("if-none-match", "*")],
        };
        let part = UploadPart {
            bucket: "documents",
            key: &self.live,
            upload_id: "none",
            part_number: PartNumber::new(1).context("a part number")?,
            content_length: Some(5),
            checksum: None,
        };
        let put_headers =
            json!({"content-type": "text/plain", "content-length": "5", "if-none-match": "*"});
        let part_headers = json!({"content-length": "5"});
        let (direct, put, part) = (
            direct.presign(&endpoint, &credentials, at, LIVES)?,
            put.presign(&endpoint, &credentials, at, LIVES)?,
            part.presign(&endpoint, &credentials, at, LIVES)?,
        );
        Ok(json!({
            "signed": {"method": "GET", "url": again(&self.read, "url", &signed)?, "headers": {}},
            "complete": {"method": "POST", "url": again(&self.put, "complete", &end)?, "headers": {}},
            "direct": {"method": "GET", "url": direct, "headers": {}},
            "put": {"method": "PUT", "url": put, "headers": put_headers},
            "part": {"method": "PUT", "url": part, "headers": part_headers},
        }))
    }
}
