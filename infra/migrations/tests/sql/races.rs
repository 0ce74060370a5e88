//! Many callers at once.

use crate::deletion::Delete;
use crate::harness::{Db, Suite, Write, count, write};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio_postgres::Client;

const CALLERS: usize = 64;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("one_key_by_64_has_one_live_version", one_key_by_64_has_one_live_version);
    suite.add("a_commit_repeated_at_once_is_one_commit", a_commit_repeated_at_once_is_one_commit);
    suite.add("abort_or_commit_wins_never_both", abort_or_commit_wins_never_both);
    suite.add("reaper_or_commit_wins_never_both", reaper_or_commit_wins_never_both);
    suite.add("one_of_64_deletes", one_of_64_deletes);
    suite.add("deletes_beside_uploads_of_one_key_by_64", deletes_beside_uploads_of_one_key_by_64);
    suite.add("if_none_match_lets_one_of_64_create", if_none_match_lets_one_of_64_create);
    suite.add("if_match_lets_one_of_64_replace", if_match_lets_one_of_64_replace);
    suite.add(
        "the_first_of_64_to_commit_owns_the_object",
        the_first_of_64_to_commit_owns_the_object,
    );
    suite.add(
        "no_write_begins_in_a_bucket_that_is_being_deleted",
        no_write_begins_in_a_bucket_that_is_being_deleted,
    );
    suite.add("everything_at_once_keeps_the_invariants", everything_at_once_keeps_the_invariants);
}

async fn one_key_by_64_has_one_live_version(db: Db) -> Result<()> {
    let answers = db
        .at_once(CALLERS, |_, client| async move { write("k").begin_and_commit(&client).await })
        .await?;
    ensure!(answers.iter().all(|it| it.outcome.outcome == "ok"));
    ensure!(answers.iter().filter(|it| it.created == Some(true)).count() == 1);
    ensure!(db.number("select count(*) from holdfast.version where state = 'live'").await? == 1);
    ensure!(
        db.number("select count(*) from holdfast.version where state = 'superseded'").await? == 63
    );
    ensure!(
        db.number(
            "select count(distinct sequence) from holdfast.outbox where sequence between 1 and 64"
        )
        .await?
            == 64
    );
    ensure!(db.number("select live_bytes from holdfast.usage('documents', 'alice')").await? == 10);
    ensure!(
        db.number("select retained_bytes from holdfast.usage('documents', 'alice')").await? == 630
    );
    ensure!(
        db.number("select pending_objects from holdfast.usage('documents', 'alice')").await? == 0
    );
    // The audit has one row each.
    ensure!(
        db.number("select count(*) from holdfast.audit where action = 'commit' and outcome = 'ok'")
            .await?
            == 64
    );
    Ok(())
}

async fn a_commit_repeated_at_once_is_one_commit(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    let it = write("k");
    it.begin(&client).await?.ok();
    let repeated = it.clone();
    let answers = db
        .at_once(CALLERS, move |_, client| {
            let it = repeated.clone();
            async move { it.commit(&client).await }
        })
        .await?;
    ensure!(answers.iter().all(|answer| *answer == answers[0]), "answers differ");
    answers[0].outcome.ok();
    ensure!(answers[0].created == Some(false) && answers[0].owner.as_deref() == Some("alice"));
    ensure!(db.number("select count(*) from holdfast.outbox").await? == 2);
    // The same answer also when it was replaced long since.
    write("k").store(&client).await?;
    ensure!(it.commit(&client).await? == answers[0]);
    Ok(())
}

/// This many writes of keys of their own, begun.
async fn begun(client: &Client, count: usize) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for index in 0..count {
        let it = write(&format!("k{index}"));
        it.begin(client).await?.ok();
        writes.push(it);
    }
    Ok(writes)
}

