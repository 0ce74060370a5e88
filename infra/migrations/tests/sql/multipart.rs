//! Uploads in parts: what each step refuses, and who wins of two at once.

use crate::harness::{Db, Outcome, Suite, Write, count, write};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

const MIB: i64 = 1_024 * 1_024;
const PART: i64 = 5 * MIB;
const HOUR: f64 = 3600.0;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("parts_are_recorded_and_completed", parts_are_recorded_and_completed);
    suite.add("what_is_wrong_with_the_parts_is_named", what_is_wrong_with_the_parts_is_named);
    suite.add("a_stale_epoch_records_nothing", a_stale_epoch_records_nothing);
    suite.add("a_session_is_its_creators_alone", a_session_is_its_creators_alone);
    suite.add("complete_or_abort_wins_never_both", complete_or_abort_wins_never_both);
    suite.add("two_completes_are_one", two_completes_are_one);
    suite.add("the_reaper_takes_no_session_that_is_completing", reaper_and_completing);
    suite.add("complete_or_reaper_wins_never_both", complete_or_reaper_wins_never_both);
    suite.add("only_the_first_and_only_complete_is_taken_back", taken_back);
    suite.add("an_admin_gives_up_anybodys_upload", given_up_by_an_admin);
    suite.add("parts_of_unknown_length_are_charged_as_they_come", charged_as_they_come);
    suite.add("the_worker_gets_what_nobody_completes", the_worker_gets_what_nobody_completes);
    suite.add("parts_at_once_are_all_recorded", parts_at_once_are_all_recorded);
    suite.add("sessions_are_listed_by_their_creator", sessions_are_listed);
}

/// A session over `it`, open for parts of 5 MiB.
async fn create(client: &Client, it: &Write) -> Result<Outcome> {
    let s3_key = format!("hf/2026/11/24/{}", it.version);
    let sql = "select outcome, rule from holdfast.create_session($1, $2, $3, $4, $5, $6, $7, $8, $9, '{}', null, null, 120, \
        '192.0.2.1', 'request', clock_timestamp() + $10::float8 * interval '1 second', '{}', $11, 86400)";
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
                &it.after,
                &PART,
            ],
        )
        .await?;
    let created = Outcome::of(&row);
    if created.outcome == "ok" {
        let sql = "select outcome, rule from holdfast.open_session($1, $2, 'upload', null)";
        Outcome::of(&client.query_one(sql, &[&it.version, &it.sub]).await?).ok();
    }
    Ok(created)
}

async fn session(client: &Client, size: Option<i64>) -> Result<Write> {
    let mut it = write(&Uuid::now_v7().to_string());
    it.size = size;
    create(client, &it).await?.ok();
    Ok(it)
}

async fn record(
    client: &Client,
    it: &Write,
    epoch: Option<i32>,
    number: i32,
    size: i64,
) -> Result<Outcome> {
    let sql = "select outcome, rule from holdfast.record_part($1, $2, null, $3, $4)";
    let parts = json!([[number, size, format!("etag{number}")]]);
    Ok(Outcome::of(&client.query_one(sql, &[&it.version, &it.sub, &epoch, &parts]).await?))
}

async fn open_part(client: &Client, it: &Write, number: i32, size: i64) -> Result<Outcome> {
    let sql =
        "select outcome, rule from holdfast.open_part($1, $2, null, null, null, $3, $4, null)";
    Ok(Outcome::of(&client.query_one(sql, &[&it.version, &it.sub, &number, &size]).await?))
}

#[derive(Debug)]
struct Completing {
    outcome: Outcome,
    detail: Option<String>,
    attempt: Option<i32>,
    parts: Option<Value>,
}

async fn complete(client: &Client, it: &Write, parts: Option<Value>) -> Result<Completing> {
    let sql = "select * from holdfast.start_complete($1, $2, null, null, $3, \
        clock_timestamp() + $4::float8 * interval '1 second')";
    let row = client.query_one(sql, &[&it.version, &it.sub, &parts, &it.after]).await?;
    Ok(Completing {
        outcome: Outcome::of(&row),
        detail: row.get("detail"),
        attempt: row.get("attempt"),
        parts: row.get("parts"),
    })
}

