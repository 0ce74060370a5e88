//! What was applied to a database, with the checksum of its text.

use crate::error::{Error, Step};
use crate::sources::Source;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use tokio_postgres::GenericClient;

/// Made before the first migration, which is written down here too.
const CREATE: &str = "
    create schema if not exists holdfast;
    create table if not exists holdfast.applied (
        kind       text        not null check (kind in ('migration', 'function', 'seed')),
        name       text        not null,
        sha256     text        not null,
        applied_at timestamptz not null default clock_timestamp(),
        primary key (kind, name)
    )";

const READ: &str = "select name, sha256 from holdfast.applied where kind = $1 order by name";

const WRITE: &str = "
    insert into holdfast.applied (kind, name, sha256)
    values ($1, $2, $3)
    on conflict (kind, name) do update
    set sha256 = excluded.sha256, applied_at = excluded.applied_at";

const FORGET: &str = "delete from holdfast.applied where kind = $1 and name = $2";

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Migration,
    Function,
    Seed,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Migration => "migration",
            Self::Function => "function",
            Self::Seed => "seed",
        }
    }
}

pub(crate) async fn create(client: &impl GenericClient) -> Result<(), Error> {
    client.batch_execute(CREATE).await.step("creating the ledger")
}

/// Name and checksum of what was applied.
pub(crate) async fn read(
    client: &impl GenericClient,
    kind: Kind,
) -> Result<BTreeMap<String, String>, Error> {
    let rows = client.query(READ, &[&kind.as_str()]).await.step("reading the ledger")?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

pub(crate) async fn write(
    client: &impl GenericClient,
    kind: Kind,
    source: &Source,
) -> Result<(), Error> {
    client
        .execute(WRITE, &[&kind.as_str(), &source.name, &checksum(source.sql)])
        .await
        .step("writing the ledger")?;
    Ok(())
}

pub(crate) async fn forget(
    client: &impl GenericClient,
    kind: Kind,
    name: &str,
) -> Result<(), Error> {
    client.execute(FORGET, &[&kind.as_str(), &name]).await.step("writing the ledger")?;
    Ok(())
}

/// SHA-256 in hex. Line ends do not count: a checkout may have changed them.
pub(crate) fn checksum(sql: &str) -> String {
    let digest = Sha256::digest(sql.replace("\r\n", "\n").as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn checksum_is_sha256_of_the_text_with_unix_line_ends() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(checksum("abc"), expected);
        assert_eq!(checksum("a\r\nb"), checksum("a\nb"));
        assert_ne!(checksum("a b"), checksum("a\nb"));
    }
}
