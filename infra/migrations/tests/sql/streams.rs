//! Uploads whose parts are cut as their bytes come: who may write down, and what the worker deletes.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::harness::{Db, Outcome, Suite, Write, write};

const MIB: i64 = 1_024 * 1_024;
const DAY: f64 = 86_400.0;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("the_last_to_open_a_stream_writes_it_down", the_last_writes);
    suite.add("a_stream_goes_on_only_at_its_end", only_at_its_end);
    suite.add("many_who_open_a_stream_at_once_leave_one_writer", one_writer);
    suite.add("a_tail_that_is_all_becomes_the_blob", adopted);
    suite.add("tails_are_no_orphans_until_their_stream_ends", tails_are_known);
    suite.add("a_stream_that_goes_on_lives_longer_up_to_a_week", extended);
    suite.add("an_expired_piece_goes_whatever_its_complete_did", pieces_expire);
    suite.add("an_upload_token_reaches_what_such_a_token_began", by_token);
    suite.add("a_write_that_becomes_one_in_parts_is_known_to_the_reaper", attached);
}

async fn create(
    client: &Client,
    it: &Write,
    concat: Option<&str>,
    grant: Option<Uuid>,
) -> Result<()> {
    let s3_key = format!("hf/2026/11/25/{}", it.version);
    let sql = "select outcome, rule from holdfast.create_session($1, $2, $3, $4, $5, $6, $7, $8, $9, '{}', null, null, 120, \
        '192.0.2.1', 'request', null, '{}', 33554432, 86400, null, null, $10, 'tus', $11)";
    let row = client
        .query_one(
            sql,
            &[
                &it.version,
                &it.bucket,
                &it.key,
                &s3_key,
                &it.sub,
                &it.roles,
                &it.scopes,
                &it.size,
                &it.content_type,
                &grant,
                &concat,
            ],
        )
        .await?;
    Outcome::of(&row).ok();
    Ok(())
}

async fn stream(client: &Client, size: Option<i64>) -> Result<Write> {
    let mut it = write(&Uuid::now_v7().to_string());
    it.size = size;
    create(client, &it, None, None).await?;
    Ok(it)
}

#[derive(Debug)]
struct Opened {
    outcome: Outcome,
    epoch: Option<i32>,
    parts: Option<i32>,
    part_bytes: Option<i64>,
    tail: Option<Value>,
}

async fn open(
    client: &Client,
    it: &Write,
    offset: Option<i64>,
    bytes: Option<i64>,
    size: Option<i64>,
) -> Result<Opened> {
    let sql = "select * from holdfast.open_stream($1, $2, null, null, null, $3, $4, $5, \
        clock_timestamp() + $6::float8 * interval '1 second')";
    let row =
        client.query_one(sql, &[&it.version, &it.sub, &offset, &bytes, &size, &it.after]).await?;
    Ok(Opened {
        outcome: Outcome::of(&row),
        epoch: row.get("epoch"),
        parts: row.get("parts"),
        part_bytes: row.get("part_bytes"),
        tail: row.get("tail"),
    })
}

async fn record(
    client: &Client,
    it: &Write,
    epoch: i32,
    rows: Value,
    adopt: bool,
) -> Result<Outcome> {
    let sql = "select outcome, rule from holdfast.record_part($1, $2, null, $3, $4, $5)";
    Ok(Outcome::of(&client.query_one(sql, &[&it.version, &it.sub, &epoch, &rows, &adopt]).await?))
}

