//! What the reconciler asks of SQL, and how usage is mended.

use crate::deletion::Delete;
use crate::harness::{Db, Suite, Write, write};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio_postgres::Client;
use uuid::Uuid;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_blob_is_needed_until_its_version_ended", a_blob_is_needed_until_its_version_ended);
    suite.add("the_second_look_tells_the_audit", the_second_look_tells_the_audit);
    suite.add("pages_of_rows_are_whole_and_in_order", pages_of_rows_are_whole_and_in_order);
    suite.add("a_lost_row_is_reported_and_stays", a_lost_row_is_reported_and_stays);
    suite.add("drifted_usage_is_mended_exactly", drifted_usage_is_mended_exactly);
    suite.add("many_mend_at_once_beside_writers", many_mend_at_once_beside_writers);
    suite.add("the_reconciler_scans_no_table", the_reconciler_scans_no_table);
}

/// Where `Write` puts its bytes.
fn s3_key(it: &Write) -> String {
    format!("hf/2026/11/24/{}", it.version)
}

async fn keys(
    client: &Client,
    function: &str,
    bucket: &str,
    keys: &[String],
) -> Result<Vec<String>> {
    let rest = if function == "condemn_blobs" { ", null" } else { "" };
    let sql = format!("select holdfast.{function}($1, $2{rest})");
    Ok(client.query(&sql, &[&bucket, &keys]).await?.iter().map(|row| row.get(0)).collect())
}

async fn a_blob_is_needed_until_its_version_ended(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let all = [
        "pending",
        "live",
        "superseded",
        "trashed",
        "quarantined",
        "aborting",
        "aborted",
        "purging",
        "purged",
    ];
    let mut writes = Vec::new();
    for state in all {
        let it = write(state);
        it.begin(&client).await?.ok();
        if !matches!(state, "pending" | "aborting" | "aborted") {
            it.commit(&client).await?.outcome.ok();
        }
        writes.push(it);
    }
    for (state, change) in [
        ("superseded", "replaced_at = clock_timestamp(), due_at = clock_timestamp()"),
        (
            "trashed",
            "replaced_at = clock_timestamp(), due_at = clock_timestamp(), deleted_by = 'x'",
        ),
        ("quarantined", "due_at = null"),
        ("aborting", "lease_until = null, due_at = clock_timestamp()"),
        ("aborted", "lease_until = null, ended_at = clock_timestamp()"),
    ] {
        let sql = format!(
            "update holdfast.version v set state = '{state}', {change} from holdfast.object o where o.id = v.object_id and o.key = '{state}'"
        );
        client.batch_execute(&sql).await?;
    }
    for state in ["superseded", "purging", "purged"] {
        let sql = format!(
            "update holdfast.version v set state = '{state}', replaced_at = clock_timestamp(), \
             due_at = case when '{state}' <> 'purged' then clock_timestamp() end, \
             ended_at = case when '{state}' = 'purged' then clock_timestamp() end \
             from holdfast.object o where o.id = v.object_id and o.key in ('purging', 'purged') \
             and ('{state}' = 'superseded' or o.key = '{state}' or ('{state}' = 'purging' and o.key = 'purged'))"
        );
        client.batch_execute(&sql).await?;
    }
    // What the functions would have done with it.
    let sql = "update holdfast.object set live = false where key not in ('live')";
    client.batch_execute(sql).await?;
    let mut asked: Vec<_> = writes.iter().map(s3_key).collect();
    asked.push("hf/2026/11/24/nobody".into());
    let found: BTreeSet<_> =
        keys(&client, "blobs_without_row", "documents", &asked).await?.into_iter().collect();
    let of = |name: &str| all.iter().position(|it| *it == name).map(|at| asked[at].clone());
    let expected = [of("aborted"), of("purged"), Some("hf/2026/11/24/nobody".into())];
    ensure!(found == expected.into_iter().flatten().collect(), "{found:?}");

    // The blob of the same name in another bucket is another one; a bucket that is not there has nothing to spare.
    ensure!(keys(&client, "blobs_without_row", "assets", &asked).await?.len() == asked.len());
    ensure!(keys(&client, "blobs_without_row", "nowhere", &asked).await?.is_empty());
    // The states were forced, so usage was not kept.
    mend(&client, "documents", 100).await?;
    Ok(())
}

async fn the_second_look_tells_the_audit(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = write("k");
    let asked = [s3_key(&it), "hf/2026/11/24/orphan".to_owned()];
    ensure!(keys(&client, "blobs_without_row", "documents", &asked).await?.len() == 2);
    // Its row comes after the first look.
    it.begin(&client).await?.ok();
    ensure!(keys(&client, "condemn_blobs", "documents", &asked).await? == asked[1..]);
    let told = "select count(*) from holdfast.audit where action = 'reconcile' and actor = 'worker' \
         and bucket = 'documents' and key = 'hf/2026/11/24/orphan' and outcome = 'blob-without-row'";
    ensure!(db.number(told).await? == 1);
    ensure!(
        db.number("select count(*) from holdfast.audit where action = 'reconcile'").await? == 1
    );
    Ok(())
}

