//! Batches: their counters follow their cards, whatever way these come and go.

use crate::harness::{Db, Outcome, Suite, Write, write};
use anyhow::{Result, ensure};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_record_is_complete_while_its_card_is_there", follows_its_card);
    suite.add("sixteen_render_workers_count_each_record_once", workers);
    suite.add("an_end_of_a_batch_is_told_once", told_once);
    suite.add("reports_of_failures_have_a_reason_and_never_hide_a_card", reports);
    suite.add("reports_at_once_do_not_deadlock", reports_at_once);
    suite.add("only_its_owner_fills_a_batch", only_its_owner);
    suite.add("a_batch_is_made_once_under_an_idempotency_key", made_once);
    suite.add("a_deleted_batch_takes_its_cards_along", deleted);
    suite.add("records_are_listed_by_state_and_in_pages", listed);
    suite.add("an_archive_takes_what_its_caller_may_read", archive);
}

async fn create(client: &Client, sub: &str, expected: i64, records: &[&str]) -> Result<Uuid> {
    let id = Uuid::now_v7();
    let sql = "select * from holdfast.create_batch($1, 'cards', null, $2, $3, '{}', $4, '{}', null, null, null, \
               '192.0.2.1', 'request', null)";
    let row = client.query_one(sql, &[&id, &expected, &records, &sub]).await?;
    Outcome::of(&row).ok();
    Ok(id)
}

fn card(batch: Uuid, record: &str) -> Write {
    Write { bucket: "batches".into(), ..write(&format!("{batch}/{record}")) }
}

/// Status, rendering, complete, failed.
async fn status(client: &Client, batch: Uuid) -> Result<(String, i64, i64, i64)> {
    let row = client
        .query_one("select * from holdfast.batch($1, 'alice', '{}', null)", &[&batch])
        .await?;
    Outcome::of(&row).ok();
    Ok((row.get("status"), row.get("rendering"), row.get("complete"), row.get("failed")))
}

async fn expect(client: &Client, batch: Uuid, wanted: (&str, i64, i64, i64)) -> Result<()> {
    let (status, rendering, complete, failed) = status(client, batch).await?;
    ensure!(
        (status.as_str(), rendering, complete, failed) == wanted,
        "{status} {rendering} {complete} {failed}, not {wanted:?}"
    );
    Ok(())
}

async fn report(
    client: &Client,
    batch: Uuid,
    sub: &str,
    records: &[(&str, &str, Option<&str>)],
) -> Result<Row> {
    let names: Vec<_> = records.iter().map(|it| it.0).collect();
    let states: Vec<_> = records.iter().map(|it| it.1).collect();
    let reasons: Vec<_> = records.iter().map(|it| it.2).collect();
    let sql = "select * from holdfast.report_records($1, $2, $3, $4, $5, '{}', null, '192.0.2.1', 'request', null)";
    Ok(client.query_one(sql, &[&batch, &names, &states, &reasons, &sub]).await?)
}

async fn trash(client: &Client, key: &str) -> Result<()> {
    let sql = "select * from holdfast.trash('batches', $1, 'alice', '{}', null, null, '', 'request', null)";
    Outcome::of(&client.query_one(sql, &[&key]).await?).ok();
    Ok(())
}

async fn follows_its_card(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let batch = create(&client, "alice", 2, &["a", "b"]).await?;
    expect(&client, batch, ("pending", 0, 0, 0)).await?;
    card(batch, "a").store(&client).await?;
    expect(&client, batch, ("rendering", 0, 1, 0)).await?;
    // Stored again, and folded in between: counted once.
    db.number("holdfast.fold_batches(1000, null)").await?;
    card(batch, "a").store(&client).await?;
    expect(&client, batch, ("rendering", 0, 1, 0)).await?;
    card(batch, "b").store(&client).await?;
    expect(&client, batch, ("complete", 0, 2, 0)).await?;
    trash(&client, &format!("{batch}/a")).await?;
    expect(&client, batch, ("rendering", 0, 1, 0)).await?;
    card(batch, "a").store(&client).await?;
    expect(&client, batch, ("complete", 0, 2, 0)).await?;
    // What is no record of it counts nowhere.
    card(batch, "a/b").store(&client).await?;
    card(Uuid::now_v7(), "a").store(&client).await?;
    expect(&client, batch, ("complete", 0, 2, 0)).await?;
    // One that is begun and given up is none.
    let open = card(batch, "c");
    open.begin(&client).await?.ok();
    open.abort(&client).await?;
    expect(&client, batch, ("complete", 0, 2, 0)).await
}

