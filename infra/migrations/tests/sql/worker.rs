//! Reaper, purge and retirement. The clock is moved by `p_now`.

use crate::harness::{Db, Suite, Write, write};
use anyhow::{Result, ensure};
use tokio_postgres::Client;
use uuid::Uuid;

const HOUR: f64 = 3600.0;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("an_expired_lease_is_deleted_twice", an_expired_lease_is_deleted_twice);
    suite.add("an_aborted_write_is_reaped_later", an_aborted_write_is_reaped_later);
    suite.add("purge_waits_for_the_retention", purge_waits_for_the_retention);
    suite.add(
        "purge_is_never_sooner_than_a_day_or_a_pin",
        purge_is_never_sooner_than_a_day_or_a_pin,
    );
    suite.add("a_longer_retention_counts_at_once", a_longer_retention_counts_at_once);
    suite.add(
        "a_blob_goes_with_the_last_version_that_names_it",
        a_blob_goes_with_the_last_version_that_names_it,
    );
    suite.add(
        "a_blob_that_others_need_survives_an_abort",
        a_blob_that_others_need_survives_an_abort,
    );
    suite.add("two_workers_never_share_a_row", two_workers_never_share_a_row);
    suite.add(
        "one_of_two_workers_deletes_the_blob_that_both_of_their_versions_name",
        one_of_two_workers_deletes_the_blob_that_both_of_their_versions_name,
    );
    suite.add("old_rows_retire_and_so_do_empty_objects", old_rows_retire_and_so_do_empty_objects);
}

