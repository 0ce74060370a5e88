//! What has to hold after every round.

mod log;
mod register;
mod sql;
mod store;
mod versions;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use holdfast_dev::connect;
use serde_json::{Value, json};

use self::versions::Reader;
use crate::client::Client;
use crate::history::{Key, Read, Seen};
use crate::ledger::Ledger;
use crate::load::World;
use crate::rig::Rig;

pub(crate) use sql::Row;

/// What kind of promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// An acknowledged version is gone, or not what was sent.
    Lost,
    /// Something can be read that nobody sent in this form.
    Torn,
    /// The history of a key is none of a register.
    Order,
    /// A blob whose version ended, or without any row though PostgreSQL was not killed.
    Orphan,
    /// Usage differs from a recount.
    Drift,
    /// Another invariant of the database.
    Database,
    /// An answer that is not what is promised of every answer.
    Answer,
}

/// A broken promise with its evidence.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// How the verification is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// PostgreSQL was killed, so that blobs may have lost their row.
    pub(crate) rows_may_be_gone: bool,
    /// How long a PUT may go on in SeaweedFS whose caller is gone: the second deletion, which comes ten minutes
    /// later where time is not moved, waits for that.
    pub(crate) late_put: Duration,
}

/// The application may delete a blob without a row that is older than this, in seconds.
pub(crate) const ORPHAN_AGE_SECONDS: u64 = 1;

/// Ticks until nothing is left to do, at most.
const TICKS: u32 = 400;

/// Holds the state of everything against what the clients know.
///
/// # Errors
/// The servers cannot be asked; a broken promise is no error but in the list.
pub(crate) async fn round(
    rig: &Rig,
    world: &World,
    ledger: &mut Ledger,
    options: Options,
) -> Result<Vec<Violation>> {
    rig.quiesce().await?;
    world.all_noted().await;
    let client = rig.direct_client()?;
    let before = ledger.writes.len();
    let mut touched = ledger.add(world.history.take());

    let database = connect(rig.postgres.url().as_str()).await?;
    sql::expire(&database, sql::Expire::Leases).await?;
    tick_until_done(rig, &client, &database, options.late_put).await?;
    let rows = sql::rows(&database).await?;

    let reader = Reader { client: &client, s3: rig.s3() };
    let mut wrong = versions::resolve(reader, ledger, &rows).await;
    wrong.extend(versions::of_keys(reader, ledger, &rows, &touched).await);
    let purged = |row: &&sql::Row| row.state == "purged" && ledger.aged.contains(&row.version);
    ledger.purged = rows.iter().filter(purged).count();
    note_copied(ledger, before);
    read_current(world, &client, ledger, &mut touched).await;
    wrong.extend(register::check(ledger, &touched));
    let names: Vec<String> = touched.iter().map(|key| key.name.clone()).collect();
    wrong.extend(log::check(ledger, &rows, &sql::log(&database, &names).await?, &touched));
    wrong.extend(sql::check(&database).await?);
    wrong.extend(store::check(rig.s3(), ledger, &rows, options).await?);
    ledger.seen_unlisted += ledger.unlisted.len();
    if !ledger.unlisted.is_empty() {
        ledger.unlisted = reconcile(rig, &client, &ledger.unlisted).await?;
        wrong.extend(ledger.unlisted.iter().map(|(bucket, s3_key)| {
            let text = format!("{bucket}/{s3_key} has no row, and the reconciler left it");
            Violation { kind: Kind::Orphan, text }
        }));
    }
    let mut observed = client.observed();
    let broken = observed.broken.drain(..);
    wrong.extend(broken.map(|text| Violation { kind: Kind::Answer, text }));
    Ok(wrong)
}

/// Reads every acknowledged version of the run and compares.
///
/// # Errors
/// The database cannot be asked.
pub(crate) async fn everything(rig: &Rig, ledger: &Ledger) -> Result<Vec<Violation>> {
    let client = rig.direct_client()?;
    let database = connect(rig.postgres.url().as_str()).await?;
    let rows = sql::rows(&database).await?;
    Ok(versions::all(Reader { client: &client, s3: rig.s3() }, ledger, &rows).await)
}

/// A copy of what was current has read its source.
fn note_copied(ledger: &mut Ledger, before: usize) {
    let mut reads = Vec::new();
    for write in &ledger.writes[before..] {
        let (Some(source), Some(content), Some(_)) = (&write.source, write.content, &write.version)
        else {
            continue;
        };
        if source.version.is_none() {
            // Without an answer it went on for as long as it liked.
            let end = if write.is_acknowledged() { write.end } else { u64::MAX };
            let (key, seen) = (Arc::clone(&source.key), Seen::Copied { sha: content.sha });
            reads.push(Read { key, start: write.start, end, seen });
        }
    }
    reads.into_iter().for_each(|read| ledger.note_read(read));
}

/// What is current now is one more read of each key.
async fn read_current(
    world: &World,
    client: &Client,
    ledger: &mut Ledger,
    touched: &mut HashSet<Arc<Key>>,
) {
    for key in touched.iter() {
        let start = world.now();
        if let Some(seen) = client.read(client.download(key)).await {
            let (key, end) = (Arc::clone(key), world.now());
            ledger.note_read(Read { key, start, end, seen });
        }
    }
}

/// The worker's job, with time made to pass: leases end, second deletions are due.
async fn tick_until_done(
    rig: &Rig,
    client: &Client,
    database: &tokio_postgres::Client,
    late_put: Duration,
) -> Result<()> {
    for number in 0..TICKS {
        let request = client.operate("/internal/tick", rig.stack.tick_secret());
        let answer = client.send(request).await.map_err(anyhow::Error::msg).context("a tick")?;
        if answer.status != 200 {
            bail!("a tick was answered {}", answer.status);
        }
        if sql::is_settled(database).await? {
            return Ok(());
        }
        if number == 0 {
            tokio::time::sleep(late_put).await;
        }
        sql::expire(database, sql::Expire::Deletions).await?;
    }
    bail!("after {TICKS} ticks the worker still has something to do")
}

/// Lets the reconciler go through the days of the blobs without a row; answers those that are still there.
async fn reconcile(
    rig: &Rig,
    client: &Client,
    unlisted: &HashSet<(String, String)>,
) -> Result<HashSet<(String, String)>> {
    // Also the youngest has to be older than `ORPHAN_AGE_SECONDS`.
    tokio::time::sleep(2 * Duration::from_secs(ORPHAN_AGE_SECONDS)).await;
    let day = |s3_key: &str| s3_key.get(3..13).map(|day| day.replace('/', "-"));
    let days: HashSet<(&str, String)> = unlisted
        .iter()
        .filter_map(|(bucket, s3_key)| Some((bucket.as_str(), day(s3_key)?)))
        .collect();
    for (bucket, day) in days {
        let mut cursor = Value::Null;
        loop {
            let asked = json!({ "day": day, "bucket": bucket, "apply": true, "cursor": cursor });
            let request = client.operate("/internal/reconcile", rig.stack.tick_secret());
            let request = request.body(asked.to_string());
            let answer = client.send(request).await.map_err(anyhow::Error::msg)?;
            if answer.status != 200 {
                bail!("the reconciler answered {}", answer.status);
            }
            let answer: Value = serde_json::from_slice(&answer.body)?;
            cursor = answer["cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
    }
    store::still_there(rig.s3(), unlisted).await
}
