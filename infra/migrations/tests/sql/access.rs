//! The access log.

use crate::harness::{Db, Suite};
use anyhow::{Result, ensure};

pub(crate) fn register(suite: &mut Suite) {
    suite.add("each_access_is_a_row", each_access_is_a_row);
}

async fn each_access_is_a_row(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let sql = "select holdfast.record_access('documents', $1, null, $2, 'GET', 206, 5, 'ok', '192.0.2.1', 'request', $3, null)";
    let agent = "x".repeat(10_000);
    for sub in [Some("alice"), None] {
        let row = client.query_one(sql, &[&"k", &sub, &agent]).await?;
        ensure!(row.get::<_, bool>(0));
    }
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
