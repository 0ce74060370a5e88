//! The access log.

use crate::harness::{Db, Suite};
use anyhow::{Result, ensure};

pub(crate) fn register(suite: &mut Suite) {
    suite.add("each_access_is_a_row", each_access_is_a_row);
}

async fn each_access_is_a_row(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let sql = "select holdfast.record_accesses($1, null)";
    let record = |sub: Option<&str>| {
        serde_json::json!({
            "bucket": "documents", "key": "k", "sub": sub, "method": "GET", "status": 206, "bytes": 5,
            "outcome": "ok", "ip": "192.0.2.1", "requestId": "request", "userAgent": "x".repeat(10_000),
        })
    };
    let records = serde_json::json!([record(Some("alice")), record(None)]);
    ensure!(client.query_one(sql, &[&records]).await?.get::<_, i64>(0) == 2);
    ensure!(
        db.number("select count(*) from holdfast.access_log where bytes = 5 and status = 206")
            .await?
            == 2
    );
    ensure!(db.number("select count(*) from holdfast.access_log where actor = ''").await? == 1);
    // What a client sends at length is cut.
    ensure!(db.number("select max(length(user_agent)) from holdfast.access_log").await? == 256);
    Ok(())
}
