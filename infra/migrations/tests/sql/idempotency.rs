//! `begin` under an idempotency key: one write, whoever asks for it how often.

use crate::harness::{Db, Outcome, Suite, Write, count, write};
use anyhow::{Result, ensure};
use serde_json::Value;
use tokio_postgres::Client;

const CALLERS: usize = 64;
const DAY: f64 = 24.0 * 3600.0;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_repeat_gets_the_first_answer", a_repeat_gets_the_first_answer);
    suite.add("a_key_of_another_request_is_refused", a_key_of_another_request_is_refused);
    suite.add(
        "a_key_is_free_after_an_end_without_answer",
        a_key_is_free_after_an_end_without_answer,
    );
    suite.add("a_refusal_takes_no_key", a_refusal_takes_no_key);
    suite.add("keys_are_each_principals_own", keys_are_each_principals_own);
    suite.add("keys_are_forgotten_after_a_day", keys_are_forgotten_after_a_day);
    suite.add("one_key_by_64_is_one_write", one_key_by_64_is_one_write);
}

/// Begins under a key; what was asked for is its fingerprint.
async fn begin(
    client: &Client,
    write: &Write,
    key: &str,
    fingerprint: &str,
) -> Result<(Outcome, Option<Value>)> {
    let sql = "select * from holdfast.begin($1::uuid, $2, $3, 'hf/' || ($1::uuid)::text, $4, null, null, 10, null, null, $5, $6, 60, \
               null, null, clock_timestamp() + $7::float8 * interval '1 second', null, $8, $9)";
    let row = client
        .query_one(
            sql,
            &[
                &write.version,
                &write.bucket,
                &write.key,
                &write.sub,
                &write.if_match,
                &write.if_none_match,
                &write.after,
                &key,
                &fingerprint,
            ],
        )
        .await?;
    Ok((Outcome::of(&row), row.get("repeated")))
}

async fn a_repeat_gets_the_first_answer(db: Db) -> Result<()> {
    let client = db.connect().await?;
    // Even where what the first one asked for would be refused by now.
    let first = Write { if_none_match: Some("*".into()), ..write("k") };
    let (outcome, repeated) = begin(&client, &first, "key", "print").await?;
    outcome.ok();
    ensure!(repeated.is_none());

    let second = Write { if_none_match: Some("*".into()), ..write("k") };
    let (outcome, _) = begin(&client, &second, "key", "print").await?;
    outcome.expect("IdempotencyKeyInUse", Some("idempotency-key"));

    let committed = first.commit(&client).await?;
    let (outcome, repeated) = begin(&client, &second, "key", "print").await?;
    outcome.ok();
    let repeated = repeated.unwrap_or_default();
    ensure!(repeated["version"] == first.version.to_string(), "{repeated}");
    ensure!(repeated["size"] == 10 && repeated["created"] == true, "{repeated}");
    ensure!(repeated["committedAtUs"].as_i64() == committed.committed_at_us, "{repeated}");
    ensure!(db.number("select count(*) from holdfast.version").await? == 1);
    ensure!(db.number("select live_bytes from holdfast.usage('documents', 'alice')").await? == 10);

    // Its own call again, as after a lost answer, is no repeat.
    let (outcome, repeated) = begin(&client, &write("other"), "other", "print").await?;
    outcome.ok();
    ensure!(repeated.is_none());
    Ok(())
}

async fn a_key_of_another_request_is_refused(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let first = write("k");
    begin(&client, &first, "key", "print").await?.0.ok();
    for _ in 0..2 {
        let (outcome, _) = begin(&client, &write("other"), "key", "another").await?;
        outcome.expect("IdempotencyKeyReused", Some("idempotency-key"));
        first.commit(&client).await?;
    }
    // Nothing is left of the refused ones.
    ensure!(db.number("select count(*) from holdfast.object").await? == 1);
    ensure!(db.number("select count(*) from holdfast.idempotency").await? == 1);
    Ok(())
}

async fn a_key_is_free_after_an_end_without_answer(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let aborted = write("k");
    begin(&client, &aborted, "key", "print").await?.0.ok();
    aborted.abort(&client).await?;
    let silent = write("k");
    begin(&client, &silent, "key", "another").await?.0.ok();
    // Its lease of 60 s is over, and still it may commit.
    let late = Write { after: 61.0, ..write("k") };
    begin(&client, &late, "key", "another")
        .await?
        .0
        .expect("IdempotencyKeyInUse", Some("idempotency-key"));
    client
        .query("select * from holdfast.reap(10, clock_timestamp() + interval '61 seconds')", &[])
        .await?;
    begin(&client, &late, "key", "print").await?.0.ok();
    late.commit(&client).await?;
    let (outcome, repeated) = begin(&client, &write("k"), "key", "print").await?;
    outcome.ok();
    ensure!(repeated.is_some_and(|it| it["version"] == late.version.to_string()));
    Ok(())
}

async fn a_refusal_takes_no_key(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let refused = Write { if_match: Some("\"none\"".into()), ..write("k") };
    begin(&client, &refused, "key", "print")
        .await?
        .0
        .expect("PreconditionFailed", Some("if-match"));
    ensure!(db.number("select count(*) from holdfast.idempotency").await? == 0);
    begin(&client, &write("k"), "key", "another").await?.0.ok();
    Ok(())
}

async fn keys_are_each_principals_own(db: Db) -> Result<()> {
    let client = db.connect().await?;
    begin(&client, &write("hers"), "key", "print").await?.0.ok();
    let his = Write { sub: "bob".into(), ..write("his") };
    let (outcome, repeated) = begin(&client, &his, "key", "another").await?;
    outcome.ok();
    ensure!(repeated.is_none());
    Ok(())
}

async fn keys_are_forgotten_after_a_day(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let first = write("k");
    begin(&client, &first, "key", "print").await?.0.ok();
    first.commit(&client).await?;
    let retire = |after: f64| {
        let sql =
            format!("select holdfast.retire(100, clock_timestamp() + interval '{after} seconds')");
        let db = db.clone();
        async move { db.number(&sql).await }
    };
    ensure!(retire(DAY - 60.0).await? == 0);
    ensure!(retire(DAY + 60.0).await? == 1);
    ensure!(db.number("select count(*) from holdfast.idempotency").await? == 0);
    Ok(())
}

async fn one_key_by_64_is_one_write(db: Db) -> Result<()> {
    // Of different objects, so that nothing but the key makes them wait for each other.
    let attempt = |number: usize, client: Client| async move {
        let write = write(&format!("k{}", number % 8));
        let (outcome, repeated) = begin(&client, &write, "key", &format!("{}", number % 8)).await?;
        if outcome.outcome == "ok" && repeated.is_none() {
            write.commit(&client).await?;
        }
        Ok((outcome, repeated))
    };
    let answers = db.at_once(CALLERS, attempt).await?;
    let outcomes: Vec<_> = answers.iter().map(|(outcome, _)| outcome.clone()).collect();
    let begun = answers.iter().filter(|(it, repeated)| it.outcome == "ok" && repeated.is_none());
    ensure!(begun.count() == 1, "{outcomes:?}");
    ensure!(db.number("select count(*) from holdfast.version").await? == 1);
    ensure!(count(&outcomes, "IdempotencyKeyReused") == 56, "{outcomes:?}");
    for number in 0..8 {
        let client = db.connect().await?;
        let (outcome, repeated) =
            begin(&client, &write(&format!("k{number}")), "key", &number.to_string()).await?;
        ensure!(outcome.outcome == "IdempotencyKeyReused" || repeated.is_some());
    }
    Ok(())
}
