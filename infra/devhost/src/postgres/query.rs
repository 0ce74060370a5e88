//! Running statements, whole or as a stream of rows.

use super::Connection;
use super::convert::{column, parameter, row};
use super::errors::query_failed;
use crate::bindings::spin::postgres::postgres::{
    Column, Error, ParameterValue, QueryError, Row, RowSet,
};
use futures_util::{Stream, StreamExt as _};
use std::pin::{Pin, pin};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::RowStream;
use tokio_postgres::types::ToSql;

/// Rows that wait for the guest.
const ROWS_AHEAD: usize = 64;

type Parameter = Box<dyn ToSql + Send + Sync>;

/// A query that runs: its rows come, then how it ended.
pub(super) struct Started {
    pub(super) columns: Vec<Column>,
    pub(super) rows: mpsc::Receiver<Row>,
    pub(super) end: oneshot::Receiver<Result<(), Error>>,
}

pub(super) async fn execute(
    connection: &Connection,
    statement: &str,
    params: Vec<ParameterValue>,
) -> Result<u64, Error> {
    let params = parameters(params).map_err(Error::ValueConversionFailed)?;
    let done = connection.execute_raw(statement, params).await;
    done.map_err(|error| query_failed(&error))
}

pub(super) async fn rows(
    connection: &Connection,
    statement: &str,
    params: Vec<ParameterValue>,
) -> Result<RowSet, Error> {
    let mut stream = pin!(start(connection, statement, params).await?);
    let mut set = RowSet { columns: Vec::new(), rows: Vec::new() };
    while let Some(next) = stream.next().await {
        let next = next.map_err(|error| query_failed(&error))?;
        if set.rows.is_empty() {
            set.columns = next.columns().iter().map(column).collect();
        }
        set.rows.push(convert(&next)?);
    }
    Ok(set)
}

/// Starts a query and waits for its first row: the columns are taken from it, so that an empty
/// result has none. What fails from here on is told at the end.
pub(super) async fn stream(
    connection: Connection,
    statement: &str,
    params: Vec<ParameterValue>,
) -> Result<Started, Error> {
    // Fused: the driver takes a look past the end of an empty result for a closed connection.
    let mut stream = Box::pin(start(&connection, statement, params).await?.fuse());
    let first = stream.next().await;
    let columns = match &first {
        Some(Ok(row)) => row.columns().iter().map(column).collect(),
        _ => Vec::new(),
    };
    let (rows_tx, rows) = mpsc::channel(ROWS_AHEAD);
    let (end_tx, end) = oneshot::channel();
    tokio::spawn(async move {
        let all = futures_util::stream::iter(first).chain(stream);
        let result = forward(pin!(all), &rows_tx).await;
        // The connection is free before the guest hears of the end.
        drop(connection);
        drop(rows_tx);
        let _ = end_tx.send(result);
    });
    Ok(Started { columns, rows, end })
}

async fn forward(
    mut stream: Pin<&mut impl Stream<Item = Result<tokio_postgres::Row, tokio_postgres::Error>>>,
    rows: &mpsc::Sender<Row>,
) -> Result<(), Error> {
    while let Some(next) = stream.next().await {
        let next = convert(&next.map_err(|error| query_failed(&error))?)?;
        if rows.send(next).await.is_err() {
            break; // the guest wants no more of them
        }
    }
    Ok(())
}

async fn start(
    connection: &Connection,
    statement: &str,
    params: Vec<ParameterValue>,
) -> Result<RowStream, Error> {
    let params = parameters(params).map_err(Error::BadParameter)?;
    let stream = connection.query_raw(statement, params).await;
    stream.map_err(|error| query_failed(&error))
}

fn parameters(params: Vec<ParameterValue>) -> Result<Vec<Parameter>, String> {
    params.into_iter().map(|value| parameter(value).map_err(|error| format!("{error:?}"))).collect()
}

#[expect(clippy::result_large_err, reason = "the generated error is this large")]
fn convert(next: &tokio_postgres::Row) -> Result<Row, Error> {
    row(next).map_err(|error| Error::QueryFailed(QueryError::Text(format!("{error:?}"))))
}
