//! What each step of a write refuses, and what it leaves behind.

use crate::harness::{Db, Suite, write};
use anyhow::{Result, ensure};
use uuid::Uuid;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("begin_refuses_by_rule", begin_refuses_by_rule);
    suite.add("begin_repeated_is_one_begin", begin_repeated_is_one_begin);
    suite.add("commit_refuses_by_rule", commit_refuses_by_rule);
    suite.add("an_upload_is_its_callers_alone", an_upload_is_its_callers_alone);
    suite.add("an_admin_writes_in_the_owners_name", an_admin_writes_in_the_owners_name);
    suite.add("preconditions_are_checked_at_begin", preconditions_are_checked_at_begin);
    suite.add("repeated_refusals_are_one_row", repeated_refusals_are_one_row);
    suite.add("a_renewed_lease_lives", a_renewed_lease_lives);
    suite.add("only_what_may_be_lost_is_written_behind", only_what_may_be_lost_is_written_behind);
    suite.add("every_valid_key_is_taken", every_valid_key_is_taken);
}

async fn begin_refuses_by_rule(db: Db) -> Result<()> {
    db.bucket("closed", "boss", r#"{"writers": "owner"}"#).await?;
    db.bucket("ending", "system", "{}").await?;
    db.bucket("images", "system", r#"{"maxBytes": 100, "allowedTypes": ["image/*"]}"#).await?;
    let client = db.connect().await?;
    client
        .execute("update holdfast.bucket set state = 'deleting' where name = 'ending'", &[])
        .await?;

    let mut it = write("k");
    it.sub = String::new();
    it.begin(&client).await?.expect("AccessDenied", Some("authentication"));
    it.bucket = "nowhere".into();
    it.begin(&client).await?.expect("AccessDenied", Some("authentication"));
    it.sub = "alice".into();
    it.begin(&client).await?.expect("NoSuchBucket", Some("bucket"));
    it.bucket = "closed".into();
    it.begin(&client).await?.expect("AccessDenied", Some("bucket.write"));
    it.bucket = "ending".into();
    it.begin(&client).await?.expect("BucketNotActive", Some("bucket.state"));
    it.bucket = "documents".into();
    it.scopes = Some(vec!["download".into()]);
    it.begin(&client).await?.expect("AccessDenied", Some("bucket.write"));
    it.scopes = None;
    it.bucket = "images".into();
    it.begin(&client).await?.expect("InvalidContentType", Some("policy.allowedTypes"));
    (it.content_type, it.size) = (Some("image/png".into()), Some(101));
    it.begin(&client).await?.expect("EntityTooLarge", Some("policy.maxBytes"));

    // Refusals leave no object behind.
    ensure!(db.number("select count(*) from holdfast.object").await? == 0);
    it.if_match = Some("*".into());
    it.size = Some(100);
    it.begin(&client).await?.expect("PreconditionFailed", Some("if-match"));
    ensure!(db.number("select count(*) from holdfast.object").await? == 0);
    it.if_match = None;
    it.content_type = None;
    it.begin(&client).await?.ok();

    let sql = "select max_bytes, allowed_types, visibility from holdfast.begin($1, 'images', 'x', 'hf/x', 'alice', null, null, \
               1, null, null, null, null, 60, null, null, null)";
    let row = client.query_one(sql, &[&Uuid::now_v7()]).await?;
    ensure!(row.get::<_, i64>(0) == 100);
    ensure!(row.get::<_, Vec<String>>(1) == ["image/*"]);
    ensure!(row.get::<_, &str>(2) == "private");
    Ok(())
}

async fn begin_repeated_is_one_begin(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = write("k");
    it.begin(&client).await?.ok();
    it.begin(&client).await?.ok();
    ensure!(
        db.number("select pending_bytes from holdfast.usage('documents', 'alice')").await? == 10
    );
    let mut other = it.clone();
    other.key = "other".into();
    ensure!(other.begin(&client).await.is_err(), "one version became two writes");
    Ok(())
}

async fn commit_refuses_by_rule(db: Db) -> Result<()> {
    db.bucket("images", "system", r#"{"maxBytes": 100, "allowedTypes": ["image/*"]}"#).await?;
    let client = db.connect().await?;
    let mut it = write("k");
    (it.bucket, it.content_type) = ("images".into(), None);
    it.begin(&client).await?.ok();
    let refused = it.commit_as(&client, 101, "image/png").await?;
    refused.outcome.expect("EntityTooLarge", Some("policy.maxBytes"));
    let refused = it.commit_as(&client, 100, "text/html").await?;
    refused.outcome.expect("InvalidContentType", Some("policy.allowedTypes"));
    // A refused version stays pending, and may still be mended.
    ensure!(it.state(&client).await? == "pending");
    client
        .execute("update holdfast.bucket set state = 'deleting' where name = 'images'", &[])
        .await?;
    let refused = it.commit_as(&client, 100, "image/png").await?;
    refused.outcome.expect("BucketNotActive", Some("bucket.state"));
    client
        .execute("update holdfast.bucket set state = 'active' where name = 'images'", &[])
        .await?;
    it.commit_as(&client, 100, "image/png").await?.outcome.ok();

    ensure!(write("never begun").commit(&client).await?.outcome.outcome == "NoSuchUpload");
    let gone = write("k2");
    gone.begin(&client).await?.ok();
    ensure!(gone.abort(&client).await? == "ok");
    gone.commit(&client).await?.outcome.expect("NoSuchUpload", Some("version.state"));
    ensure!(gone.abort(&client).await? == "aborting");
    gone.renew(&client, None).await?.expect("NoSuchUpload", Some("version.state"));
    Ok(())
}

async fn an_upload_is_its_callers_alone(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = write("k");
    it.begin(&client).await?.ok();
    let mut mallory = it.clone();
    mallory.sub = "mallory".into();
    ensure!(mallory.abort(&client).await? == "NoSuchUpload");
    ensure!(mallory.commit(&client).await?.outcome.outcome == "NoSuchUpload");
    ensure!(mallory.renew(&client, None).await?.outcome == "NoSuchUpload");
    it.commit(&client).await?.outcome.ok();
    // Nor does a repeated commit tell somebody else anything.
    ensure!(mallory.commit(&client).await?.outcome.outcome == "NoSuchUpload");
    Ok(())
}

async fn an_admin_writes_in_the_owners_name(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    let by_admin = |key: &str| {
        let mut it = write(key);
        (it.sub, it.roles) = ("root".into(), vec!["admin".into()]);
        it
    };
    ensure!(by_admin("k").begin_and_commit(&client).await?.owner.as_deref() == Some("alice"));
    ensure!(db.number("select live_bytes from holdfast.usage('documents', 'alice')").await? == 10);
    ensure!(db.number("select live_bytes from holdfast.usage('documents', 'root')").await? == 0);

    // Somebody else's first commit takes the object from under an admin too: the charge is on another name.
    let overtaken = by_admin("new");
    overtaken.begin(&client).await?.ok();
    write("new").store(&client).await?;
    let refused = overtaken.commit(&client).await?;
    refused.outcome.expect("AccessDenied", Some("object.owner"));

    // Who is no admin any more at the commit is asked again.
    let mut demoted = by_admin("k");
    demoted.begin(&client).await?.ok();
    demoted.roles.clear();
    demoted.commit(&client).await?.outcome.expect("AccessDenied", Some("object.owner"));
    Ok(())
}

async fn preconditions_are_checked_at_begin(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let first = write("k");
    first.store(&client).await?;
    let mut it = write("k");
    it.if_match = Some(format!("\"{}\"", first.etag));
    it.begin_and_commit(&client).await?.outcome.ok();
    let mut stale = write("k");
    stale.if_match = Some(format!("\"{}\"", first.etag));
    stale.begin(&client).await?.expect("PreconditionFailed", Some("if-match"));
    let mut known = write("k");
    known.if_none_match = Some(format!("W/\"{}\"", it.etag));
    known.begin(&client).await?.expect("PreconditionFailed", Some("if-none-match"));
    // Whose object it is comes first: a stranger learns nothing of its tags.
    known.sub = "mallory".into();
    known.begin(&client).await?.expect("AccessDenied", Some("object.owner"));
    Ok(())
}

async fn repeated_refusals_are_one_row(db: Db) -> Result<()> {
    db.at_once(16, |index, client| async move {
        for round in 0..10 {
            let mut it = write(&format!("k{index}/{round}"));
            // Names that the client invents make no rows either.
            it.bucket = format!("nowhere{index}x{round}");
            it.begin(&client).await?.expect("NoSuchBucket", Some("bucket"));
        }
        Ok(())
    })
    .await?;
    ensure!(db.number("select sum(count) from holdfast.audit").await? == 160);
    let rows = db.number("select count(*) from holdfast.audit").await?;
    ensure!(rows <= 2, "{rows} rows, for two minutes at the most");
    Ok(())
}

async fn a_renewed_lease_lives(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let mut it = write("k");
    it.begin(&client).await?.ok();
    it.after = 50.0;
    it.renew(&client, None).await?.ok();
    let reaped =
        "select count(*) from holdfast.reap(9, clock_timestamp() + interval '100 seconds')";
    ensure!(db.number(reaped).await? == 0);
    // A shorter lease does not take what was given.
    it.lease_seconds = 1;
    it.renew(&client, None).await?.ok();
    ensure!(db.number(reaped).await? == 0);
    ensure!(
        db.number(
            "select count(*) from holdfast.reap(9, clock_timestamp() + interval '111 seconds')"
        )
        .await?
            == 1
    );
    Ok(())
}

async fn only_what_may_be_lost_is_written_behind(db: Db) -> Result<()> {
    let mut client = db.connect().await?;
    let id = Uuid::now_v7();
    let begin = format!(
        "holdfast.begin('{id}', 'documents', 'k', 'hf/k', 'alice', null, null, 1, null, null, null, null, 60, null, null, null)"
    );
    let commit = format!(
        "holdfast.commit('{id}', 'alice', null, null, 1, 'a/b', null, 'e', null, null, null, null)"
    );
    for (call, session, expected) in [
        (begin.as_str(), "on", "off"),
        (
            "holdfast.record_accesses('[{\"bucket\": \"documents\", \"key\": \"k\", \"method\": \"GET\", \"status\": 200, \"bytes\": 1, \"outcome\": \"ok\"}]', null)",
            "on",
            "off",
        ),
        (&format!("holdfast.renew('{id}', 'alice', null, 60, null)"), "on", "off"),
        (&commit, "off", "on"),
        (&commit, "on", "on"),
        (&format!("holdfast.abort('{id}', 'alice', null, null, null, null)"), "off", "on"),
        ("holdfast.reap(1, null)", "off", "on"),
        ("holdfast.purge(1, null)", "off", "on"),
    ] {
        client.batch_execute(&format!("set synchronous_commit = {session}")).await?;
        let transaction = client.transaction().await?;
        transaction.query(&format!("select * from {call}"), &[]).await?;
        let setting: String = transaction.query_one("show synchronous_commit", &[]).await?.get(0);
        transaction.commit().await?;
        ensure!(setting == expected, "{call}: {setting}");
        // And it was for that transaction alone.
        let after: String = client.query_one("show synchronous_commit", &[]).await?.get(0);
        ensure!(after == session, "{call} changed the session");
    }
    Ok(())
}

async fn every_valid_key_is_taken(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let long = "ü".repeat(512);
    for key in [
        "a b",
        "a+b",
        "%2F",
        "//",
        "a//b/",
        "\\",
        "😀/ключ/鍵",
        ".a",
        "a.",
        "...",
        "a/.../b",
        "'",
        "\"",
        long.as_str(),
    ] {
        let it = write(key);
        it.store(&client).await?;
        let sql = "select version from holdfast.resolve('documents', $1, null, 'alice', null, null, null)";
        ensure!(
            client.query_one(sql, &[&key]).await?.get::<_, Option<Uuid>>(0) == Some(it.version),
            "{key}"
        );
    }
    Ok(())
}