async fn versions(client: &Client, sql: &str, after: f64) -> Result<Vec<Uuid>> {
    let sql = sql.replace("NOW", "clock_timestamp() + $1::float8 * interval '1 second'");
    let rows = client.query(&sql, &[&after]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn reap(client: &Client, after: f64) -> Result<Vec<Uuid>> {
    versions(client, "select version from holdfast.reap(100, NOW)", after).await
}

async fn purge(client: &Client, after: f64) -> Result<Vec<(Uuid, bool)>> {
    let sql = "select version, delete_blob from holdfast.purge(100, clock_timestamp() + $1::float8 * interval '1 second')";
    Ok(client.query(sql, &[&after]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn done(client: &Client, function: &str, versions: &[Uuid], after: f64) -> Result<i64> {
    let sql = format!(
        "select holdfast.{function}($1, clock_timestamp() + $2::float8 * interval '1 second')"
    );
    Ok(client.query_one(&sql, &[&versions, &after]).await?.get(0))
}

async fn an_expired_lease_is_deleted_twice(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = write("k");
    it.begin(&client).await?.ok();
    ensure!(reap(&client, 59.0).await?.is_empty(), "reaped before the lease ended");
    ensure!(reap(&client, 61.0).await? == [it.version]);
    ensure!(it.state(&client).await? == "aborting");
    ensure!(
        db.number("select pending_bytes from holdfast.usage('documents', 'alice')").await? == 0
    );
    ensure!(reap(&client, 62.0).await?.is_empty(), "claimed twice");
    // A worker that died after its claim is replaced.
    ensure!(reap(&client, 200.0).await? == [it.version]);

    ensure!(done(&client, "reaped", &[it.version], 200.0).await? == 1);
    ensure!(it.state(&client).await? == "aborting");
    ensure!(
        done(&client, "reaped", &[it.version], 210.0).await? == 0,
        "the second deletion came too soon"
    );
    ensure!(reap(&client, 799.0).await?.is_empty());
    ensure!(reap(&client, 801.0).await? == [it.version]);
    ensure!(done(&client, "reaped", &[it.version], 801.0).await? == 1);
    ensure!(it.state(&client).await? == "aborted");
    ensure!(reap(&client, 100.0 * HOUR).await?.is_empty());
    ensure!(db.number("select count(*) from holdfast.audit where action = 'reap'").await? == 1);
    Ok(())
}

async fn an_aborted_write_is_reaped_later(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = write("k");
    it.begin(&client).await?.ok();
    ensure!(it.abort(&client).await? == "ok");
    ensure!(reap(&client, 30.0).await?.is_empty(), "the winner of the abort deletes first");
    ensure!(reap(&client, 61.0).await? == [it.version]);
    ensure!(
        db.number(
            "select count(*) from holdfast.audit where action = 'abort' and outcome = 'ClientGone'"
        )
        .await?
            == 1
    );
    Ok(())
}

async fn replaced(client: &Client, bucket: &str) -> Result<Write> {
    let (mut first, mut second) = (write("k"), write("k"));
    (first.bucket, second.bucket) = (bucket.into(), bucket.into());
    first.store(client).await?;
    second.store(client).await?;
    Ok(first)
}

async fn purge_waits_for_the_retention(db: Db) -> Result<()> {
    db.bucket("kept", "system", r#"{"retentionHours": 48}"#).await?;
    let client = db.connect().await?;
    let it = replaced(&client, "kept").await?;
    ensure!(purge(&client, 47.9 * HOUR).await?.is_empty(), "purged before the retention ended");
    ensure!(purge(&client, 48.1 * HOUR).await? == [(it.version, true)]);
    ensure!(it.state(&client).await? == "purging");
    ensure!(db.number("select retained_bytes from holdfast.usage('kept', 'alice')").await? == 10);
    ensure!(purge(&client, 48.1 * HOUR).await?.is_empty(), "claimed twice");
    ensure!(purge(&client, 48.2 * HOUR).await? == [(it.version, true)]);
    ensure!(done(&client, "purged", &[it.version], 48.2 * HOUR).await? == 1);
    ensure!(done(&client, "purged", &[it.version], 48.2 * HOUR).await? == 0);
    ensure!(it.state(&client).await? == "purged");
    ensure!(db.number("select retained_bytes from holdfast.usage('kept', 'alice')").await? == 0);
    ensure!(db.number("select count(*) from holdfast.audit where action = 'purge'").await? == 1);
    Ok(())
}

async fn purge_is_never_sooner_than_a_day_or_a_pin(db: Db) -> Result<()> {
    db.bucket("hasty", "system", r#"{"retentionHours": 0}"#).await?;
    let client = db.connect().await?;
    let it = replaced(&client, "hasty").await?;
    ensure!(purge(&client, 23.9 * HOUR).await?.is_empty());
    let pin = "update holdfast.version set pinned_until = clock_timestamp() + interval '30 hours' where id = $1";
    client.execute(pin, &[&it.version]).await?;
    ensure!(purge(&client, 29.9 * HOUR).await?.is_empty(), "purged while a signed URL is good");
    ensure!(purge(&client, 30.1 * HOUR).await? == [(it.version, true)]);
    Ok(())
}

async fn a_longer_retention_counts_at_once(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = replaced(&client, "documents").await?;
    let longer = "update holdfast.bucket set policy = policy || '{\"retentionHours\": 72}' where name = 'documents'";
    client.execute(longer, &[]).await?;
    ensure!(purge(&client, 25.0 * HOUR).await?.is_empty());
    ensure!(purge(&client, 73.0 * HOUR).await? == [(it.version, true)]);
    Ok(())
}

/// A second version of `key` that names the blob of `it`, as a copy would.
async fn copy(client: &Client, it: &Write, key: &str) -> Result<Write> {
    let copy = write(key);
    let sql = "select outcome from holdfast.begin($1, $2, $3, $4, 'alice', null, null, 10, null, null, null, null, 60, null, null, null)";
    let s3_key = format!("hf/2026/11/24/{}", it.version);
    let outcome: String =
        client.query_one(sql, &[&copy.version, &it.bucket, &key, &s3_key]).await?.get(0);
    ensure!(outcome == "ok");
    Ok(copy)
}

async fn a_blob_goes_with_the_last_version_that_names_it(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = write("k");
    it.store(&client).await?;
    let other = copy(&client, &it, "copy").await?;
    other.commit(&client).await?.outcome.ok();
    write("k").store(&client).await?;
    ensure!(
        purge(&client, 25.0 * HOUR).await? == [(it.version, false)],
        "the copy still needs the blob"
    );
    done(&client, "purged", &[it.version], 25.0 * HOUR).await?;
    write("copy").store(&client).await?;
    ensure!(purge(&client, 25.0 * HOUR).await? == [(other.version, true)]);
    Ok(())
}

async fn a_blob_that_others_need_survives_an_abort(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = write("k");
    it.store(&client).await?;
    let aborted = copy(&client, &it, "a").await?;
    ensure!(aborted.abort(&client).await? == "aborted", "nobody may delete the blob");
    let expired = copy(&client, &it, "b").await?;
    ensure!(reap(&client, HOUR).await?.is_empty());
    ensure!(expired.state(&client).await? == "aborted");
    Ok(())
}

async fn two_workers_never_share_a_row(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for index in 0..60 {
        write(&format!("k{index}")).begin(&client).await?.ok();
        replaced(&client, "batches").await?;
    }
    let taken = db
        .at_once(16, |_, client| async move {
            let reaped =
                versions(&client, "select version from holdfast.reap(10, NOW)", 61.0).await?;
            let purged =
                versions(&client, "select version from holdfast.purge(10, NOW)", 25.0 * HOUR)
                    .await?;
            Ok([reaped, purged].concat())
        })
        .await?;
    let all: Vec<_> = taken.concat();
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    ensure!(distinct.len() == all.len(), "a row was claimed twice");
    ensure!(all.len() > 60, "only {} rows", all.len());
    Ok(())
}

async fn one_of_two_workers_deletes_the_blob_that_both_of_their_versions_name(
    db: Db,
) -> Result<()> {
    let (mut one, other) = (db.connect().await?, db.connect().await?);
    let it = write("k");
    it.store(&one).await?;
    let second = copy(&one, &it, "copy").await?;
    second.commit(&one).await?.outcome.ok();
    write("k").store(&one).await?;
    write("copy").store(&one).await?;

    let purge = "select version, delete_blob from holdfast.purge(1, clock_timestamp() + interval '25 hours')";
    let taken = |rows: Vec<tokio_postgres::Row>| -> Vec<(Uuid, bool)> {
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    let transaction = one.transaction().await?;
    let first = taken(transaction.query(purge, &[]).await?);
    let beside = tokio::spawn(async move { other.query(purge, &[]).await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    transaction.commit().await?;
    let last = taken(beside.await??);
    ensure!(first == [(it.version, false)], "{first:?}");
    ensure!(last == [(second.version, true)], "nobody deletes the blob: {last:?}");
    Ok(())
}

async fn old_rows_retire_and_so_do_empty_objects(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let (gone, kept) = (write("gone"), write("kept"));
    gone.begin(&client).await?.ok();
    kept.store(&client).await?;
    let second = write("kept");
    second.begin(&client).await?.ok();
    for after in [61.0, 700.0] {
        let taken = reap(&client, after).await?;
        done(&client, "reaped", &taken, after).await?;
    }
    ensure!(gone.state(&client).await? == "aborted" && second.state(&client).await? == "aborted");
    let log = "select holdfast.record_accesses('[{\"bucket\": \"documents\", \"key\": \"k\", \"method\": \"GET\", \"status\": 200, \"bytes\": 1, \"outcome\": \"ok\"}]', null)";
    client.execute(log, &[]).await?;

    ensure!(db.number("holdfast.retire(100, clock_timestamp() + interval '29 days')").await? == 0);
    ensure!(
        db.number("holdfast.retire(100, clock_timestamp() + interval '31 days')").await? == 3,
        "two versions and an object"
    );
    ensure!(db.number("select count(*) from holdfast.object").await? == 1);
    ensure!(kept.state(&client).await? == "live");
    ensure!(db.number("select count(*) from holdfast.access_log").await? == 1);
    ensure!(db.number("holdfast.retire(100, clock_timestamp() + interval '91 days')").await? == 1);
    Ok(())
}
