//! Bringing a database up to date.

use crate::error::{Error, MINIMUM_VERSION, Step};
use crate::functions;
use crate::ledger::{self, Kind, checksum};
use crate::sources::{FUNCTIONS, MIGRATIONS, SEEDS, Source};
use std::collections::BTreeMap;
use tokio_postgres::Client;

/// One migrator at a time; any number will do that no other program uses ("holdfast" in ASCII).
const LOCK: i64 = 0x686f_6c64_6661_7374;

const SERVER: &str =
    "select current_setting('server_version_num')::int4, current_setting('server_encoding')";

/// What [`migrate`] or [`seed`] did, by file names without `.sql`. All empty: the database was up to date.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Migrations or seeds that were applied, in order.
    pub applied: Vec<String>,
    /// Functions that were created or replaced.
    pub replaced: Vec<String>,
    /// Functions that were dropped, because they have no file any more.
    pub removed: Vec<String>,
}

/// Applies the migrations that the database lacks, each in its own transaction, then replaces the
/// functions whose text changed, all of them in one. A second migrator waits for the first.
///
/// # Errors
/// * [`Error::Unsuitable`]: server too old, or not UTF-8.
/// * [`Error::Changed`]: an applied migration has another text now.
/// * [`Error::Newer`]: the database belongs to a later release.
/// * [`Error::Database`]: anything that PostgreSQL says.
pub async fn migrate(client: &mut Client) -> Result<Report, Error> {
    lock(client).await?;
    let result = migrate_alone(client).await;
    unlock(client, result).await
}

/// Creates the default buckets (documents, avatars, templates, batches, assets) in the database. Each seed
/// is applied once: a bucket that was changed or deleted since stays so. Call [`migrate`] before.
///
/// # Errors
/// As [`migrate`].
pub async fn seed(client: &mut Client) -> Result<Report, Error> {
    lock(client).await?;
    let result = apply_missing(client, Kind::Seed, SEEDS).await;
    let result = result.map(|applied| Report { applied, ..Report::default() });
    unlock(client, result).await
}

async fn migrate_alone(client: &mut Client) -> Result<Report, Error> {
    check_server(client).await?;
    ledger::create(client).await?;
    let applied = apply_missing(client, Kind::Migration, MIGRATIONS).await?;
    let (replaced, removed) = replace_functions(client).await?;
    Ok(Report { applied, replaced, removed })
}

/// Held by the session: it spans transactions, and goes with the connection if we die.
async fn lock(client: &Client) -> Result<(), Error> {
    client
        .execute("select pg_advisory_lock($1)", &[&LOCK])
        .await
        .step("waiting for another migrator")?;
    Ok(())
}

/// Unlocks whatever happened, and reports what happened first.
async fn unlock(client: &Client, result: Result<Report, Error>) -> Result<Report, Error> {
    let unlocked = client.execute("select pg_advisory_unlock($1)", &[&LOCK]).await;
    let report = result?;
    unlocked.step("unlocking")?;
    Ok(report)
}

async fn check_server(client: &Client) -> Result<(), Error> {
    let row = client.query_one(SERVER, &[]).await.step("asking for the server's version")?;
    let (version, encoding): (i32, String) = (row.get(0), row.get(1));
    if version < MINIMUM_VERSION * 10_000 || encoding != "UTF8" {
        return Err(Error::Unsuitable { found: format!("{} with {encoding}", version / 10_000) });
    }
    Ok(())
}

/// Applies, in order, what the ledger does not have.
async fn apply_missing(
    client: &mut Client,
    kind: Kind,
    sources: &[Source],
) -> Result<Vec<String>, Error> {
    let known = ledger::read(client, kind).await?;
    refuse_unknown(&known, sources)?;
    let mut applied = Vec::new();
    for source in sources {
        match known.get(source.name) {
            Some(sha256) if *sha256 == checksum(source.sql) => {}
            Some(_) => return Err(Error::Changed { name: source.name.to_owned() }),
            None => {
                apply(client, kind, source).await?;
                applied.push(source.name.to_owned());
            }
        }
    }
    Ok(applied)
}

fn refuse_unknown(known: &BTreeMap<String, String>, sources: &[Source]) -> Result<(), Error> {
    match known.keys().find(|name| sources.iter().all(|source| source.name != **name)) {
        Some(name) => Err(Error::Newer { name: name.clone() }),
        None => Ok(()),
    }
}

async fn apply(client: &mut Client, kind: Kind, source: &Source) -> Result<(), Error> {
    let transaction = client.transaction().await.step(source.name)?;
    transaction.batch_execute(source.sql).await.step(source.name)?;
    ledger::write(&transaction, kind, source).await?;
    transaction.commit().await.step(source.name)
}

/// All or none: functions call each other.
async fn replace_functions(client: &mut Client) -> Result<(Vec<String>, Vec<String>), Error> {
    let known = ledger::read(client, Kind::Function).await?;
    let changed =
        FUNCTIONS.iter().filter(|source| known.get(source.name) != Some(&checksum(source.sql)));
    let gone = known.keys().filter(|name| FUNCTIONS.iter().all(|source| source.name != **name));
    let (changed, gone): (Vec<_>, Vec<_>) = (changed.collect(), gone.collect());

    let mut transaction = client.transaction().await.step("replacing functions")?;
    // They may be created before those that they call.
    transaction
        .batch_execute("set local check_function_bodies = off")
        .await
        .step("replacing functions")?;
    for source in &changed {
        functions::replace(&mut transaction, source).await?;
    }
    for name in &gone {
        functions::remove(&mut transaction, name).await?;
    }
    transaction.commit().await.step("replacing functions")?;
    Ok((
        changed.iter().map(|source| source.name.to_owned()).collect(),
        gone.into_iter().cloned().collect(),
    ))
}
