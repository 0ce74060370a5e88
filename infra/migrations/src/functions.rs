//! Replacing functions.

use crate::error::{Error, Step};
use crate::ledger::{self, Kind};
use crate::sources::Source;
use std::collections::BTreeSet;
use tokio_postgres::error::SqlState;
use tokio_postgres::{GenericClient, Transaction};

/// Every overload of a function, as `DROP FUNCTION` wants it.
const OVERLOADS: &str = "
    select p.oid::regprocedure::text
    from pg_catalog.pg_proc p
    where p.pronamespace = 'holdfast'::regnamespace
      and p.proname = $1";

/// Creates the function, in place where its signature is what it was: sessions that are calling it keep
/// working, and grants stay. Another signature drops the old one, or both would be there.
pub(crate) async fn replace(
    transaction: &mut Transaction<'_>,
    source: &Source,
) -> Result<(), Error> {
    let before = overloads(transaction, source.name).await?;
    if !create_in_place(transaction, source).await? {
        drop_all(transaction, source.name, &before).await?;
        transaction.batch_execute(source.sql).await.step(source.name)?;
    } else if before.len() < overloads(transaction, source.name).await?.len() {
        drop_all(transaction, source.name, &before).await?;
    }
    ledger::write(transaction, Kind::Function, source).await
}

/// Removes a function that has no file any more.
pub(crate) async fn remove(transaction: &mut Transaction<'_>, name: &str) -> Result<(), Error> {
    let all = overloads(transaction, name).await?;
    drop_all(transaction, name, &all).await?;
    ledger::forget(transaction, Kind::Function, name).await
}

/// Says false, with nothing done, where only the result or the names of the parameters are others.
async fn create_in_place(
    transaction: &mut Transaction<'_>,
    source: &Source,
) -> Result<bool, Error> {
    let savepoint = transaction.savepoint("in_place").await.step(source.name)?;
    match savepoint.batch_execute(source.sql).await {
        Ok(()) => {
            savepoint.commit().await.step(source.name)?;
            Ok(true)
        }
        Err(error) if error.code() == Some(&SqlState::INVALID_FUNCTION_DEFINITION) => {
            savepoint.rollback().await.step(source.name)?;
            Ok(false)
        }
        Err(error) => Err(error).step(source.name),
    }
}

async fn overloads(client: &impl GenericClient, name: &str) -> Result<BTreeSet<String>, Error> {
    let rows = client.query(OVERLOADS, &[&name]).await.step(name)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn drop_all(
    client: &impl GenericClient,
    name: &str,
    overloads: &BTreeSet<String>,
) -> Result<(), Error> {
    for overload in overloads {
        client.batch_execute(&format!("drop function {overload}")).await.step(name)?;
    }
    Ok(())
}