async fn page(
    client: &Client,
    prefix: &str,
    after: Option<&(String, Uuid)>,
    limit: i32,
) -> Result<Vec<(String, Uuid)>> {
    let sql = "select s3_key, version from holdfast.rows_with_blob('documents', $1, $2, $3, $4)";
    let (key, version) = (after.map(|it| &it.0), after.map(|it| &it.1));
    let rows = client.query(sql, &[&prefix, &key, &version, &limit]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn pages_of_rows_are_whole_and_in_order(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let mut expected = BTreeSet::new();
    for number in 0..20 {
        let it = write(&format!("k{}", number % 15));
        it.store(&client).await?;
        expected.insert((s3_key(&it), it.version));
    }
    Delete::of("k14").run(&client).await?.outcome.ok();
    // Three versions of one blob, as copies are: a page may end between them.
    for key in ["a", "b", "c"] {
        let copy = write(key);
        let first = expected.first().map(|it| it.0.clone()).unwrap_or_default();
        let sql = "select outcome from holdfast.begin($1, 'documents', $2, $3, 'alice', null, null, 10, null, null, null, null, 60, null, null, null)";
        client.query_one(sql, &[&copy.version, &key, &first]).await?;
        copy.commit(&client).await?.outcome.ok();
        expected.insert((first, copy.version));
    }
    // Not of them: one without bytes yet, another bucket's, another day's.
    write("pending").begin(&client).await?.ok();
    let mut other = write("k");
    other.bucket = "assets".into();
    other.store(&client).await?;

    for limit in [1, 2, 7, 1_000] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let rows = page(&client, "hf/2026/11/24/", after.as_ref(), limit).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.clone());
            found.extend(rows);
        }
        ensure!(found == expected.iter().cloned().collect::<Vec<_>>(), "pages of {limit}");
    }
    for none in ["hf/2026/11/25/", "hf/2026/11/23/", "hf/2026/11/2/", "hf/2026/11/240/"] {
        ensure!(page(&client, none, None, 10).await?.is_empty(), "{none}");
    }
    Ok(())
}

async fn a_lost_row_is_reported_and_stays(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let (live, aborted) = (write("a"), write("b"));
    live.store(&client).await?;
    aborted.begin(&client).await?.ok();
    ensure!(aborted.abort(&client).await? == "ok");
    let report = async |write: bool| {
        let versions = vec![live.version, aborted.version];
        let rows =
            client.query("select holdfast.report_lost($1, $2, null)", &[&versions, &write]).await?;
        Ok::<Vec<Uuid>, anyhow::Error>(rows.iter().map(|row| row.get(0)).collect())
    };
    let told = "select count(*) from holdfast.audit where action = 'reconcile' and key = 'a' \
         and outcome = 'row-without-blob' and rule = 'severity.critical'";
    ensure!(report(false).await? == [live.version]);
    ensure!(db.number(told).await? == 0, "a look wrote something");
    ensure!(report(true).await? == [live.version]);
    ensure!(db.number(told).await? == 1);
    ensure!(live.state(&client).await? == "live");
    Ok(())
}

/// Owner (none: the bucket), live bytes that were kept, and those that were counted.
type Mended = (Option<String>, i64, i64);