async fn state(client: &Client, it: &Write) -> Result<String> {
    let sql = "select state from holdfast.session($1, $2, null, null, false)";
    Ok(client.query_one(sql, &[&it.version, &it.sub]).await?.get(0))
}

async fn reap(client: &Client, after: f64) -> Result<Vec<(Uuid, bool)>> {
    let sql = "select version, multipart from holdfast.reap(100, clock_timestamp() + $1::float8 * interval '1 second')";
    Ok(client.query(sql, &[&after]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn parts_are_recorded_and_completed(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = session(&client, Some(PART + 3)).await?;
    ensure!(state(&client, &it).await? == "open");
    record(&client, &it, Some(1), 2, 4).await?.ok();
    record(&client, &it, Some(1), 1, PART).await?.ok();
    // Sent again: the new one counts.
    record(&client, &it, None, 2, 3).await?.ok();
    let started = complete(&client, &it, None).await?;
    started.outcome.ok();
    ensure!(started.attempt == Some(1));
    ensure!(started.parts == Some(json!([[1, PART, "etag1"], [2, 3, "etag2"]])), "{started:?}");
    ensure!(state(&client, &it).await? == "completing");
    record(&client, &it, None, 2, 3).await?.expect("UploadCompleting", Some("session.state"));
    open_part(&client, &it, 2, 3).await?.expect("UploadCompleting", Some("session.state"));

    it.commit_as(&client, PART + 3, "text/plain").await?.outcome.ok();
    let again = complete(&client, &it, None).await?;
    again.outcome.ok();
    ensure!(again.attempt.is_none());
    let sql = "select state, committed, parts from holdfast.session($1, 'alice', null, null, true)";
    let row = client.query_one(sql, &[&it.version]).await?;
    ensure!(row.get::<_, &str>(0) == "done");
    ensure!(row.get::<_, Value>(1)["size"] == PART + 3);
    ensure!(row.get::<_, Value>(2)[1] == json!([2, 3, "etag2"]));
    ensure!(it.abort(&client).await? == "live");
    open_part(&client, &it, 2, 3).await?.expect("NoSuchUpload", Some("session.state"));
    // The status keeps its parts for a day, and what it came to for ever.
    for (hours, left) in [(25, 2), (49, 0)] {
        let sql = format!("holdfast.retire(100, now() + {hours} * interval '1 hour')");
        db.number(&sql).await?;
        ensure!(db.number("select count(*) from holdfast.upload_part").await? == left);
    }
    ensure!(state(&client, &it).await? == "done");
    Ok(())
}

async fn what_is_wrong_with_the_parts_is_named(db: Db) -> Result<()> {
    db.bucket("small", "system", r#"{"maxBytes": 6000000}"#).await?;
    let client = db.connect().await?;
    let refused =
        async |it: &Write, parts: Option<Value>, outcome: &str, rule: &str, detail: &str| {
            let refused = complete(&client, it, parts).await?;
            refused.outcome.expect(outcome, Some(rule));
            assert_eq!(refused.detail.as_deref().unwrap_or_default(), detail);
            assert_eq!(state(&client, it).await?, "open");
            Ok::<_, anyhow::Error>(())
        };
    let it = session(&client, Some(3 * PART)).await?;
    refused(&it, None, "InvalidPart", "parts.missing", "1, 2, 3").await?;
    record(&client, &it, None, 1, PART).await?.ok();
    record(&client, &it, None, 3, PART).await?.ok();
    refused(&it, None, "InvalidPart", "parts.missing", "2").await?;
    record(&client, &it, None, 2, 3).await?.ok();
    refused(&it, None, "EntityTooSmall", "limits.minPartBytes", "2").await?;
    record(&client, &it, None, 2, PART + 1).await?.ok();
    refused(&it, None, "InvalidPart", "parts.size", "2").await?;
    record(&client, &it, None, 2, PART).await?.ok();
    let named = json!([[1, "etag1"], [3, "etag3"], [2, "etag2"]]);
    refused(&it, Some(named), "InvalidPartOrder", "parts", "2").await?;
    let named = json!([[1, "etag1"], [1, "etag1"], [2, "etag2"]]);
    refused(&it, Some(named), "InvalidPartOrder", "parts", "1").await?;
    let named = json!([[1, "etag1"], [2, "other"], [3, "etag3"], [4, "etag4"]]);
    refused(&it, Some(named), "InvalidPart", "parts.etag", "2, 4").await?;
    let named = json!([[1, "etag1"], [3, "etag3"]]);
    refused(&it, Some(named), "InvalidPart", "parts.missing", "2").await?;
    let named = json!([[1, "etag1"], [2, "etag2"], [3, "etag3"]]);
    complete(&client, &it, Some(named)).await?.outcome.ok();

    let it = session(&client, None).await?;
    refused(&it, None, "InvalidPart", "parts.missing", "1").await?;
    for number in 1..=3 {
        record(&client, &it, None, number, PART).await?.ok();
    }
    // Of an unknown length the client may leave out the end.
    let started = complete(&client, &it, Some(json!([[1, "etag1"], [2, "etag2"]]))).await?;
    ensure!(started.parts == Some(json!([[1, PART, "etag1"], [2, PART, "etag2"]])), "{started:?}");

    let mut it = write("k");
    (it.bucket, it.size) = ("small".into(), None);
    create(&client, &it).await?.ok();
    record(&client, &it, None, 1, PART).await?.ok();
    record(&client, &it, None, 2, PART).await?.ok();
    refused(&it, None, "EntityTooLarge", "policy.maxBytes", "").await?;
    Ok(())
}

async fn a_stale_epoch_records_nothing(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = session(&client, None).await?;
    record(&client, &it, Some(1), 1, PART).await?.ok();
    let resume =
        "select outcome, rule, epoch from holdfast.resume_session($1, $2, null, null, null, null)";
    let row = client.query_one(resume, &[&it.version, &it.sub]).await?;
    Outcome::of(&row).ok();
    ensure!(row.get::<_, i32>("epoch") == 2);
    let stale = |it: Outcome| it.expect("UploadTakenOver", Some("session.epoch"));
    stale(record(&client, &it, Some(1), 1, 7).await?);
    record(&client, &it, Some(2), 2, PART).await?.ok();
    let sql = "select outcome, rule from holdfast.start_complete($1, $2, null, 1, null, null)";
    stale(Outcome::of(&client.query_one(sql, &[&it.version, &it.sub]).await?));
    let sql =
        "select outcome, rule from holdfast.sign_parts($1, $2, null, 1, 1, 60, null, null, null)";
    stale(Outcome::of(&client.query_one(sql, &[&it.version, &it.sub]).await?));
    ensure!(db.number("select sum(size) from holdfast.upload_part").await? == 2 * PART);
    // Taken over by many at once: each has an epoch of its own.
    let same = it.clone();
    let epochs = db
        .at_once(16, move |_, client| {
            let it = same.clone();
            async move {
                let row = client.query_one(resume, &[&it.version, &it.sub]).await?;
                Ok(row.get::<_, i32>("epoch"))
            }
        })
        .await?;
    ensure!(epochs.iter().collect::<std::collections::BTreeSet<_>>().len() == 16, "{epochs:?}");
    Ok(())
}

async fn a_session_is_its_creators_alone(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = session(&client, None).await?;
    let mut mallory = it.clone();
    mallory.sub = "mallory".into();
    record(&client, &mallory, None, 1, 1).await?.expect("NoSuchUpload", Some("session.state"));
    open_part(&client, &mallory, 1, 1).await?.expect("NoSuchUpload", Some("session"));
    ensure!(complete(&client, &mallory, None).await?.outcome.outcome == "NoSuchUpload");
    ensure!(mallory.abort(&client).await? == "NoSuchUpload");
    let sql = "select outcome from holdfast.session($1, 'alice', null, '{download}', false)";
    ensure!(client.query_one(sql, &[&it.version]).await?.get::<_, &str>(0) == "AccessDenied");
    let nobody = "select outcome from holdfast.session($1, '', null, null, false)";
    ensure!(client.query_one(nobody, &[&it.version]).await?.get::<_, &str>(0) == "NoSuchUpload");
    ensure!(it.abort(&client).await? == "ok");
    ensure!(state(&client, &it).await? == "aborted");
    record(&client, &it, None, 1, 1).await?.expect("NoSuchUpload", Some("session.state"));
    Ok(())
}

async fn whole(client: &Client, count: usize) -> Result<Vec<Write>> {
    let mut all = Vec::new();
    for _ in 0..count {
        let it = session(client, Some(3)).await?;
        record(client, &it, None, 1, 3).await?.ok();
        all.push(it);
    }
    Ok(all)
}

async fn complete_or_abort_wins_never_both(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let sessions = whole(&client, 32).await?;
    let racing = sessions.clone();
    let answers = db
        .at_once(64, move |index, client| {
            let it = racing[index / 2].clone();
            async move {
                Ok(if index % 2 == 0 {
                    complete(&client, &it, None).await?.outcome.outcome
                } else {
                    it.abort(&client).await?
                })
            }
        })
        .await?;
    for (it, pair) in sessions.iter().zip(answers.chunks(2)) {
        match (pair[0].as_str(), pair[1].as_str(), state(&client, it).await?.as_str()) {
            ("ok", "UploadCompleting", "completing") | ("NoSuchUpload", "ok", "aborted") => {}
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

async fn two_completes_are_one(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = whole(&client, 1).await?.remove(0);
    let same = it.clone();
    let answers = db
        .at_once(32, move |_, client| {
            let it = same.clone();
            async move {
                let started = complete(&client, &it, None).await?;
                let committed = it.commit_as(&client, 3, "text/plain").await?;
                Ok([started.outcome, committed.outcome])
            }
        })
        .await?;
    ensure!(count(answers.iter().flatten(), "ok") == 64, "{answers:?}");
    ensure!(db.number("select count(*) from holdfast.outbox").await? == 1);
    ensure!(state(&client, &it).await? == "done");
    Ok(())
}

async fn reaper_and_completing(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let sessions = whole(&client, 2).await?;
    complete(&client, &sessions[0], None).await?.outcome.ok();
    ensure!(reap(&client, 24.0 * HOUR).await?.is_empty(), "a session was reaped before its end");
    ensure!(reap(&client, 25.0 * HOUR).await? == [(sessions[1].version, true)]);
    ensure!(state(&client, &sessions[0]).await? == "completing");
    ensure!(complete(&client, &sessions[1], None).await?.outcome.outcome == "NoSuchUpload");
    Ok(())
}

async fn complete_or_reaper_wins_never_both(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let sessions = whole(&client, 48).await?;
    let racing = sessions.clone();
    let answers = db
        .at_once(52, move |index, client| {
            let racing = racing.clone();
            async move {
                let Some(it) = racing.get(index) else {
                    reap(&client, 25.0 * HOUR).await?;
                    return Ok(String::new());
                };
                let mut it = it.clone();
                it.after = 25.0 * HOUR;
                Ok(complete(&client, &it, None).await?.outcome.outcome)
            }
        })
        .await?;
    for (it, answer) in sessions.iter().zip(&answers) {
        match (answer.as_str(), state(&client, it).await?.as_str()) {
            ("ok", "completing") | ("NoSuchUpload", "aborted") => {}
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

async fn taken_back(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = whole(&client, 1).await?.remove(0);
    let reopen = "select holdfast.reopen_session($1, 'alice', null)";
    ensure!(!client.query_one(reopen, &[&it.version]).await?.get::<_, bool>(0));
    complete(&client, &it, None).await?.outcome.ok();
    ensure!(client.query_one(reopen, &[&it.version]).await?.get::<_, bool>(0));
    ensure!(state(&client, &it).await? == "open");
    ensure!(complete(&client, &it, None).await?.attempt == Some(1));
    ensure!(complete(&client, &it, None).await?.attempt == Some(2));
    ensure!(!client.query_one(reopen, &[&it.version]).await?.get::<_, bool>(0));
    ensure!(it.abort(&client).await? == "UploadCompleting");
    // Who has S3's word that nothing is under way may give it up.
    let sql =
        "select outcome from holdfast.abort($1, 'alice', 'NoSuchUpload', null, null, null, true)";
    ensure!(client.query_one(sql, &[&it.version]).await?.get::<_, &str>(0) == "ok");
    ensure!(state(&client, &it).await? == "aborted");
    Ok(())
}

async fn given_up_by_an_admin(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = whole(&client, 1).await?.remove(0);
    let by = async |sub: &str, role: &str| -> Result<String> {
        let sql = "select outcome from holdfast.abort($1, $2, 'Aborted', null, null, null, false, array[$3])";
        Ok(client.query_one(sql, &[&it.version, &sub, &role]).await?.get(0))
    };
    ensure!(by("bob", "crew").await? == "NoSuchUpload");
    ensure!(state(&client, &it).await? == "open");
    ensure!(by("root", "admin").await? == "ok");
    ensure!(state(&client, &it).await? == "aborted");
    let audit = "select count(*) from holdfast.audit where action = 'abort' and actor = 'root'";
    ensure!(db.number(audit).await? == 1);
    Ok(())
}

async fn charged_as_they_come(db: Db) -> Result<()> {
    db.bucket("tight", "system", r#"{"quotaBytes": 100000000}"#).await?;
    let client = db.connect().await?;
    let mut it = write("k");
    (it.bucket, it.size) = ("tight".into(), None);
    create(&client, &it).await?.ok();
    let pending = "select pending_bytes from holdfast.usage('tight', null)";
    ensure!(db.number(pending).await? == 64 * MIB);
    open_part(&client, &it, 1, 60 * MIB).await?.ok();
    record(&client, &it, None, 1, 60 * MIB).await?.ok();
    // In steps, and at the end as much as there is.
    open_part(&client, &it, 2, 30 * MIB).await?.ok();
    ensure!(db.number(pending).await? == 100_000_000);
    record(&client, &it, None, 2, 30 * MIB).await?.ok();
    open_part(&client, &it, 3, 30 * MIB).await?.expect("QuotaExceeded", Some("policy.quotaBytes"));
    // The same number again takes the place of the first.
    open_part(&client, &it, 2, 35 * MIB).await?.ok();
    complete(&client, &it, None).await?.outcome.ok();
    it.commit_as(&client, 90 * MIB, "text/plain").await?.outcome.ok();
    ensure!(db.number("select live_bytes from holdfast.usage('tight', null)").await? == 90 * MIB);
    Ok(())
}

async fn the_worker_gets_what_nobody_completes(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let due = async |after: f64| {
        let sql = "select version, hopeless from holdfast.due_sessions(10, clock_timestamp() + $1::float8 * interval '1 second')";
        let rows = client.query(sql, &[&after]).await?;
        Ok::<Vec<(Uuid, bool)>, anyhow::Error>(rows.iter().map(|r| (r.get(0), r.get(1))).collect())
    };
    let it = whole(&client, 1).await?.remove(0);
    ensure!(due(HOUR).await?.is_empty(), "an open session was claimed");
    complete(&client, &it, None).await?.outcome.ok();
    ensure!(due(60.0).await?.is_empty(), "its client still has time");
    ensure!(due(130.0).await? == [(it.version, false)]);
    ensure!(due(131.0).await?.is_empty(), "claimed twice");
    ensure!(due(25.0 * HOUR).await? == [(it.version, true)]);
    it.commit_as(&client, 3, "text/plain").await?.outcome.ok();
    ensure!(due(26.0 * HOUR).await?.is_empty());
    Ok(())
}

async fn parts_at_once_are_all_recorded(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = session(&client, Some(64 * PART)).await?;
    let same = it.clone();
    let answers = db
        .at_once(64, move |index, client| {
            let it = same.clone();
            async move {
                let number = i32::try_from(index)? + 1;
                open_part(&client, &it, number, PART).await?.ok();
                record(&client, &it, Some(1), number, PART).await
            }
        })
        .await?;
    ensure!(count(&answers, "ok") == 64);
    complete(&client, &it, None).await?.outcome.ok();
    Ok(())
}

async fn sessions_are_listed(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let sessions = whole(&client, 3).await?;
    sessions[1].abort(&client).await?;
    let list = async |before: Option<Uuid>| {
        let sql = "select version, bytes from holdfast.list_sessions('alice', 'documents', $1, 10)";
        let rows = client.query(sql, &[&before]).await?;
        Ok::<Vec<(Uuid, i64)>, anyhow::Error>(rows.iter().map(|r| (r.get(0), r.get(1))).collect())
    };
    ensure!(list(None).await? == [(sessions[2].version, 3), (sessions[0].version, 3)]);
    ensure!(list(Some(sessions[2].version)).await? == [(sessions[0].version, 3)]);
    Ok(())
}