async fn the_last_writes(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = stream(&client, Some(20 * MIB)).await?;
    let first = open(&client, &it, Some(0), None, None).await?;
    first.outcome.ok();
    let second = open(&client, &it, Some(0), None, None).await?;
    ensure!(second.epoch > first.epoch, "{first:?} {second:?}");
    let rows = json!([[1, 6 * MIB, "a"], [2, 1000, "b", "tail-1"]]);
    let epoch = first.epoch.unwrap_or_default();
    record(&client, &it, epoch, rows.clone(), false)
        .await?
        .expect("UploadTakenOver", Some("session.epoch"));
    let epoch = second.epoch.unwrap_or_default();
    record(&client, &it, epoch, rows.clone(), false).await?.ok();
    // An answer that was lost is asked for again.
    record(&client, &it, epoch, rows, false).await?.ok();

    let third = open(&client, &it, Some(6 * MIB + 1000), None, None).await?;
    third.outcome.ok();
    ensure!(third.parts == Some(1) && third.part_bytes == Some(6 * MIB), "{third:?}");
    ensure!(third.tail == Some(json!([2, 1000, "b", "tail-1"])), "{third:?}");
    // The tail goes into the part of its number.
    let epoch = third.epoch.unwrap_or_default();
    record(&client, &it, epoch, json!([[2, 14 * MIB, "c"]]), false).await?.ok();
    let last = open(&client, &it, Some(20 * MIB), Some(0), None).await?;
    ensure!(last.tail.is_none() && last.parts == Some(2), "{last:?}");
    Ok(())
}

async fn only_at_its_end(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = stream(&client, None).await?;
    let opened = open(&client, &it, Some(0), None, None).await?;
    let epoch = opened.epoch.unwrap_or_default();
    record(&client, &it, epoch, json!([[1, 100, "a", "tail"]]), false).await?.ok();
    for offset in [0, 99, 101] {
        let refused = open(&client, &it, Some(offset), None, None).await?;
        refused.outcome.expect("OffsetMismatch", Some("session.offset"));
    }
    let told = |size| open(&client, &it, Some(100), None, Some(size));
    told(99).await?.outcome.expect("EntityTooLarge", Some("session.size"));
    told(120).await?.outcome.ok();
    told(121).await?.outcome.expect("InvalidArgument", Some("session.size"));
    let much = open(&client, &it, Some(100), Some(21), None).await?;
    much.outcome.expect("EntityTooLarge", Some("session.size"));
    // Who is refused takes nothing over.
    let now = open(&client, &it, Some(100), Some(20), None).await?;
    ensure!(now.epoch == Some(epoch + 2), "{now:?} after {epoch}");

    let mut late = it.clone();
    late.after = DAY * 8.0;
    open(&client, &late, Some(100), None, None)
        .await?
        .outcome
        .expect("UploadGone", Some("session.state"));
    ensure!(it.abort(&client).await? == "ok");
    open(&client, &it, Some(100), None, None)
        .await?
        .outcome
        .expect("UploadGone", Some("session.state"));
    let mut bob = it.clone();
    bob.sub = "bob".to_owned();
    open(&client, &bob, Some(100), None, None)
        .await?
        .outcome
        .expect("NoSuchUpload", Some("session"));
    Ok(())
}

async fn one_writer(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = stream(&client, Some(640)).await?;
    let all = db
        .at_once(64, {
            let it = it.clone();
            move |number, client| {
                let it = it.clone();
                async move {
                    let opened = open(&client, &it, Some(0), None, None).await?;
                    if opened.outcome.outcome != "ok" {
                        return Ok((None, false));
                    }
                    let epoch = opened.epoch.unwrap_or_default();
                    let rows = json!([[1, 10, "a", format!("tail-{number}")]]);
                    let wrote = record(&client, &it, epoch, rows, false).await?;
                    Ok((Some(epoch), wrote.outcome == "ok"))
                }
            }
        })
        .await?;
    let mut epochs: Vec<_> = all.iter().filter_map(|(epoch, _)| *epoch).collect();
    epochs.sort_unstable();
    let count = epochs.len();
    epochs.dedup();
    ensure!(epochs.len() == count, "two had one epoch");
    // One wrote; who came behind it found another offset, and who was before it wrote nothing.
    ensure!(all.iter().filter(|(_, wrote)| *wrote).count() == 1, "{all:?}");
    Ok(())
}

