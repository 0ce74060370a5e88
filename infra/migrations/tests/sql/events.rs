//! Positions: no gap, none behind a cursor, an object's events in its order.

use crate::harness::{Db, Suite, write};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use tokio_postgres::Client;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_late_commit_is_never_behind_a_cursor", a_late_commit_is_never_behind_a_cursor);
    suite.add(
        "an_older_transaction_waits_for_its_objects_order",
        an_older_transaction_waits_for_its_objects_order,
    );
    suite.add(
        "positions_have_no_gap_and_no_double_under_load",
        positions_have_no_gap_and_no_double_under_load,
    );
    suite.add("a_commit_that_rolls_back_has_no_event", a_commit_that_rolls_back_has_no_event);
}

async fn a_late_commit_is_never_behind_a_cursor(db: Db) -> Result<()> {
    let (mut slow, quick) = (db.connect().await?, db.connect().await?);
    let (late, early) = (write("late"), write("early"));
    late.begin(&quick).await?.ok();
    let transaction = slow.transaction().await?;
    let sql = "select outcome from holdfast.commit($1, 'alice', null, null, 10, 'a/b', null, 'e', null, null, null, null)";
    transaction.query_one(sql, &[&late.version]).await?;
    early.store(&quick).await?;
    ensure!(
        db.number("holdfast.sequence(100)").await? == 0,
        "the event of a running commit would come later"
    );
    transaction.commit().await?;
    ensure!(db.number("holdfast.sequence(1)").await? == 1);
    ensure!(db.number("holdfast.sequence(100)").await? == 1);
    ensure!(db.number("holdfast.sequence(100)").await? == 0);
    ensure!(db.number("select count(*) from holdfast.outbox where position in (1, 2)").await? == 2);
    Ok(())
}

/// A transaction that got its id first may commit its event of an object second.
async fn an_older_transaction_waits_for_its_objects_order(db: Db) -> Result<()> {
    let (mut old, mut middle, young) =
        (db.connect().await?, db.connect().await?, db.connect().await?);
    let (first, second) = (write("k"), write("k"));
    first.begin(&young).await?.ok();
    second.begin(&young).await?.ok();
    let old = old.transaction().await?;
    old.query_one("select pg_current_xact_id()::text", &[]).await?;
    let middle = middle.transaction().await?;
    middle.query_one("select pg_current_xact_id()::text", &[]).await?;
    // The younger transaction commits first, the oldest one second; `middle` keeps the horizon between them.
    first.commit(&young).await?.outcome.ok();
    let sql = "select outcome from holdfast.commit($1, 'alice', null, null, 10, 'a/b', null, 'e', null, null, null, null)";
    old.query_one(sql, &[&second.version]).await?;
    old.commit().await?;
    ensure!(
        db.number("holdfast.sequence(100)").await? == 0,
        "the second event of an object overtook its first"
    );
    middle.commit().await?;
    ensure!(db.number("holdfast.sequence(100)").await? == 2);
    ensure!(
        db.number("select count(*) from holdfast.outbox where position <> sequence").await? == 0
    );
    Ok(())
}

async fn positions_have_no_gap_and_no_double_under_load(db: Db) -> Result<()> {
    /// 18 of the 24 write 50 each.
    const EVENTS: i64 = 18 * 50;
    db.at_once(24, |index, client| async move {
        if index % 4 == 0 {
            return read_to(&client, EVENTS).await;
        }
        for round in 0..50 {
            write(&format!("k{}", (index + round) % 4)).store(&client).await?;
        }
        Ok(())
    })
    .await?;
    ensure!(db.number("select max(position) from holdfast.outbox").await? == EVENTS);
    let disorder = "select count(*) from holdfast.outbox a join holdfast.outbox b using (object_id) \
                    where a.sequence < b.sequence and a.position > b.position";
    ensure!(db.number(disorder).await? == 0, "an object's events are out of order");
    Ok(())
}

/// A cursor that reads on from where it was finds all positions, one after the other. It also gives
/// them, while others write: nobody else does.
async fn read_to(client: &Client, last: i64) -> Result<()> {
    let since = Instant::now();
    let mut seen = 0_i64;
    while seen < last {
        ensure!(since.elapsed() < Duration::from_secs(60), "a cursor is stuck at {seen} of {last}");
        client.query("select holdfast.sequence(9)", &[]).await?;
        let sql = "select position from holdfast.outbox where position > $1 order by position";
        for row in client.query(sql, &[&seen]).await? {
            ensure!(row.get::<_, i64>(0) == seen + 1, "a gap after {seen}");
            seen += 1;
        }
    }
    Ok(())
}

async fn a_commit_that_rolls_back_has_no_event(db: Db) -> Result<()> {
    let mut client = db.connect().await?;
    let it = write("k");
    it.begin(&client).await?.ok();
    let transaction = client.transaction().await?;
    let sql = "select outcome from holdfast.commit($1, 'alice', null, null, 10, 'a/b', null, 'e', null, null, null, null)";
    transaction.query_one(sql, &[&it.version]).await?;
    transaction.rollback().await?;
    ensure!(it.state(&client).await? == "pending");
    ensure!(db.number("select count(*) from holdfast.outbox").await? == 0);
    it.commit(&client).await?.outcome.ok();
    Ok(())
}
