//! `resolve`: who sees which version, and what it costs.

use crate::harness::{Db, Suite, Write, write};
use anyhow::{Result, ensure};
use tokio_postgres::Client;
use uuid::Uuid;

pub(crate) fn register(suite: &mut Suite) {
    suite.add(
        "a_stranger_cannot_tell_hidden_from_missing",
        a_stranger_cannot_tell_hidden_from_missing,
    );
    suite.add("only_its_owner_names_a_version", only_its_owner_names_a_version);
    suite.add("readers_see_no_half_written_version", readers_see_no_half_written_version);
    suite.add("resolve_answers_with_what_was_committed", resolve_answers_with_what_was_committed);
    suite.add("resolve_scans_no_table", resolve_scans_no_table);
}

async fn resolve(
    client: &Client,
    bucket: &str,
    key: &str,
    version: Option<Uuid>,
    sub: &str,
) -> Result<(String, Option<Uuid>)> {
    let roles: &[&str] = if sub == "root" { &["admin"] } else { &[] };
    let sql = "select outcome, version from holdfast.resolve($1, $2, $3, $4, $5, null, null)";
    let row = client.query_one(sql, &[&bucket, &key, &version, &sub, &roles]).await?;
    Ok((row.get(0), row.get(1)))
}

#[track_caller]
fn no(outcome: &str) -> (String, Option<Uuid>) {
    (outcome.to_owned(), None)
}

fn yes(it: &Write) -> (String, Option<Uuid>) {
    ("ok".to_owned(), Some(it.version))
}

async fn a_stranger_cannot_tell_hidden_from_missing(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = write("k");
    it.store(&client).await?;
    for sub in ["", "bob"] {
        ensure!(resolve(&client, "documents", "k", None, sub).await? == no("NoSuchKey"));
        ensure!(resolve(&client, "documents", "missing", None, sub).await? == no("NoSuchKey"));
        ensure!(
            resolve(&client, "documents", "k", Some(it.version), sub).await? == no("NoSuchKey")
        );
    }
    ensure!(resolve(&client, "nowhere", "k", None, "").await? == no("NoSuchKey"));
    ensure!(resolve(&client, "nowhere", "k", None, "bob").await? == no("NoSuchBucket"));
    ensure!(resolve(&client, "documents", "k", None, "alice").await? == yes(&it));
    ensure!(resolve(&client, "documents", "k", None, "root").await? == yes(&it));

    let mut public = write("k");
    public.bucket = "assets".into();
    public.store(&client).await?;
    ensure!(resolve(&client, "assets", "k", None, "").await? == yes(&public));
    ensure!(resolve(&client, "assets", "k", None, "bob").await? == yes(&public));
    Ok(())
}

async fn only_its_owner_names_a_version(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let next = |key: &str| {
        let mut it = write(key);
        it.bucket = "assets".into();
        it
    };
    let (old, live, pending, elsewhere) = (next("k"), next("k"), next("k"), next("other"));
    old.store(&client).await?;
    live.store(&client).await?;
    pending.begin(&client).await?.ok();
    elsewhere.store(&client).await?;
    for sub in ["alice", "root"] {
        ensure!(resolve(&client, "assets", "k", Some(old.version), sub).await? == yes(&old));
        ensure!(resolve(&client, "assets", "k", Some(live.version), sub).await? == yes(&live));
        for hidden in [pending.version, elsewhere.version, Uuid::now_v7()] {
            ensure!(
                resolve(&client, "assets", "k", Some(hidden), sub).await? == no("NoSuchVersion")
            );
        }
    }
    // The file is public, its history is not.
    for sub in ["", "bob"] {
        ensure!(
            resolve(&client, "assets", "k", Some(old.version), sub).await? == no("NoSuchVersion")
        );
        ensure!(
            resolve(&client, "assets", "k", Some(live.version), sub).await? == no("NoSuchVersion")
        );
        ensure!(resolve(&client, "assets", "k", None, sub).await? == yes(&live));
    }
    Ok(())
}

async fn readers_see_no_half_written_version(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let mut it = write("k");
    it.begin(&client).await?.ok();
    ensure!(resolve(&client, "documents", "k", None, "alice").await? == no("NoSuchKey"));
    it.commit(&client).await?.outcome.ok();
    it = write("k");
    it.store(&client).await?;
    let next = write("k");
    next.begin(&client).await?.ok();
    ensure!(resolve(&client, "documents", "k", None, "alice").await? == yes(&it));
    next.abort(&client).await?;
    ensure!(resolve(&client, "documents", "k", None, "alice").await? == yes(&it));
    Ok(())
}

