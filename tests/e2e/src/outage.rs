//! What the user sees when a server dies, and when it is back.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use holdfast_dev::{Stack, StackOptions};
use std::sync::Arc;

use crate::harness::{Api, Suite, expect, header, json_of, refused};

/// The longest wait that a request has before it says that a server is not there.
const ANSWERED_WITHIN: Duration = Duration::from_secs(35);

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_dead_server_is_a_503_that_names_it_and_nothing_is_lost", outage);
}

async fn outage(shared: Api) -> Result<()> {
    drop(shared);
    let folder = tempfile::tempdir()?;
    let stack = Arc::new(Stack::start(StackOptions::new(folder.path().join("data"))).await?);
    let result = servers_die(&Api::of(Arc::clone(&stack))?).await;
    stack.stop().await?;
    result
}

async fn servers_die(api: &Api) -> Result<()> {
    let seaweedfs = api.stack.seaweedfs().context("a SeaweedFS of our own")?;
    let postgres = api.stack.postgres().context("a PostgreSQL of our own")?;
    expect(api.put("documents/kept", "kept"), 201).await?;

    seaweedfs.kill9();
    unavailable(api, "The object store", "s3").await?;
    seaweedfs.restart().await?;
    works(api, "after SeaweedFS").await?;

    postgres.kill9();
    unavailable(api, "The database", "postgresql").await?;
    postgres.restart().await?;
    works(api, "after PostgreSQL").await?;

    api.stack.host().kill9();
    api.stack.host().restart().await?;
    api.stack.host().wait_ready("/readyz").await?;
    works(api, "after the host").await
}

/// Both directions and the readiness say who is missing, in time, and when to try again.
async fn unavailable(api: &Api, who: &str, part: &str) -> Result<()> {
    let start = Instant::now();
    for request in [api.put("documents/lost", "x"), api.get("documents/kept")] {
        let response = expect(request, 503).await?;
        ensure!(header(&response, "retry-after") == "2", "{response:?}");
        let text = response.text().await?;
        ensure!(text.contains("\"ServiceUnavailable\"") && text.contains(who), "{text}");
    }
    let ready = json_of(api.client.get(format!("{}/readyz", api.url)), 503).await?;
    for name in ["postgresql", "s3", "keyValue"] {
        ensure!((ready[name] == "ok") == (name != part), "{ready}");
    }
    expect(api.client.get(format!("{}/healthz", api.url)), 200).await?;
    ensure!(start.elapsed() < ANSWERED_WITHIN, "{:?}", start.elapsed());
    Ok(())
}

async fn works(api: &Api, when: &str) -> Result<()> {
    ensure!(expect(api.get("documents/kept"), 200).await?.text().await? == "kept", "{when}");
    refused(api.get("documents/lost"), 404, "NoSuchKey").await?;
    let path = format!("documents/{}", when.replace(' ', "-"));
    expect(api.put(&path, when.to_owned()), 201).await?;
    ensure!(expect(api.get(&path), 200).await?.text().await? == when, "{when}");
    Ok(())
}