async fn workers(db: Db) -> Result<()> {
    const WORKERS: usize = 16;
    const RECORDS: usize = 40;
    let client = db.connect().await?;
    let batch = create(&client, "alice", i64::try_from(RECORDS)?, &[]).await?;
    // Each record is stored by two of them, and a folder is at work beside them.
    db.at_once(WORKERS + 1, move |worker, client| async move {
        if worker == WORKERS {
            for _ in 0..50 {
                client.query_one("select holdfast.fold_batches(7, null)", &[]).await?;
            }
            return Ok(());
        }
        for record in (0..RECORDS).filter(|it| it % (WORKERS / 2) == worker % (WORKERS / 2)) {
            let outcome = card(batch, &record.to_string()).begin_and_commit(&client).await?.outcome;
            ensure!(outcome.outcome == "ok", "{outcome:?}");
        }
        Ok(())
    })
    .await?;
    expect(&client, batch, ("complete", 0, i64::try_from(RECORDS)?, 0)).await
}

async fn told_once(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let batch = create(&client, "alice", 2, &[]).await?;
    let events =
        "select count(*) from holdfast.outbox where kind in ('batch.completed', 'batch.failed')";
    card(batch, "a").store(&client).await?;
    report(&client, batch, "alice", &[("b", "failed", Some("no font"))]).await?;
    db.at_once(8, |_, client| async move {
        client.query_one("select holdfast.fold_batches(100, null)", &[]).await?;
        Ok(())
    })
    .await?;
    expect(&client, batch, ("failed", 0, 1, 1)).await?;
    ensure!(db.number(events).await? == 1);
    // Rendered after all: that is another end.
    card(batch, "b").store(&client).await?;
    db.number("holdfast.fold_batches(100, null)").await?;
    db.number("holdfast.fold_batches(100, null)").await?;
    expect(&client, batch, ("complete", 0, 2, 0)).await?;
    ensure!(db.number(events).await? == 2);
    let last = client
        .query_one(
            "select kind, data ->> 'complete' from holdfast.outbox order by id desc limit 1",
            &[],
        )
        .await?;
    ensure!((last.get(0), last.get(1)) == ("batch.completed", "2"));
    // No longer at its end.
    trash(&client, &format!("{batch}/b")).await?;
    db.number("holdfast.fold_batches(100, null)").await?;
    ensure!(db.number("select count(*) from holdfast.batch where ended_at is null").await? == 1);
    Ok(())
}

async fn reports(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let batch = create(&client, "alice", 3, &["a", "b"]).await?;
    card(batch, "a").store(&client).await?;
    let row = report(
        &client,
        batch,
        "alice",
        &[
            ("a", "failed", Some("late")),
            ("b", "rendering", None),
            ("c", "failed", Some("no font")),
        ],
    )
    .await?;
    ensure!(
        (row.get::<_, i64>("changed"), row.get::<_, Vec<String>>("stay")) == (2, vec!["a".into()])
    );
    expect(&client, batch, ("rendering", 1, 1, 1)).await?;
    // The same again changes nothing but how often it failed.
    let row = report(&client, batch, "alice", &[("c", "failed", Some("still no font"))]).await?;
    ensure!(row.get::<_, i64>("changed") == 0);
    report(&client, batch, "alice", &[("b", "failed", Some("x"))]).await?;
    expect(&client, batch, ("failed", 0, 1, 2)).await?;
    let row = client
        .query_one("select reason, failures from holdfast.batch_record where record = 'c'", &[])
        .await?;
    ensure!((row.get(0), row.get(1)) == ("still no font", 2));
    report(&client, batch, "alice", &[("b", "pending", None)]).await?;
    expect(&client, batch, ("rendering", 0, 1, 1)).await?;
    card(batch, "c").store(&client).await?;
    card(batch, "b").store(&client).await?;
    expect(&client, batch, ("complete", 0, 3, 0)).await
}

async fn reports_at_once(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let batch = create(&client, "alice", 30, &[]).await?;
    db.at_once(32, move |worker, client| async move {
        let mut names: Vec<_> = (0..30).map(|it| it.to_string()).collect();
        names.rotate_left(worker % 30);
        let records: Vec<_> = names
            .iter()
            .map(|name| match worker % 3 {
                0 => (name.as_str(), "rendering", None),
                1 => (name.as_str(), "failed", Some("x")),
                _ => (name.as_str(), "pending", None),
            })
            .collect();
        for _ in 0..5 {
            Outcome::of(&report(&client, batch, "alice", &records).await?).ok();
            card(batch, &names[0]).store(&client).await?;
        }
        Ok(())
    })
    .await?;
    expect(&client, batch, ("complete", 0, 30, 0)).await
}

