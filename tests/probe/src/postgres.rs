//! PostgreSQL.

use crate::sleep;
use futures_util::future::{Either, select};
use serde_json::{Value, json};
use spin_sdk::pg::{Connection, Error};
use spin_sdk::variables;
use std::pin::pin;
use std::time::Duration;

/// A connection that is not there by then is not coming.
const OPEN_LIMIT: Duration = Duration::from_secs(3);

/// Opens up to `count` connections at once and tells how many there were.
pub(crate) async fn fill_pool(count: u16) -> Value {
    let url = url().await;
    let mut open = Vec::new();
    for _ in 0..count {
        let limit = pin!(sleep(OPEN_LIMIT));
        match select(pin!(Connection::open(&url)), limit).await {
            Either::Left((Ok(connection), _)) => open.push(connection),
            Either::Left((Err(error), _)) => return failed(&error),
            Either::Right(_) => return json!({ "opened": open.len(), "then": "hangs" }),
        }
    }
    json!({ "opened": open.len() })
}

/// Tells whether `address` can be opened.
pub(crate) async fn open(address: &str) -> Value {
    match Connection::open(address).await {
        Ok(_) => json!({ "opened": 1 }),
        Err(error) => failed(&error),
    }
}

/// Runs a statement; what fails at its end is told apart from what fails at once.
pub(crate) async fn query(statement: &str) -> Value {
    let connection = match Connection::open(&url().await).await {
        Ok(connection) => connection,
        Err(error) => return failed(&error),
    };
    let mut result = match connection.query(statement, Vec::new()).await {
        Ok(result) => result,
        Err(error) => return failed(&error),
    };
    let mut rows = Vec::new();
    while let Some(row) = result.rows().next().await {
        rows.push(format!("{row:?}"));
    }
    match result.result().await {
        Ok(()) => json!({ "rows": rows }),
        Err(error) => json!({ "rows": rows, "late": format!("{error:?}") }),
    }
}

async fn url() -> String {
    variables::get("database_url").await.unwrap_or_default()
}

fn failed(error: &Error) -> Value {
    json!({ "error": format!("{error:?}") })
}