async fn adopted(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = stream(&client, Some(100)).await?;
    let epoch = open(&client, &it, Some(0), None, None).await?.epoch.unwrap_or_default();
    // Not all of it.
    record(&client, &it, epoch, json!([[1, 99, "a", "part-of-it"]]), true)
        .await?
        .expect("UploadTakenOver", Some("session.tail"));
    record(&client, &it, epoch, json!([[1, 100, "a", "all-of-it"]]), true).await?.ok();
    record(&client, &it, epoch, json!([[1, 100, "a", "all-of-it"]]), true).await?.ok();
    let sql = "select s3_key from holdfast.version where id = $1";
    let s3_key: String = client.query_one(sql, &[&it.version]).await?.get(0);
    ensure!(s3_key == "all-of-it", "{s3_key}");
    it.commit_as(&client, 100, "text/plain").await?.outcome.ok();
    let sql = "update holdfast.version set s3_key = 'all-of-it-moved' where id = $1";
    ensure!(client.execute(sql, &[&it.version]).await.is_err(), "a committed blob moves");
    Ok(())
}

async fn orphans(client: &Client, s3_key: &str) -> Result<bool> {
    let sql = "select exists (select holdfast.blobs_without_row('documents', array[$1]))";
    Ok(client.query_one(sql, &[&s3_key]).await?.get(0))
}

async fn tails_are_known(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = stream(&client, Some(100)).await?;
    let epoch = open(&client, &it, Some(0), None, None).await?.epoch.unwrap_or_default();
    ensure!(orphans(&client, "a-tail").await?, "nobody has it yet");
    record(&client, &it, epoch, json!([[1, 10, "a", "a-tail"]]), false).await?.ok();
    ensure!(!orphans(&client, "a-tail").await?, "it is the stream's");
    ensure!(it.abort(&client).await? == "ok");
    ensure!(!orphans(&client, "a-tail").await?, "the worker deletes it");
    let sql = "select tails from holdfast.reap(10, clock_timestamp() + interval '2 minutes')";
    let tails: Vec<String> = client.query_one(sql, &[]).await?.get(0);
    ensure!(tails == ["a-tail"], "{tails:?}");
    Ok(())
}

async fn extended(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let mut it = stream(&client, Some(100)).await?;
    for (after, days) in [
        (0.0, 1.0),
        (0.9, 1.9),
        (1.8, 2.8),
        (2.7, 3.7),
        (3.6, 4.6),
        (4.5, 5.5),
        (5.4, 6.4),
        (6.3, 7.0),
    ] {
        it.after = after * DAY;
        open(&client, &it, Some(0), None, None).await?.outcome.ok();
        let sql = format!(
            "select (extract(epoch from s.expires_at - s.created_at - interval '1 day' * {days}::float8))::int8 \
             from holdfast.upload_session s"
        );
        let off = db.number(&sql).await?;
        ensure!(off.abs() < 60, "{off} s off after {after} days");
        let lease = "select count(*) from holdfast.upload_session s join holdfast.version v on v.id = s.version \
            where v.lease_until < s.expires_at";
        ensure!(db.number(lease).await? == 0, "the lease ends before the session");
    }
    it.after = 7.1 * DAY;
    open(&client, &it, Some(0), None, None)
        .await?
        .outcome
        .expect("UploadGone", Some("session.state"));
    Ok(())
}