async fn resolve_answers_with_what_was_committed(db: Db) -> Result<()> {
    db.bucket(
        "pages",
        "system",
        r#"{"visibility": "public-read", "cacheControl": "public, max-age=60"}"#,
    )
    .await?;
    let client = db.connect().await?;
    let mut it = write("k");
    it.bucket = "pages".into();
    it.begin(&client).await?.ok();
    let committed = it.commit_as(&client, 7, "text/html").await?;
    let sql = "select s3_key, size_bytes, etag, content_type, crc64nvme, committed_at_us, user_metadata::text, visibility, \
               cache_control, owner from holdfast.resolve('pages', 'k', null, '', null, null, null)";
    let row = client.query_one(sql, &[]).await?;
    ensure!(row.get::<_, &str>(0) == format!("hf/2026/11/24/{}", it.version));
    ensure!(row.get::<_, i64>(1) == 7);
    ensure!(row.get::<_, &str>(2) == it.etag);
    ensure!(row.get::<_, &str>(3) == "text/html");
    ensure!(row.get::<_, &str>(4) == "AAAAAAAAAAA=");
    ensure!(row.get::<_, Option<i64>>(5) == committed.committed_at_us);
    ensure!(row.get::<_, &str>(6) == r#"{"a": "b"}"#);
    ensure!(row.get::<_, &str>(7) == "public-read");
    ensure!(row.get::<_, &str>(8) == "public, max-age=60");
    ensure!(row.get::<_, &str>(9) == "alice");
    Ok(())
}

/// Fills the tables, so that a scan would show, and counts what one call reads.
const FILL: &str = "
    with objects as (
        insert into holdfast.object (bucket, key, owner, sequence, live, created_at)
        select 'documents', 'fill/' || n, 'alice', 2, true, now()
        from generate_series(1, 20000) n
        returning id
    ), versions as (
        insert into holdfast.version
            (id, object_id, s3_key, state, created_by, created_at, owner, charged_bytes, size_bytes, content_type, etag,
             committed_at, created, replaced_at, due_at)
        select gen_random_uuid(), o.id, 'hf/' || o.id || s.state, s.state, 'alice', now(), 'alice', 10, 10, 'a/b', 'e',
               now(), true, case when s.state <> 'live' then now() end, case when s.state <> 'live' then now() end
        from objects o, (values ('live'), ('superseded')) s (state)
        returning id, object_id, state
    ), deltas as (
        insert into holdfast.usage_delta (bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects)
        values ('documents', 'alice', 200000, 20000, 200000, 20000)
    )
    insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, version, actor, data)
    select 'object.created', now(), 'documents', 'fill', v.object_id, case when v.state = 'live' then 2 else 1 end, v.id,
           'alice', '{}'
    from versions v";

const READ_SO_FAR: &str = "
    select coalesce(sum(seq_scan), 0)::int8, coalesce(sum(idx_tup_fetch), 0)::int8
    from pg_stat_xact_user_tables
    where schemaname = 'holdfast' and relname in ('object', 'version')";

async fn resolve_scans_no_table(db: Db) -> Result<()> {
    let mut client = db.connect().await?;
    client.batch_execute(FILL).await?;
    client.batch_execute("analyze holdfast.object; analyze holdfast.version").await?;
    let old: Uuid = client
        .query_one("select id from holdfast.version where state = 'superseded' limit 1", &[])
        .await?
        .get(0);
    // More than five times, so that the generic plan is seen too.
    for version in [None, Some(old)] {
        for round in 0..8 {
            let transaction = client.transaction().await?;
            let key = if let Some(old) = version {
                let sql = "select o.key from holdfast.object o join holdfast.version v on v.object_id = o.id where v.id = $1";
                db.connect().await?.query_one(sql, &[&old]).await?.get(0)
            } else {
                format!("fill/{}", 100 + round)
            };
            let before = transaction.query_one(READ_SO_FAR, &[]).await?;
            let sql = "select outcome from holdfast.resolve('documents', $1, $2, 'alice', null, null, null)";
            let outcome: String = transaction.query_one(sql, &[&key, &version]).await?.get(0);
            ensure!(outcome == "ok", "{outcome}");
            let after = transaction.query_one(READ_SO_FAR, &[]).await?;
            let read = |column: usize| after.get::<_, i64>(column) - before.get::<_, i64>(column);
            ensure!(read(0) == 0, "{} sequential scans", read(0));
            // Three, and a few that the planner looks at.
            ensure!((1..=16).contains(&read(1)), "{} rows were read for one", read(1));
            transaction.rollback().await?;
        }
    }
    Ok(())
}
