//! The lifecycle of what buckets hold. The clock is moved by `p_now`.

use crate::harness::{Db, Suite, write};
use anyhow::{Result, ensure};
use tokio_postgres::Client;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_rule_chooses_by_all_that_it_says", a_rule_chooses_by_all_that_it_says);
    suite.add("what_is_too_old_goes_to_the_trash", what_is_too_old_goes_to_the_trash);
    suite.add("batches_go_on_where_the_last_one_ended", batches_go_on_where_the_last_one_ended);
    suite.add("workers_at_once_expire_each_object_once", workers_at_once_expire_each_object_once);
    suite.add("uploads_in_parts_that_are_too_old_end", uploads_in_parts_that_are_too_old_end);
    suite.add("new_rules_are_looked_at_from_the_start", new_rules_are_looked_at_from_the_start);
}

async fn a_rule_chooses_by_all_that_it_says(db: Db) -> Result<()> {
    let client = db.connect().await?;
    // key, size and tags of an object of nine days.
    for (rule, key, size, tags, expires) in [
        (r#"{"expireAfterDays": 9}"#, "k", 5, "{}", true),
        (r#"{"expireAfterDays": 10}"#, "k", 5, "{}", false),
        (r#"{"expireAfterDays": 9, "enabled": false}"#, "k", 5, "{}", false),
        (r#"{"expireAfterDays": 9, "enabled": true}"#, "k", 5, "{}", true),
        (r#"{"abortIncompleteAfterDays": 1}"#, "k", 5, "{}", false),
        (r#"{"expireAfterDays": 9, "prefix": "a/"}"#, "a/k", 5, "{}", true),
        (r#"{"expireAfterDays": 9, "prefix": "a/"}"#, "a", 5, "{}", false),
        (r#"{"expireAfterDays": 9, "prefix": "a%"}"#, "ab", 5, "{}", false),
        (r#"{"expireAfterDays": 9, "minBytes": 5, "maxBytes": 5}"#, "k", 5, "{}", true),
        (r#"{"expireAfterDays": 9, "minBytes": 6}"#, "k", 5, "{}", false),
        (r#"{"expireAfterDays": 9, "maxBytes": 4}"#, "k", 5, "{}", false),
        (
            r#"{"expireAfterDays": 9, "tag": {"key": "t", "value": "v"}}"#,
            "k",
            5,
            r#"{"t": "v"}"#,
            true,
        ),
        (
            r#"{"expireAfterDays": 9, "tag": {"key": "t", "value": "v"}}"#,
            "k",
            5,
            r#"{"t": "w"}"#,
            false,
        ),
        (r#"{"expireAfterDays": 9, "tag": {"key": "t", "value": ""}}"#, "k", 5, "{}", false),
    ] {
        let sql = "select holdfast.lifecycle_rule(jsonb_build_array($1::text::jsonb || '{\"id\": \"it\"}'), $2, $3::text::jsonb, $4::int8, \
                   '2026-11-01', '2026-11-10')";
        let size = i64::from(size);
        let found: Option<String> =
            client.query_one(sql, &[&rule, &key, &tags, &size]).await?.get(0);
        ensure!(found.is_some() == expires, "{rule} {key} {tags}: {found:?}");
    }
    // The first of them is the reason.
    let sql = r#"select holdfast.lifecycle_rule('[{"id": "a", "expireAfterDays": 99}, {"id": "b", "expireAfterDays": 1},
                 {"id": "c", "expireAfterDays": 1}]', 'k', '{}', 1, '2026-11-01', '2026-11-10')"#;
    ensure!(client.query_one(sql, &[]).await?.get::<_, &str>(0) == "b");
    Ok(())
}

/// One batch, `days` from now: objects, uploads.
async fn expire(client: &Client, limit: i32, days: i32) -> Result<Option<(i64, i64)>> {
    let sql = "select bucket, expired, ended from holdfast.expire($1, clock_timestamp() + $2::int4 * interval '1 day')";
    let row = client.query_one(sql, &[&limit, &days]).await?;
    Ok(row.get::<_, Option<String>>(0).map(|_| (row.get(1), row.get(2))))
}

async fn store(client: &Client, bucket: &str, keys: &[&str]) -> Result<()> {
    for key in keys {
        let mut it = write(key);
        it.bucket = bucket.into();
        it.store(client).await?;
    }
    Ok(())
}

async fn what_is_too_old_goes_to_the_trash(db: Db) -> Result<()> {
    let client = db.connect().await?;
    ensure!(expire(&client, 10, 0).await?.is_none(), "no bucket has rules");
    let policy = r#"{"trashHours": 48, "lifecycle": [{"id": "tmp", "prefix": "tmp/", "expireAfterDays": 2},
                     {"id": "tagged", "tag": {"key": "t", "value": "v"}, "expireAfterDays": 3}]}"#;
    db.bucket("kelp", "system", policy).await?;
    store(&client, "kelp", &["tmp/a", "tmp/b", "kept", "tagged"]).await?;
    client
        .batch_execute("update holdfast.object set tags = '{\"t\": \"v\"}' where key = 'tagged'")
        .await?;
    ensure!(expire(&client, 10, 1).await? == Some((0, 0)));
    ensure!(expire(&client, 10, 1).await?.is_none(), "once an hour");
    ensure!(expire(&client, 10, 2).await? == Some((2, 0)));
    ensure!(expire(&client, 10, 4).await? == Some((1, 0)));
    ensure!(expire(&client, 10, 5).await? == Some((0, 0)), "once is enough");

    let told = "select count(*) from holdfast.audit where action = 'delete' and actor = 'system' and outcome = 'ok' and version is not null";
    ensure!(db.number(&format!("{told} and rule = 'tmp'")).await? == 2);
    ensure!(db.number(&format!("{told} and rule = 'tagged' and key = 'tagged'")).await? == 1);
    let events = "select count(*) from holdfast.outbox where kind = 'object.deleted' and sequence = 2 and actor = 'system' and data ? 'purgeAfter'";
    ensure!(db.number(events).await? == 3);
    let kept = "select count(*) from holdfast.version where state = 'trashed' and deleted_by = 'system' and due_at = replaced_at + interval '48 hours'";
    ensure!(db.number(kept).await? == 3);
    ensure!(db.number("select live_objects from holdfast.usage('kelp', 'alice')").await? == 1);
    ensure!(db.number("select retained_bytes from holdfast.usage('kelp', 'alice')").await? == 30);
    Ok(())
}

async fn batches_go_on_where_the_last_one_ended(db: Db) -> Result<()> {
    let client = db.connect().await?;
    db.bucket("kelp", "system", r#"{"lifecycle": [{"id": "all", "expireAfterDays": 1}]}"#).await?;
    db.bucket("other", "system", r#"{"lifecycle": [{"id": "all", "expireAfterDays": 1}]}"#).await?;
    store(&client, "kelp", &["a", "b", "c", "d", "e"]).await?;
    store(&client, "other", &["x"]).await?;
    let mut expired = Vec::new();
    while let Some((objects, _)) = expire(&client, 2, 2).await? {
        expired.push(objects);
    }
    expired.sort_unstable();
    ensure!(expired == [1, 1, 2, 2], "{expired:?}");
    Ok(())
}

async fn workers_at_once_expire_each_object_once(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for bucket in ["kelp-a", "kelp-b", "kelp-c"] {
        db.bucket(bucket, "system", r#"{"lifecycle": [{"id": "all", "expireAfterDays": 1}]}"#)
            .await?;
        for number in 0..40 {
            store(&client, bucket, &[&format!("k{number}")]).await?;
        }
    }
    // Beside people who delete and write anew.
    let answers = db
        .at_once(16, |index, client| async move {
            let mut expired = 0;
            for round in 0..20 {
                if index < 8 {
                    expired += expire(&client, 7, 2).await?.map_or(0, |it| it.0);
                } else {
                    let mut it = write(&format!("k{}", (round * 3 + index) % 40));
                    it.bucket = "kelp-a".into();
                    it.begin_and_commit(&client).await?.outcome.ok();
                }
            }
            Ok(expired)
        })
        .await?;
    let expired: i64 = answers.iter().sum();
    let trashed =
        db.number("select count(*) from holdfast.version where state = 'trashed'").await?;
    ensure!(expired == trashed && trashed >= 80, "{expired} {trashed}");
    Ok(())
}

async fn uploads_in_parts_that_are_too_old_end(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let policy = r#"{"lifecycle": [{"id": "parts", "prefix": "a/", "abortIncompleteAfterDays": 1},
                     {"id": "off", "abortIncompleteAfterDays": 1, "enabled": false}]}"#;
    db.bucket("kelp", "system", policy).await?;
    let session = "select outcome from holdfast.create_session(gen_random_uuid(), 'kelp', $1, 'hf/' || gen_random_uuid(), 'alice', '{}', null, null, \
                   null, '{}', null, null, 60, null, null, null, null, 8388608, 600000)";
    for key in ["a/1", "a/2", "a/3", "b/1"] {
        let outcome: String = client.query_one(session, &[&key]).await?.get(0);
        ensure!(outcome == "ok", "{outcome}");
    }
    client.batch_execute("update holdfast.version set lease_until = now() + interval '7 days';
        update holdfast.upload_session set completing_at = now(), due_at = now() where version = (select v.id from holdfast.version v join holdfast.object o on o.id = v.object_id where o.key = 'a/3')").await?;
    ensure!(expire(&client, 10, 0).await? == Some((0, 0)), "not a day old");
    // One whose completing has begun is let be; a batch that is full goes on.
    ensure!(expire(&client, 1, 2).await? == Some((0, 1)));
    ensure!(expire(&client, 10, 2).await? == Some((0, 1)));
    ensure!(
        db.number("select count(*) from holdfast.reap(10, clock_timestamp() + interval '2 days')")
            .await?
            == 2
    );
    let aborted = "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id where v.state = 'aborting' and o.key in ('a/1', 'a/2')";
    ensure!(db.number(aborted).await? == 2);
    ensure!(db.number("select count(*) from holdfast.audit where action = 'lifecycle.abort' and rule = 'parts'").await? == 2);
    Ok(())
}

async fn new_rules_are_looked_at_from_the_start(db: Db) -> Result<()> {
    let client = db.connect().await?;
    db.bucket("kelp", "system", r#"{"lifecycle": [{"id": "all", "expireAfterDays": 9}]}"#).await?;
    store(&client, "kelp", &["a", "b"]).await?;
    ensure!(expire(&client, 10, 2).await? == Some((0, 0)));
    let set = "update holdfast.bucket set policy = policy || $1::text::jsonb where name = 'kelp'";
    client.execute(set, &[&r#"{"maxBytes": 5}"#]).await?;
    ensure!(expire(&client, 10, 2).await?.is_none(), "its rules are the same");
    client.execute(set, &[&r#"{"lifecycle": [{"id": "all", "expireAfterDays": 1}]}"#]).await?;
    ensure!(expire(&client, 10, 2).await? == Some((2, 0)));
    client.execute(set, &[&r#"{"lifecycle": []}"#]).await?;
    ensure!(db.number("select count(*) from holdfast.lifecycle_sweep").await? == 0);
    ensure!(expire(&client, 10, 9).await?.is_none());
    Ok(())
}
