//! Quotas are exact, whoever races.

use crate::harness::{Db, Suite, count, write};
use anyhow::{Result, ensure};

const MIB: i64 = 1024 * 1024;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("an_owner_quota_for_ten_lets_ten_of_64_in", an_owner_quota_for_ten_lets_ten_of_64_in);
    suite.add(
        "a_bucket_quota_for_ten_lets_ten_of_64_owners_in",
        a_bucket_quota_for_ten_lets_ten_of_64_owners_in,
    );
    suite.add("growth_is_asked_for_by_renew_and_commit", growth_is_asked_for_by_renew_and_commit);
    suite.add("every_byte_counts_until_purge_or_abort", every_byte_counts_until_purge_or_abort);
    suite.add(
        "a_long_backlog_of_deltas_is_folded_under_the_quota",
        a_long_backlog_of_deltas_is_folded_under_the_quota,
    );
    suite.add("folding_beside_writers_loses_nothing", folding_beside_writers_loses_nothing);
    suite.add("renew_grants_what_there_is", renew_grants_what_there_is);
    suite.add("unknown_length_charges_in_steps", unknown_length_charges_in_steps);
}

async fn an_owner_quota_for_ten_lets_ten_of_64_in(db: Db) -> Result<()> {
    db.bucket("mine", "system", r#"{"ownerQuotaBytes": 109}"#).await?;
    let answers = db
        .at_once(64, |index, client| async move {
            let mut it = write(&format!("k{index}"));
            it.bucket = "mine".into();
            let begun = it.begin(&client).await?;
            Ok(if begun.outcome == "ok" { it.commit(&client).await?.outcome } else { begun })
        })
        .await?;
    ensure!(count(&answers, "ok") == 10, "{}", count(&answers, "ok"));
    for refused in answers.iter().filter(|it| it.outcome != "ok") {
        refused.expect("QuotaExceeded", Some("policy.ownerQuotaBytes"));
    }
    // Another owner has a quota of their own.
    let mut it = write("bob");
    (it.bucket, it.sub) = ("mine".into(), "bob".into());
    it.store(&db.connect().await?).await
}

async fn a_bucket_quota_for_ten_lets_ten_of_64_owners_in(db: Db) -> Result<()> {
    db.bucket("ours", "system", r#"{"quotaBytes": 109, "ownerQuotaBytes": 1000}"#).await?;
    let answers = db
        .at_once(64, |index, client| async move {
            let mut it = write(&format!("k{index}"));
            (it.bucket, it.sub) = ("ours".into(), format!("user{index}"));
            it.begin(&client).await
        })
        .await?;
    ensure!(count(&answers, "ok") == 10);
    for refused in answers.iter().filter(|it| it.outcome != "ok") {
        refused.expect("QuotaExceeded", Some("policy.quotaBytes"));
    }
    Ok(())
}

async fn growth_is_asked_for_by_renew_and_commit(db: Db) -> Result<()> {
    db.bucket("mine", "system", r#"{"ownerQuotaBytes": 100, "maxBytes": 95}"#).await?;
    let client = db.connect().await?;
    let mut it = write("k");
    it.bucket = "mine".into();
    it.begin(&client).await?.ok();
    it.renew(&client, Some(96)).await?.expect("EntityTooLarge", Some("policy.maxBytes"));
    it.renew(&client, Some(90)).await?.ok();
    it.renew(&client, Some(50)).await?.ok();

    let mut other = write("other");
    other.bucket = "mine".into();
    other.begin(&client).await?.ok();
    other.renew(&client, Some(11)).await?.expect("QuotaExceeded", Some("policy.ownerQuotaBytes"));
    let grown = other.commit_as(&client, 11, "text/plain").await?;
    grown.outcome.expect("QuotaExceeded", Some("policy.ownerQuotaBytes"));

    // What was charged and not used comes back.
    it.commit_as(&client, 20, "text/plain").await?.outcome.ok();
    other.commit_as(&client, 80, "text/plain").await?.outcome.ok();
    let mut last = write("last");
    (last.bucket, last.size) = ("mine".into(), Some(1));
    last.begin(&client).await?.expect("QuotaExceeded", Some("policy.ownerQuotaBytes"));
    last.size = Some(0);
    last.begin(&client).await?.ok();
    Ok(())
}

async fn every_byte_counts_until_purge_or_abort(db: Db) -> Result<()> {
    db.bucket("mine", "system", r#"{"ownerQuotaBytes": 20}"#).await?;
    let client = db.connect().await?;
    let next = || {
        let mut it = write("k");
        it.bucket = "mine".into();
        it
    };
    next().store(&client).await?;
    next().store(&client).await?;
    // One is live, one retained: full.
    next().begin(&client).await?.expect("QuotaExceeded", Some("policy.ownerQuotaBytes"));
    let later = "clock_timestamp() + interval '25 hours'";
    ensure!(
        db.number(&format!(
            "holdfast.purged(array(select version from holdfast.purge(9, {later})), {later})"
        ))
        .await?
            == 1
    );
    let pending = next();
    pending.begin(&client).await?.ok();
    next().begin(&client).await?.expect("QuotaExceeded", Some("policy.ownerQuotaBytes"));
    ensure!(pending.abort(&client).await? == "ok");
    next().begin(&client).await?.ok();
    Ok(())
}

async fn a_long_backlog_of_deltas_is_folded_under_the_quota(db: Db) -> Result<()> {
    db.bucket("ours", "system", r#"{"quotaBytes": 1000000}"#).await?;
    db.at_once(16, |index, client| async move {
        for round in 0..80 {
            let mut it = write(&format!("k{index}/{round}"));
            (it.bucket, it.sub) = ("ours".into(), format!("user{}", index % 4));
            it.store(&client).await?;
        }
        Ok(())
    })
    .await?;
    let left = db.number("select count(*) from holdfast.usage_delta").await?;
    ensure!(left < 1200, "{left} deltas of 2560 left");
    ensure!(db.number("select live_bytes from holdfast.usage('ours', null)").await? == 12_800);
    Ok(())
}

async fn folding_beside_writers_loses_nothing(db: Db) -> Result<()> {
    let sums = db
        .at_once(24, |index, client| async move {
            for round in 0..60 {
                match index % 8 {
                    0 => drop(client.query("select holdfast.fold(7)", &[]).await?),
                    1 => {
                        let drift =
                            client.query("select * from holdfast.usage_drift()", &[]).await?;
                        ensure!(drift.is_empty(), "a reader saw {drift:?}");
                    }
                    _ => write(&format!("k{}", (index + round) % 9)).store(&client).await?,
                }
            }
            Ok(if index % 8 > 1 { 60 } else { 0 })
        })
        .await?;
    let kept = "select live_objects + retained_objects from holdfast.usage('documents', null)";
    ensure!(db.number(kept).await? == sums.iter().sum::<i64>());
    ensure!(
        db.number("select count(*) from holdfast.usage_total").await? > 0,
        "nothing was folded"
    );
    Ok(())
}

/// Whoever asks for more than there is gets what there is, if that is enough.
async fn renew_grants_what_there_is(db: Db) -> Result<()> {
    db.bucket("mine", "system", r#"{"ownerQuotaBytes": 100, "maxBytes": 95}"#).await?;
    let client = db.connect().await?;
    let mut it = write("k");
    it.bucket = "mine".into();
    it.begin(&client).await?.ok();
    let sql = "select outcome, charged_bytes from holdfast.renew($1, 'alice', $2, 60, null, $3)";
    for (asked, enough, outcome, charged) in [
        (128, 92, "ok", Some(95_i64)),
        (128, 96, "EntityTooLarge", None),
        (128, 95, "ok", Some(95)),
    ] {
        let (asked, enough) = (i64::from(asked), i64::from(enough));
        let row = client.query_one(sql, &[&it.version, &asked, &enough]).await?;
        ensure!(row.get::<_, String>(0) == outcome && row.get::<_, Option<i64>>(1) == charged);
    }
    let mut between = write("between");
    between.bucket = "mine".into();
    between.size = Some(1);
    between.begin(&client).await?.ok();
    for (enough, outcome, charged) in [(4, "ok", Some(5_i64)), (6, "QuotaExceeded", None)] {
        let row = client.query_one(sql, &[&between.version, &64_i64, &i64::from(enough)]).await?;
        ensure!(row.get::<_, String>(0) == outcome && row.get::<_, Option<i64>>(1) == charged);
    }
    between.abort(&client).await?;
    Ok(())
}

async fn unknown_length_charges_in_steps(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let pending = "select pending_bytes from holdfast.usage('documents', 'alice')";
    let mut it = write("k");
    it.size = None;
    it.begin(&client).await?.ok();
    ensure!(db.number(pending).await? == 64 * MIB);
    it.renew(&client, Some(128 * MIB)).await?.ok();
    ensure!(db.number(pending).await? == 128 * MIB);
    it.commit_as(&client, 7, "text/plain").await?.outcome.ok();
    ensure!(db.number(pending).await? == 0);
    ensure!(db.number("select live_bytes from holdfast.usage('documents', 'alice')").await? == 7);

    // Less than a step, where the policy or the quota leaves less.
    db.bucket("small", "system", r#"{"maxBytes": 30, "ownerQuotaBytes": 50}"#).await?;
    let pending = "select pending_bytes from holdfast.usage('small', 'alice')";
    for (key, expected) in [("a", 30), ("b", 50)] {
        let mut it = write(key);
        (it.bucket, it.size) = ("small".into(), None);
        it.begin(&client).await?.ok();
        ensure!(db.number(pending).await? == expected);
    }
    Ok(())
}
