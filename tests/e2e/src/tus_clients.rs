//! `/v1/tus` in the hands of the clients that people have: tus-js-client in Node and tuspy. The programs are in
//! `tests/clients`.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use holdfast_dev::{Stack, StackOptions, chromium};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use crate::clients::{command, node, python, run_with};
use crate::harness::{Api, Suite};
use crate::multipart::{nothing_is_left, nothing_is_left_after_the_worker, restart_host};

/// All that a client does while servers are killed.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// How long a server stays dead: longer than a client waits before it tries again.
const DEAD: Duration = Duration::from_millis(1_200);

pub(crate) fn register(suite: &mut Suite) {
    suite.add("tus_js_client_uploads_in_each_of_its_ways", |api| async move {
        let program = node().await?;
        let bucket = api.bucket(&json!({})).await?;
        run_with(&program, "tus.mjs", &set_up(&api, &bucket), 17).await?;
        nothing_is_left(&api, &bucket).await
    });
    suite.add("tus_js_client_goes_on_after_every_server_was_killed", killed);
    suite.add("tuspy_uploads_in_each_of_its_ways", |api| async move {
        run_with(&python().await?, "tus.py", &set_up(&api, "documents"), 11).await
    });
    suite.add("browsers_upload_by_each_way_of_the_example_page", in_a_browser);
}

async fn in_a_browser(api: Api) -> Result<()> {
    let program = node().await?;
    let chromium = tokio::task::spawn_blocking(chromium).await??;
    let bucket = api.bucket(&json!({})).await?;
    let mut set_up = set_up(&api, &bucket);
    set_up["chromium"] = json!(chromium);
    let foreign = api.bucket(&json!({"corsOrigins": ["https://one.example.org"]})).await?;
    set_up["foreign"] = json!(foreign);
    run_with(&program, "browser.mjs", &set_up, 37).await?;
    nothing_is_left_after_the_worker(&api, &bucket).await?;
    nothing_is_left(&api, &foreign).await
}

/// What the programs are told; what they give up they began in `given_up`.
fn set_up(api: &Api, given_up: &str) -> Value {
    json!({
        "url": api.url,
        "token": api.alice,
        "expiredToken": api.expired,
        "jwtSecret": api.stack.jwt_secret(),
        "bucket": "documents",
        "givenUp": given_up,
    })
}

async fn killed(shared: Api) -> Result<()> {
    drop(shared);
    let program = node().await?;
    let folder = tempfile::tempdir()?;
    let mut options = StackOptions::new(folder.path().join("data"));
    options.tick_every = None;
    let stack = Arc::new(Stack::start(options).await?);
    let api = Api::of(Arc::clone(&stack))?;
    let mut client = command(&program, "tus.mjs", &set_up(&api, "documents"));
    client.arg("killed").stdout(Stdio::piped()).stderr(Stdio::piped());
    let client = client.spawn().context("cannot run tus.mjs")?;
    let result = timeout(TIME_LIMIT, in_the_middle(&api, client))
        .await
        .with_context(|| format!("tus.mjs took longer than {TIME_LIMIT:?}"));
    stack.stop().await?;
    result?
}

/// Kills a server whenever the client has got a step further, until it is done.
async fn in_the_middle(api: &Api, mut client: Child) -> Result<()> {
    let seaweedfs = api.stack.seaweedfs().context("a SeaweedFS of our own")?;
    let postgres = api.stack.postgres().context("a PostgreSQL of our own")?;
    let out = client.stdout.take().context("what it says")?;
    let mut lines = BufReader::new(out).lines();
    let (mut chunks, mut kills, mut said) = (0, 0, Vec::new());
    while let Some(line) = lines.next_line().await? {
        if line.starts_with("at ") {
            chunks += 1;
            // Within the next chunk, and not always at the same place of it.
            sleep(Duration::from_millis(30 * (chunks % 4))).await;
            match chunks {
                2 | 11 => {
                    seaweedfs.kill9();
                    sleep(DEAD).await;
                    seaweedfs.restart().await?;
                }
                5 | 14 => {
                    postgres.kill9();
                    sleep(DEAD).await;
                    postgres.restart().await?;
                }
                8 | 17 => restart_host(api).await?,
                _ => continue,
            }
            kills += 1;
        }
        said.push(line);
    }
    let mut errors = String::new();
    client.stderr.take().context("its errors")?.read_to_string(&mut errors).await?;
    let said = said.join("\n");
    ensure!(client.wait().await?.success(), "{said}\n{errors}");
    ensure!(kills == 6, "only {kills} servers were killed:\n{said}");
    if !said.contains("ok one upload, whatever was killed") {
        bail!("{said}\n{errors}");
    }
    let resumptions = said.lines().filter(|line| line.starts_with("ok resumed")).count();
    ensure!(resumptions >= kills / 2, "it resumed {resumptions} times:\n{said}");
    Ok(())
}