async fn abort_or_commit_wins_never_both(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let writes = begun(&client, 32).await?;
    let racing = writes.clone();
    let answers = db
        .at_once(CALLERS, move |index, client| {
            let it = racing[index / 2].clone();
            async move {
                Ok(if index % 2 == 0 {
                    it.commit(&client).await?.outcome.outcome
                } else {
                    it.abort(&client).await?
                })
            }
        })
        .await?;
    for (it, pair) in writes.iter().zip(answers.chunks(2)) {
        match (pair[0].as_str(), pair[1].as_str(), it.state(&client).await?.as_str()) {
            ("ok", "live", "live") | ("NoSuchUpload", "ok", "aborting") => {}
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

async fn reaper_or_commit_wins_never_both(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let writes = begun(&client, 48).await?;
    let racing = writes.clone();
    let taken = db
        .at_once(CALLERS, move |index, client| {
            let it = racing.get(index).cloned();
            async move {
                match it {
                    Some(it) => Ok(vec![(it.version, it.commit(&client).await?.outcome.outcome == "ok")]),
                    None => {
                        let sql = "select version from holdfast.reap(4, clock_timestamp() + interval '2 minutes')";
                        let rows = client.query(sql, &[]).await?;
                        Ok(rows.iter().map(|row| (row.get(0), true)).collect())
                    }
                }
            }
        })
        .await?;
    let mut won = BTreeSet::new();
    for (version, _) in taken.into_iter().flatten().filter(|(_, won)| *won) {
        ensure!(won.insert(version), "{version} was both committed and reaped, or reaped twice");
    }
    for it in writes {
        let state = it.state(&client).await?;
        ensure!(matches!(state.as_str(), "live" | "aborting"), "{state}");
        ensure!(won.contains(&it.version), "nobody took {} ({state})", it.version);
    }
    Ok(())
}

async fn one_of_64_deletes(db: Db) -> Result<()> {
    write("k").store(&db.connect().await?).await?;
    let answers = db
        .at_once(
            CALLERS,
            |_, client| async move { Ok(Delete::of("k").run(&client).await?.outcome) },
        )
        .await?;
    ensure!(count(&answers, "ok") == 1, "{answers:?}");
    ensure!(count(&answers, "NoSuchKey") == CALLERS - 1);
    ensure!(
        db.number("select count(*) from holdfast.outbox where kind = 'object.deleted'").await? == 1
    );
    Ok(())
}

/// Every upload ends well and every version that was current ends in one way: replaced, deleted, or still there.
async fn deletes_beside_uploads_of_one_key_by_64(db: Db) -> Result<()> {
    const ROUNDS: usize = 8;
    let answers = db
        .at_once(CALLERS, |index, client| async move {
            let (mut created, mut deleted) = (0, 0);
            for _ in 0..ROUNDS {
                if index % 2 == 0 {
                    let committed = write("k").begin_and_commit(&client).await?;
                    committed.outcome.ok();
                    created += usize::from(committed.created == Some(true));
                } else {
                    let answer = Delete::of("k").run(&client).await?.outcome;
                    ensure!(matches!(answer.outcome.as_str(), "ok" | "NoSuchKey"), "{answer:?}");
                    deleted += usize::from(answer.outcome == "ok");
                }
            }
            Ok((created, deleted))
        })
        .await?;
    let created: usize = answers.iter().map(|it| it.0).sum();
    let deleted: usize = answers.iter().map(|it| it.1).sum();
    let state = async |state: &str| {
        let sql = format!("select count(*) from holdfast.version where state = '{state}'");
        Ok::<_, anyhow::Error>(usize::try_from(db.number(&sql).await?)?)
    };
    ensure!(deleted > 0, "nothing was deleted");
    ensure!(state("trashed").await? == deleted);
    let live = state("live").await?;
    // It was there, then not, then there: each time that it came is followed by one that it went, but for the last.
    ensure!(created == deleted + live, "{created} times new, {deleted} deletions, {live} live");
    ensure!(state("superseded").await? + deleted + live == CALLERS / 2 * ROUNDS);
    let sql = "select count(*) from holdfast.outbox where kind = 'object.deleted'";
    ensure!(usize::try_from(db.number(sql).await?)? == deleted);
    Ok(())
}

async fn if_none_match_lets_one_of_64_create(db: Db) -> Result<()> {
    let answers = db
        .at_once(CALLERS, |_, client| async move {
            let mut it = write("k");
            it.if_none_match = Some("*".into());
            let begun = it.begin(&client).await?;
            Ok(if begun.outcome == "ok" { it.commit(&client).await?.outcome } else { begun })
        })
        .await?;
    ensure!(count(&answers, "ok") == 1);
    ensure!(count(&answers, "PreconditionFailed") == CALLERS - 1);
    Ok(())
}

async fn if_match_lets_one_of_64_replace(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let first = write("k");
    first.store(&client).await?;
    let tag = format!("\"{}\"", first.etag);
    let answers = db
        .at_once(CALLERS, move |_, client| {
            let mut it = write("k");
            it.if_match = Some(tag.clone());
            async move {
                let begun = it.begin(&client).await?;
                Ok(if begun.outcome == "ok" { it.commit(&client).await?.outcome } else { begun })
            }
        })
        .await?;
    ensure!(count(&answers, "ok") == 1);
    ensure!(count(&answers, "PreconditionFailed") == CALLERS - 1);
    Ok(())
}

async fn the_first_of_64_to_commit_owns_the_object(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let mut writes = Vec::new();
    for index in 0..CALLERS {
        let mut it = write("k");
        it.sub = format!("user{index}");
        it.begin(&client).await?.ok();
        writes.push(it);
    }
    let racing = writes.clone();
    let answers = db
        .at_once(CALLERS, move |index, client| {
            let it = racing[index].clone();
            async move { it.commit(&client).await }
        })
        .await?;
    let winners: Vec<_> =
        answers.iter().zip(&writes).filter(|(it, _)| it.outcome.outcome == "ok").collect();
    ensure!(winners.len() == 1);
    ensure!(winners[0].0.owner.as_deref() == Some(winners[0].1.sub.as_str()));
    for loser in answers.iter().filter(|it| it.outcome.outcome != "ok") {
        loser.outcome.expect("AccessDenied", Some("object.owner"));
    }
    // And nobody else begins any more.
    let mut late = write("k");
    late.sub = "mallory".into();
    late.begin(&client).await?.expect("AccessDenied", Some("object.owner"));
    Ok(())
}

async fn no_write_begins_in_a_bucket_that_is_being_deleted(db: Db) -> Result<()> {
    let (mut deleter, writer) = (db.connect().await?, db.connect().await?);
    let deletion = deleter.transaction().await?;
    deletion
        .execute("select from holdfast.bucket where name = 'documents' for update", &[])
        .await?;
    let begun = tokio::spawn(async move { write("k").begin(&writer).await });
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    ensure!(!begun.is_finished(), "begin did not wait for the bucket");
    deletion
        .execute("update holdfast.bucket set state = 'deleting' where name = 'documents'", &[])
        .await?;
    deletion.commit().await?;
    begun.await??.expect("BucketNotActive", Some("bucket.state"));
    Ok(())
}

/// A deadlock, a lost update or a drift shows here, if anywhere.
async fn everything_at_once_keeps_the_invariants(db: Db) -> Result<()> {
    db.bucket("both", "system", r#"{"quotaBytes": 100000, "ownerQuotaBytes": 50000}"#).await?;
    let writing = Arc::new(AtomicUsize::new(24));
    db.at_once(32, move |index, client| {
        let writing = Arc::clone(&writing);
        async move {
            match index % 8 {
                6 => {
                    // Ten hours: leases end, second deletions come.
                    for round in (0..40).cycle().take_while(|_| writing.load(SeqCst) > 0) {
                        maintain(&client, 900.0 * f64::from(round)).await?;
                    }
                }
                7 => {
                    while writing.load(SeqCst) > 0 {
                        client
                            .query("select holdfast.fold(50), holdfast.sequence(20)", &[])
                            .await?;
                    }
                }
                role => {
                    let result = write_much(&client, index, role).await;
                    writing.fetch_sub(1, SeqCst);
                    result?;
                }
            }
            Ok(())
        }
    })
    .await?;
    db.number("holdfast.sequence(1000000)").await?;
    ensure!(db.number("select count(*) from holdfast.outbox where position is null").await? == 0);
    ensure!(
        db.number("select count(*) from holdfast.version where state = 'purged'").await? > 0,
        "nothing was purged"
    );
    Ok(())
}

/// Few keys, few owners. Role 5 aborts, role 4 leaves its writes to the reaper, role 3 deletes what it can.
async fn write_much(client: &Client, index: usize, role: usize) -> Result<()> {
    for round in 0..40 {
        let mut it = write(&format!("k{}", (index + round) % 5));
        it.sub = format!("user{}", (index + round) % 3);
        if round % 2 == 0 {
            it.bucket = "both".into();
        }
        it.size = (round % 7 != 0).then_some(10);
        if it.begin(client).await?.outcome == "ok" {
            it.renew(client, Some(20)).await?;
            if role == 5 {
                it.abort(client).await?;
            } else if role != 4 {
                it.commit(client).await?;
            }
            if role == 3 {
                let mut gone = Delete::of(&it.key);
                (gone.bucket, gone.sub) = (it.bucket, it.sub);
                gone.run(client).await?;
            }
        }
    }
    Ok(())
}

/// What a tick does; for the purge it is a day later already, so that what was just replaced goes.
async fn maintain(client: &Client, after: f64) -> Result<()> {
    let now = "clock_timestamp() + $1::float8 * interval '1 second'";
    let later = format!("{now} + interval '25 hours'");
    for sql in [
        format!(
            "select holdfast.reaped(array(select version from holdfast.reap(5, {now})), {now})"
        ),
        format!(
            "select holdfast.purged(array(select version from holdfast.purge(5, {later})), {later})"
        ),
    ] {
        client.query(&sql, &[&after]).await?;
    }
    Ok(())
}