async fn only_its_owner(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let batch = create(&client, "alice", 1, &[]).await?;
    // Whoever guesses its id has an object of their own there, and no record.
    let foreign = Write { sub: "mallory".into(), ..card(batch, "a") };
    foreign.store(&client).await?;
    expect(&client, batch, ("pending", 0, 0, 0)).await?;
    Outcome::of(&report(&client, batch, "mallory", &[("a", "failed", Some("x"))]).await?)
        .expect("NoSuchBatch", Some("batch"));
    for (sub, roles, scopes, outcome) in [
        ("mallory", "{}", None, "NoSuchBatch"),
        ("", "{}", None, "NoSuchBatch"),
        ("alice", "{}", Some("{upload}"), "AccessDenied"),
        ("root", "{admin}", None, "ok"),
        ("root", "{admin}", Some("{delete}"), "AccessDenied"),
    ] {
        let sql = "select outcome from holdfast.batch($1, $2, $3::text::text[], $4::text::text[])";
        let row = client.query_one(sql, &[&batch, &sub, &roles, &scopes]).await?;
        ensure!(row.get::<_, &str>(0) == outcome, "{sub} {scopes:?}");
    }
    for (sub, outcome) in [("mallory", "NoSuchBatch"), ("", "NoSuchBatch"), ("alice", "ok")] {
        let sql =
            "select outcome from holdfast.open_record($1, $2, '{}', null, '', 'request', null)";
        let row = client.query_one(sql, &[&batch, &sub]).await?;
        ensure!(row.get::<_, &str>(0) == outcome, "{sub}");
    }
    Ok(())
}

async fn made_once(db: Db) -> Result<()> {
    let made = db
        .at_once(32, |worker, client| async move {
            let fingerprint = if worker == 31 { "another" } else { "one" };
            let sql = "select * from holdfast.create_batch($1, 'cards', null, 10, null, '{}', 'alice', '{}', null, 'key', $2, \
                       '192.0.2.1', 'request', null)";
            let row = client.query_one(sql, &[&Uuid::now_v7(), &fingerprint]).await?;
            Ok((row.get::<_, String>("outcome"), row.get::<_, Uuid>("id"), fingerprint))
        })
        .await?;
    ensure!(db.number("select count(*) from holdfast.batch").await? == 1);
    ensure!(
        db.number("select count(*) from holdfast.outbox where kind = 'batch.created'").await? == 1
    );
    let batch = db.connect().await?.query_one("select id from holdfast.batch", &[]).await?;
    for (outcome, id, fingerprint) in made {
        let first = outcome == "ok" && id == batch.get::<_, Uuid>(0);
        ensure!(first || (outcome == "IdempotencyKeyReused"), "{outcome} {fingerprint}");
    }
    Ok(())
}

async fn deleted(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let batch = create(&client, "alice", 5, &[]).await?;
    let other = create(&client, "alice", 5, &[]).await?;
    for record in ["a", "b", "c", "d", "e"] {
        card(batch, record).store(&client).await?;
        card(other, record).store(&client).await?;
    }
    let sql = "select * from holdfast.delete_batch($1, $2, '{}', null, '', 'request', null)";
    let delete = async |sub: &str| -> Result<Outcome> {
        Ok(Outcome::of(&client.query_one(sql, &[&batch, &sub]).await?))
    };
    delete("mallory").await?.expect("NoSuchBatch", Some("batch"));
    delete("alice").await?.ok();
    delete("alice").await?.expect("NoSuchBatch", Some("batch"));
    let row = client
        .query_one("select outcome from holdfast.batch($1, 'alice', '{}', null)", &[&batch])
        .await?;
    ensure!(row.get::<_, &str>(0) == "NoSuchBatch");
    // In bounded steps, by two at once.
    db.at_once(2, |_, client| async move {
        for _ in 0..4 {
            client.query_one("select holdfast.sweep_batches(2, null)", &[]).await?;
        }
        Ok(())
    })
    .await?;
    db.number("holdfast.sweep_batches(100, null)").await?;
    ensure!(db.number("select count(*) from holdfast.version where state = 'trashed'").await? == 5);
    ensure!(
        db.number("select count(*) from holdfast.batch where swept_at is not null").await? == 1
    );
    expect(&client, other, ("complete", 0, 5, 0)).await?;
    // Long after, its rows go.
    db.number("holdfast.retire(1000, clock_timestamp() + interval '31 days')").await?;
    ensure!(db.number("select count(*) from holdfast.batch").await? == 1);
    ensure!(db.number("select count(*) from holdfast.batch_record").await? == 5);
    Ok(())
}