async fn mend(client: &Client, bucket: &str, limit: i32) -> Result<Vec<Mended>> {
    let sql = "select owner, (kept ->> 0)::int8, (counted ->> 0)::int8 from holdfast.mend_usage($1, $2, null)";
    let rows = client.query(sql, &[&bucket, &limit]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

async fn drifts(db: &Db, bucket: &str) -> Result<i64> {
    db.number(&format!("select count(*) from holdfast.usage_drift('{bucket}')")).await
}

async fn drifted_usage_is_mended_exactly(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for sub in ["alice", "bob"] {
        let mut it = write(sub);
        it.sub = sub.into();
        it.store(&client).await?;
    }
    ensure!(mend(&client, "documents", 100).await?.is_empty(), "nothing was wrong");
    client.batch_execute("select holdfast.fold(100)").await?;
    client
        .batch_execute(
            // A delta too many, a total that is wrong alone, a row that is missing, and one of nobody.
            "insert into holdfast.usage_delta (bucket, owner, live_bytes) values ('documents', 'alice', 5);
             update holdfast.usage_total set live_bytes = live_bytes + 100 where bucket = 'documents' and owner = '';
             delete from holdfast.usage_total where bucket = 'documents' and owner = 'bob';
             insert into holdfast.usage_total (bucket, owner, live_bytes) values ('documents', 'zoe', 7), ('assets', '', 3)",
        )
        .await?;
    ensure!(drifts(&db, "documents").await? == 4 && drifts(&db, "assets").await? == 1);
    let alice = (Some("alice".to_owned()), 15, 10);
    let whole = |kept| (None, kept, 20);
    // One owner at a time: the bucket's own total has what theirs do not explain.
    ensure!(mend(&client, "documents", 1).await? == [whole(125), alice]);
    ensure!(mend(&client, "documents", 1).await?.contains(&(Some("bob".to_owned()), 0, 10)));
    ensure!(mend(&client, "documents", 1).await?.contains(&(Some("zoe".to_owned()), 7, 0)));
    ensure!(drifts(&db, "documents").await? == 0 && drifts(&db, "assets").await? == 1);
    ensure!(mend(&client, "documents", 1).await?.is_empty(), "mended twice");
    ensure!(mend(&client, "assets", 1).await? == [(None, 3, 0)]);
    ensure!(db.number("select live_bytes from holdfast.usage('documents', null)").await? == 20);
    ensure!(
        db.number("select count(*) from holdfast.audit where action = 'reconcile'").await? == 4
    );
    Ok(())
}

/// What is wrong is added once, however many find it, and whatever is written and folded meanwhile.
async fn many_mend_at_once_beside_writers(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    client
        .batch_execute(
            "insert into holdfast.usage_delta (bucket, owner, live_bytes, pending_objects) values ('documents', 'alice', 12345, -3);
             insert into holdfast.usage_total (bucket, owner, retained_bytes) values ('documents', '', 999)
             on conflict (bucket, owner) do update set retained_bytes = 999",
        )
        .await?;
    let writing = Arc::new(AtomicUsize::new(16));
    let mended = db
        .at_once(32, move |index, client| {
            let writing = Arc::clone(&writing);
            async move {
                let mut mended = 0;
                match index % 4 {
                    0 => {
                        while writing.load(SeqCst) > 0 {
                            mended += mend(&client, "documents", 10).await?.len();
                        }
                    }
                    1 => {
                        while writing.load(SeqCst) > 0 {
                            client.query("select holdfast.fold(20)", &[]).await?;
                        }
                    }
                    _ => {
                        let result = write_and_delete(&client, index).await;
                        writing.fetch_sub(1, SeqCst);
                        result?;
                    }
                }
                Ok(mended)
            }
        })
        .await?;
    ensure!(mended.iter().sum::<usize>() == 2, "alice and the bucket, once: {mended:?}");
    ensure!(drifts(&db, "documents").await? == 0);
    Ok(())
}

async fn write_and_delete(client: &Client, index: usize) -> Result<()> {
    for round in 0..20 {
        let key = format!("k{}", (index + round) % 7);
        write(&key).store(client).await?;
        if round % 3 == 0 {
            Delete::of(&key).run(client).await?;
        }
    }
    Ok(())
}

async fn the_reconciler_scans_no_table(db: Db) -> Result<()> {
    let mut client = db.connect().await?;
    client.batch_execute(
        "insert into holdfast.object (bucket, key, created_at)
         select 'documents', 'bulk' || n, clock_timestamp() from generate_series(1, 20000) n;
         insert into holdfast.version (id, object_id, s3_key, state, created_by, created_at, owner, charged_bytes, lease_until)
         select gen_random_uuid(), o.id, 'hf/2020/' || o.id, 'pending', 'x', clock_timestamp(), 'x', 0, clock_timestamp()
         from holdfast.object o where o.key like 'bulk%';
         analyze holdfast.version; analyze holdfast.object",
    ).await?;
    for sql in [
        "select holdfast.blobs_without_row('documents', array['hf/2020/1', 'hf/2020/2'])",
        "select * from holdfast.rows_with_blob('documents', 'hf/2026/11/24/', null, null, 500)",
        "select * from holdfast.rows_with_blob('documents', 'hf/2026/11/24/', 'hf/2026/11/24/x', gen_random_uuid(), 500)",
    ] {
        let transaction = client.transaction().await?;
        let before: i64 = transaction.query_one(SCANS, &[]).await?.get(0);
        transaction.query(sql, &[]).await?;
        let after: i64 = transaction.query_one(SCANS, &[]).await?.get(0);
        ensure!(after == before, "{} sequential scans: {sql}", after - before);
        transaction.rollback().await?;
    }
    client
        .batch_execute("delete from holdfast.version where s3_key like 'hf/2020/%'; delete from holdfast.object where key like 'bulk%'")
        .await?;
    Ok(())
}

const SCANS: &str = "
    select coalesce(sum(seq_scan), 0)::int8
    from pg_stat_xact_user_tables
    where schemaname = 'holdfast' and relname in ('object', 'version')";