async fn pieces_expire(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for (concat, goes) in [(Some("partial"), true), (None, false)] {
        let mut it = write(&Uuid::now_v7().to_string());
        it.size = Some(6 * MIB);
        create(&client, &it, concat, None).await?;
        let epoch = open(&client, &it, Some(0), None, None).await?.epoch.unwrap_or_default();
        record(&client, &it, epoch, json!([[1, 6 * MIB, "a"]]), false).await?.ok();
        let sql = "select outcome, rule from holdfast.open_session($1, 'alice', 'upload', null)";
        Outcome::of(&client.query_one(sql, &[&it.version]).await?).ok();
        let sql = "select outcome, rule from holdfast.start_complete($1, 'alice', null, null, null, null)";
        Outcome::of(&client.query_one(sql, &[&it.version]).await?).ok();
        // Neither is for the worker to commit; and only the piece may go.
        let due = "select count(*) from holdfast.due_sessions(10, now() + interval '9 days') d where d.version = $1";
        let due: i64 = client.query_one(due, &[&it.version]).await?.get(0);
        ensure!(due == i64::from(!goes), "{concat:?}: {due} due");
        let sql = "select count(*) from holdfast.reap(10, now() + interval '9 days') r where r.version = $1";
        let reaped: i64 = client.query_one(sql, &[&it.version]).await?.get(0);
        ensure!(reaped == i64::from(goes), "{concat:?}: {reaped} reaped");
    }
    Ok(())
}

async fn by_token(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let token = async |prefix: &str| {
        let id = Uuid::now_v7();
        let sql = "insert into holdfast.\"grant\" (id, kind, created_by, roles, scopes, bucket, key, hash, created_at, expires_at) \
            values ($1, 'token', 'alice', '{}', '{upload}', 'documents', $2, sha256($3), now(), now() + interval '1 hour')";
        client.execute(sql, &[&id, &prefix, &id.as_bytes().to_vec()]).await?;
        Ok::<_, anyhow::Error>(id)
    };
    let (inbox, same, other) = (token("in/").await?, token("in/").await?, token("out/").await?);
    let known = async |it: &Write, grant: Option<Uuid>| {
        let sql = "select outcome from holdfast.session($1, 'alice', null, null, false, $2)";
        let outcome: String = client.query_one(sql, &[&it.version, &grant]).await?.get(0);
        Ok::<_, anyhow::Error>(outcome == "ok")
    };
    let mut begun = write("in/a");
    begun.size = Some(5);
    create(&client, &begun, None, Some(inbox)).await?;
    let mut bearers = write("in/b");
    bearers.size = Some(5);
    create(&client, &bearers, None, None).await?;
    for (grant, begun_is_known, bearers_is_known) in [
        (None, true, true),
        (Some(inbox), true, false),
        (Some(same), true, false),
        (Some(other), false, false),
    ] {
        ensure!(known(&begun, grant).await? == begun_is_known, "{grant:?}");
        ensure!(known(&bearers, grant).await? == bearers_is_known, "{grant:?}");
    }
    Ok(())
}

async fn attached(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = write("form");
    it.begin(&client).await?.ok();
    let attach = async |upload_id: Option<&str>, sub: &str| {
        let sql = "select outcome, rule from holdfast.attach_session($1, $2, null, null, 33554432, $3, null)";
        Ok::<_, anyhow::Error>(Outcome::of(
            &client.query_one(sql, &[&it.version, &sub, &upload_id]).await?,
        ))
    };
    attach(None, "bob").await?.expect("NoSuchUpload", Some("version.state"));
    attach(None, "alice").await?.ok();
    attach(Some("upload"), "alice").await?.ok();
    attach(None, "alice").await?.ok();
    let sql =
        "select upload_id from holdfast.upload_session where version = $1 and protocol = 'form'";
    ensure!(client.query_one(sql, &[&it.version]).await?.get::<_, &str>(0) == "upload");
    // It is nobody's to go on with, and none of those that are listed.
    let listed =
        db.number("select count(*) from holdfast.list_sessions('alice', null, null, 10)").await?;
    ensure!(listed == 0);
    let sql = "select multipart from holdfast.reap(10, clock_timestamp() + interval '1 hour')";
    ensure!(client.query_one(sql, &[]).await?.get::<_, bool>(0), "S3 is not asked for its parts");
    attach(None, "alice").await?.expect("NoSuchUpload", Some("version.state"));
    Ok(())
}