async fn listed(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let batch = create(&client, "alice", 4, &["a", "b", "ü +", "z"]).await?;
    card(batch, "ü +").store(&client).await?;
    report(&client, batch, "alice", &[("b", "failed", Some("no font"))]).await?;
    let list =
        async |state: Option<&str>, after: Option<&str>, limit: i32| -> Result<Vec<String>> {
            let sql =
                "select * from holdfast.list_records($1, $2, $3, $4, null, 'alice', '{}', null)";
            let rows = client.query(sql, &[&batch, &state, &after, &limit]).await?;
            Ok(rows
                .iter()
                .map(|row| {
                    let size: Option<i64> = row.get("size");
                    let reason: Option<&str> = row.get("reason");
                    let more = reason.map(str::to_owned).or(size.map(|size| size.to_string()));
                    format!(
                        "{} {} {}",
                        row.get::<_, &str>("record"),
                        row.get::<_, &str>("state"),
                        more.unwrap_or_default()
                    )
                })
                .collect())
        };
    ensure!(list(None, None, 2).await? == ["a pending ", "b failed no font"]);
    ensure!(list(None, Some("b"), 9).await? == ["z pending ", "ü + complete 10"]);
    ensure!(list(Some("complete"), None, 9).await? == ["ü + complete 10"]);
    ensure!(list(Some("pending"), Some("a"), 9).await? == ["z pending "]);
    let newer = create(&client, "alice", 1, &[]).await?;
    let sql =
        "select outcome, id, status from holdfast.list_batches(null, $1, 1, 'alice', '{}', null)";
    let page = client.query(sql, &[&None::<Uuid>]).await?;
    ensure!((page.len(), page[0].get::<_, Uuid>(1), page[0].get(2)) == (1, newer, "pending"));
    let page = client.query(sql, &[&newer]).await?;
    ensure!((page.len(), page[0].get::<_, Uuid>(1), page[0].get(2)) == (1, batch, "rendering"));
    let sql =
        "select outcome from holdfast.list_batches('alice', null, 9, $1, $2::text::text[], null)";
    ensure!(client.query_one(sql, &[&"bob", &"{}"]).await?.get::<_, &str>(0) == "AccessDenied");
    ensure!(client.query(sql, &[&"root", &"{admin}"]).await?.len() == 2);
    Ok(())
}

async fn archive(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for key in ["p/a", "p/b", "p/ü", "q", "p"] {
        write(key).store(&client).await?;
    }
    Write { sub: "bob".into(), ..write("p/bobs") }.store(&client).await?;
    write("p/open").begin(&client).await?.ok();
    let take = async |prefix: Option<&str>,
                      keys: Option<&[&str]>,
                      after: Option<&str>,
                      limit: i32,
                      sub: &str|
           -> Result<Vec<String>> {
        let sql = "select outcome, coalesce(key, rule) from holdfast.archive('documents', $1, $2, $3, $4, $5, '{}', null, '', 'request', null)";
        let rows = client.query(sql, &[&prefix, &keys, &after, &limit, &sub]).await?;
        Ok(rows
            .iter()
            .map(|row| format!("{} {}", row.get::<_, &str>(0), row.get::<_, &str>(1)))
            .collect())
    };
    ensure!(take(Some("p/"), None, None, 9, "alice").await? == ["ok p/a", "ok p/b", "ok p/ü"]);
    ensure!(take(Some("p/"), None, Some("p/a"), 9, "alice").await? == ["ok p/b", "ok p/ü"]);
    ensure!(take(Some("p/"), None, None, 1, "alice").await?.len() == 2);
    ensure!(take(Some("p/"), None, None, 9, "bob").await? == ["ok p/bobs"]);
    let named: &[&str] = &["q", "p/bobs", "none", "p/a"];
    ensure!(
        take(None, Some(named), None, 9, "alice").await?
            == ["ok q", "NoSuchKey p/bobs", "NoSuchKey none", "ok p/a"]
    );
    ensure!(take(Some(""), None, None, 9, "").await? == ["AccessDenied bucket.read"]);
    Ok(())
}
