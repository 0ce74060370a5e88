//! Buckets made, changed and deleted; who besides the owners may do what in them.

use crate::deletion::Delete;
use crate::harness::{Db, Outcome, Suite, write};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio_postgres::Client;

const CALLERS: usize = 64;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_bucket_is_made_once_by_name", a_bucket_is_made_once_by_name);
    suite.add("who_may_make_buckets_and_how_many", who_may_make_buckets_and_how_many);
    suite.add("one_of_64_makes_the_bucket", one_of_64_makes_the_bucket);
    suite.add("an_owner_has_no_bucket_too_many", an_owner_has_no_bucket_too_many);
    suite.add("who_sees_what_of_a_bucket", who_sees_what_of_a_bucket);
    suite.add("buckets_are_listed_by_name", buckets_are_listed_by_name);
    suite.add("a_policy_is_changed_as_it_was_seen", a_policy_is_changed_as_it_was_seen);
    suite.add("a_bucket_that_holds_anything_stays", a_bucket_that_holds_anything_stays);
    suite.add("a_bucket_ends_step_by_step", a_bucket_ends_step_by_step);
    suite.add("a_bucket_is_opened_again_until_it_is_dropped", a_bucket_is_opened_again);
    suite.add("a_deleted_bucket_loses_no_write_of_64", a_deleted_bucket_loses_no_write_of_64);
    suite.add("who_deletes_beside_64_uploads_loses_none", who_deletes_beside_64_uploads_loses_none);
    suite.add("the_worker_takes_over_what_was_left", the_worker_takes_over_what_was_left);
    suite.add("a_name_is_used_anew_without_what_was_before", a_name_is_used_anew);
    suite.add("grants_ask_whether_one_may_share", grants_ask_whether_one_may_share);
    suite.add("objects_have_a_quota_that_64_keep", objects_have_a_quota_that_64_keep);
    suite.add("the_trash_has_its_own_time", the_trash_has_its_own_time);
}

/// Who asks: name and roles.
type Who = (&'static str, &'static [&'static str]);

const ALICE: Who = ("alice", &[]);
const BOB: Who = ("bob", &[]);
const ADMIN: Who = ("root", &["admin"]);

fn least() -> Value {
    json!({"visibility": "private", "writers": "owner", "readers": "owner"})
}

pub(crate) async fn create(
    client: &Client,
    name: &str,
    policy: &Value,
    stored: bool,
    (sub, roles): Who,
) -> Result<(Outcome, Option<String>, bool)> {
    let sql = "select * from holdfast.create_bucket($1, $2::text::jsonb, $3, $4, $5, null, '192.0.2.1', 'request', null)";
    let row = client.query_one(sql, &[&name, &policy.to_string(), &stored, &sub, &roles]).await?;
    Ok((Outcome::of(&row), row.get("state"), row.get("created")))
}

/// Makes one that takes files.
pub(crate) async fn make(client: &Client, name: &str, policy: &Value, who: Who) -> Result<()> {
    create(client, name, policy, false, who).await?.0.ok();
    ensure!(truth(client, "bucket_created", name).await?);
    Ok(())
}

/// A function of a name that answers a boolean.
async fn truth(client: &Client, function: &str, name: &str) -> Result<bool> {
    let more = match function {
        "drop_bucket" => ", null",
        "forget_bucket" => ", 100, null",
        "reopen_bucket" => ", 'worker', null, null, null",
        _ => "",
    };
    Ok(client.query_one(&format!("select holdfast.{function}($1{more})"), &[&name]).await?.get(0))
}

async fn delete(
    client: &Client,
    name: &str,
    confirmed: bool,
    (sub, roles): Who,
) -> Result<(Outcome, Option<String>)> {
    let sql = "select outcome, rule, counts::text from holdfast.delete_bucket($1, $2, $3, $4, null, '192.0.2.1', 'request', null)";
    let row = client.query_one(sql, &[&name, &confirmed, &sub, &roles]).await?;
    Ok((Outcome::of(&row), row.get("counts")))
}

async fn a_bucket_is_made_once_by_name(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let (outcome, state, created) = create(&client, "kelp", &least(), false, ALICE).await?;
    outcome.ok();
    ensure!((state.as_deref(), created) == (Some("creating"), true));
    // Nothing is written before the store has it.
    let mut early = write("k");
    early.bucket = "kelp".into();
    early.begin(&client).await?.expect("BucketNotActive", Some("bucket.state"));

    // Again, also after its end, it is the same one.
    for expected in ["creating", "active"] {
        let (outcome, state, created) = create(&client, "kelp", &least(), true, ALICE).await?;
        outcome.ok();
        ensure!((state.as_deref(), created) == (Some(expected), false));
        ensure!(truth(&client, "bucket_created", "kelp").await?);
    }
    early.begin(&client).await?.ok();
    early.commit(&client).await?.outcome.ok();

    let other = json!({"visibility": "public-read", "writers": "owner", "readers": "owner"});
    let again = create(&client, "kelp", &other, true, ALICE).await?.0;
    again.expect("BucketAlreadyExists", Some("bucket.policy"));
    let again = create(&client, "kelp", &least(), true, BOB).await?.0;
    again.expect("BucketAlreadyExists", Some("bucket"));
    ensure!(
        db.number(
            "select count(*) from holdfast.audit where action = 'bucket.create' and outcome = 'ok'"
        )
        .await?
            == 1
    );
    ensure!(!truth(&client, "bucket_created", "nowhere").await?);
    Ok(())
}

async fn who_may_make_buckets_and_how_many(db: Db) -> Result<()> {
    let client = db.connect().await?;
    create(&client, "kelp", &least(), false, ("", &[]))
        .await?
        .0
        .expect("AccessDenied", Some("bucket.create"));
    for (scopes, good) in [("{upload,download,delete}", false), ("{admin}", true)] {
        let sql = "select outcome from holdfast.create_bucket('scoped', '{\"visibility\": \"private\", \"writers\": \"owner\", \
                   \"readers\": \"owner\"}', false, 'alice', '{}', $1::text::text[], null, null, null)";
        let outcome: String = client.query_one(sql, &[&scopes]).await?.get(0);
        ensure!((outcome == "ok") == good, "{scopes}: {outcome}");
    }
    // What the store has already may be somebody's.
    create(&client, "there", &least(), true, ALICE)
        .await?
        .0
        .expect("BucketAlreadyExists", Some("store"));
    create(&client, "there", &least(), true, ADMIN).await?.0.ok();
    Ok(())
}

async fn one_of_64_makes_the_bucket(db: Db) -> Result<()> {
    let answers = db
        .at_once(CALLERS, |index, client| async move {
            let who: Who = if index % 2 == 0 { ALICE } else { BOB };
            create(&client, "kelp", &least(), false, who).await
        })
        .await?;
    ensure!(answers.iter().filter(|it| it.2).count() == 1);
    let winner = db
        .connect()
        .await?
        .query_one("select owner from holdfast.bucket where name = 'kelp'", &[])
        .await?;
    let winner: String = winner.get(0);
    for (index, (outcome, ..)) in answers.iter().enumerate() {
        let is_winners = (index % 2 == 0) == (winner == "alice");
        ensure!(
            outcome.outcome == if is_winners { "ok" } else { "BucketAlreadyExists" },
            "{outcome:?}"
        );
    }
    Ok(())
}

async fn an_owner_has_no_bucket_too_many(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for number in 0..80 {
        create(&client, &format!("alice-{number}"), &least(), false, ALICE).await?.0.ok();
    }
    let answers = db
        .at_once(CALLERS, |index, client| async move {
            Ok(create(&client, &format!("more-{index}"), &least(), false, ALICE).await?.0)
        })
        .await?;
    let made = answers.iter().filter(|it| it.outcome == "ok").count();
    ensure!(made == 20, "{made}");
    ensure!(answers.iter().all(|it| it.outcome == "ok"
        || (it.outcome == "QuotaExceeded" && it.rule.as_deref() == Some("owner.buckets"))));
    for number in 0..101 {
        create(&client, &format!("root-{number}"), &least(), false, ADMIN).await?.0.ok();
    }
    Ok(())
}

/// Outcome, whether the caller administers it, and the shown policy.
async fn get(
    client: &Client,
    name: &str,
    (sub, roles): Who,
) -> Result<(String, Option<bool>, Option<Value>)> {
    let sql = "select outcome, administers, policy::text, usage::text, owner from holdfast.get_bucket($1, $2, $3, null)";
    let row = client.query_one(sql, &[&name, &sub, &roles]).await?;
    let policy: Option<String> = row.get("policy");
    let administers: Option<bool> = row.get("administers");
    ensure!(row.get::<_, Option<String>>("usage").is_some() == (administers == Some(true)));
    ensure!(row.get::<_, Option<String>>("owner").is_some() == (administers == Some(true)));
    Ok((row.get("outcome"), administers, policy.map(|it| serde_json::from_str(&it)).transpose()?))
}

async fn who_sees_what_of_a_bucket(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let policy = json!({"visibility": "private", "writers": {"users": ["bob"], "roles": ["editor"]}, "readers": "owner",
                        "maxBytes": 5, "quotaBytes": 7});
    make(&client, "kelp", &policy, ALICE).await?;
    for who in [ALICE, ADMIN] {
        let (outcome, administers, shown) = get(&client, "kelp", who).await?;
        ensure!((outcome.as_str(), administers, shown) == ("ok", Some(true), Some(policy.clone())));
    }
    // Who writes sees what an upload has to keep to, and not who else may.
    for who in [BOB, ("carol", &["editor"][..])] {
        let (outcome, administers, shown) = get(&client, "kelp", who).await?;
        let expected = json!({"visibility": "private", "maxBytes": 5});
        ensure!((outcome.as_str(), administers) == ("ok", Some(false)) && shown == Some(expected));
    }
    for who in [("carol", &[][..]), ("", &[])] {
        ensure!(get(&client, "kelp", who).await?.0 == "NoSuchBucket");
    }
    ensure!(get(&client, "nowhere", ADMIN).await?.0 == "NoSuchBucket");
    Ok(())
}

async fn buckets_are_listed_by_name(db: Db) -> Result<()> {
    let client = db.connect().await?;
    client
        .batch_execute(
            "insert into holdfast.bucket (name, owner, policy)
             select 'many-' || lpad(n::text, 4, '0'), case when n % 10 = 0 then 'alice' else 'bob' end,
                    '{\"visibility\": \"private\", \"writers\": \"owner\", \"readers\": \"owner\"}'
             from generate_series(1, 3000) n",
        )
        .await?;
    let sql = "select name, administers, owner from holdfast.list_buckets($1, $2, $3, $4, null)";
    for ((sub, roles), expected) in
        [(ALICE, 300 + 5), (BOB, 2_700 + 5), (ADMIN, 3_005), (("carol", &[][..]), 5)]
    {
        let (mut after, mut names) = (None::<String>, Vec::new());
        loop {
            let rows = client.query(sql, &[&after, &100_i32, &sub, &roles]).await?;
            let page: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            ensure!(
                rows.iter()
                    .all(|row| row.get::<_, Option<String>>(2).is_some() == row.get::<_, bool>(1))
            );
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            names.extend(page);
        }
        ensure!(names.is_sorted() && names.len() == expected, "{sub}: {}", names.len());
    }
    Ok(())
}

async fn update(
    client: &Client,
    policy: Option<&Value>,
    seen: &str,
    if_match: Option<&str>,
    (sub, roles): Who,
) -> Result<(Outcome, Option<String>, Option<bool>)> {
    let sql = "select * from holdfast.update_bucket('kelp', $1::text::jsonb, $2, $3, $4, $5, null, '192.0.2.1', 'request', null)";
    let policy = policy.map(Value::to_string);
    let row = client.query_one(sql, &[&policy, &seen, &if_match, &sub, &roles]).await?;
    Ok((Outcome::of(&row), row.get("etag"), row.get("changed")))
}

async fn a_policy_is_changed_as_it_was_seen(db: Db) -> Result<()> {
    let client = db.connect().await?;
    make(&client, "kelp", &least(), ALICE).await?;
    let (outcome, etag, _) = update(&client, None, "", None, ALICE).await?;
    outcome.ok();
    let first = etag.expect("a tag");
    let other = |bytes: i64| {
        let mut policy = least();
        policy["maxBytes"] = bytes.into();
        policy
    };
    let (outcome, etag, changed) =
        update(&client, Some(&other(5)), &first, Some(&format!("\"{first}\"")), ALICE).await?;
    outcome.ok();
    let second = etag.expect("a tag");
    ensure!(changed == Some(false) && second != first);
    // Who saw the first one puts nothing in the place of the second.
    let (outcome, etag, changed) = update(&client, Some(&other(6)), &first, None, ALICE).await?;
    outcome.ok();
    ensure!(changed == Some(true) && etag.as_deref() == Some(&second));
    let stale = format!("\"{first}\"");
    update(&client, None, "", Some(&stale), ALICE)
        .await?
        .0
        .expect("PreconditionFailed", Some("if-match"));
    update(&client, Some(&other(6)), &second, None, BOB)
        .await?
        .0
        .expect("NoSuchBucket", Some("bucket"));
    update(&client, Some(&other(6)), &second, None, ADMIN).await?.0.ok();
    client.batch_execute("update holdfast.bucket set policy = policy || '{\"readers\": \"authenticated\"}' where name = 'kelp'").await?;
    update(&client, None, "", None, BOB).await?.0.expect("AccessDenied", Some("bucket.admin"));

    // 64 who add one each: each is there at the end.
    let adding = db
        .at_once(CALLERS, |index, client| async move {
            loop {
                let sql = "select policy::text, etag from holdfast.update_bucket('kelp', null, null, null, 'alice', '{}', null, null, null, null)";
                let row = client.query_one(sql, &[]).await?;
                let (policy, etag): (String, String) = (row.get(0), row.get(1));
                let mut policy: Value = serde_json::from_str(&policy)?;
                policy[format!("member{index}")] = 1.into();
                let (outcome, _, changed) = update(&client, Some(&policy), &etag, None, ALICE).await?;
                outcome.ok();
                if changed == Some(false) {
                    return Ok(());
                }
            }
        })
        .await?;
    let members = "select count(*) from holdfast.bucket b, jsonb_object_keys(b.policy) m where b.name = 'kelp' and m like 'member%'";
    ensure!(db.number(members).await? == adding.len() as i64);
    Ok(())
}

async fn a_bucket_that_holds_anything_stays(db: Db) -> Result<()> {
    let client = db.connect().await?;
    make(&client, "kelp", &least(), ALICE).await?;
    let at = |key: &str| {
        let mut it = write(key);
        it.bucket = "kelp".into();
        it
    };
    at("pending").begin(&client).await?.ok();
    at("live").store(&client).await?;
    at("twice").store(&client).await?;
    at("twice").store(&client).await?;
    at("trashed").store(&client).await?;
    let mut trash = Delete::of("trashed");
    trash.bucket = "kelp".into();
    trash.run(&client).await?.outcome.ok();
    let aborted = at("aborted");
    aborted.begin(&client).await?.ok();
    ensure!(aborted.abort(&client).await? == "ok");

    delete(&client, "kelp", false, ALICE).await?.0.expect("InvalidArgument", Some("confirm"));
    let (outcome, counts) = delete(&client, "kelp", true, ALICE).await?;
    outcome.expect("BucketNotEmpty", Some("bucket.objects"));
    let counts: Value = serde_json::from_str(&counts.expect("counts"))?;
    ensure!(counts == json!({"live": 2, "retained": 1, "trashed": 1, "pending": 2}), "{counts}");
    // A refused one goes on as before.
    at("live").store(&client).await?;

    delete(&client, "kelp", true, BOB).await?.0.expect("NoSuchBucket", Some("bucket"));
    delete(&client, "documents", true, BOB).await?.0.expect("AccessDenied", Some("bucket.admin"));
    delete(&client, "documents", true, ADMIN)
        .await?
        .0
        .expect("AccessDenied", Some("bucket.needed"));
    delete(&client, "nowhere", true, ADMIN).await?.0.expect("NoSuchBucket", Some("bucket"));

    // One by one, each kind is enough.
    for (state, more) in [
        ("purging", "due_at = now(), replaced_at = now(), lease_until = null"),
        ("quarantined", "due_at = null, lease_until = null"),
    ] {
        let name = format!("holds-{state}");
        make(&client, &name, &least(), ALICE).await?;
        let mut it = write("k");
        it.bucket = name.clone();
        it.store(&client).await?;
        if state == "purging" {
            let mut trash = Delete::of("k");
            trash.bucket = name.clone();
            trash.run(&client).await?.outcome.ok();
        }
        client
            .execute(
                &format!("update holdfast.version set state = '{state}', {more} where id = $1"),
                &[&it.version],
            )
            .await?;
        client
            .execute("update holdfast.object set live = false where bucket = $1", &[&name])
            .await?;
        let (outcome, counts) = delete(&client, &name, true, ALICE).await?;
        outcome.expect("BucketNotEmpty", Some("bucket.objects"));
        ensure!(counts.as_deref() == Some(&format!("{{\"{state}\": 1}}")), "{counts:?}");
        // Back, or usage would drift: a trashed one by the book.
        if state == "quarantined" {
            client.execute("update holdfast.version set state = 'purging', due_at = now(), replaced_at = now() where id = $1", &[&it.version]).await?;
            client.execute("insert into holdfast.usage_delta (bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects) values ($1, 'alice', -10, -1, 10, 1)", &[&name]).await?;
        }
    }
    Ok(())
}

async fn a_bucket_ends_step_by_step(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let policy = json!({"visibility": "private", "writers": "owner", "readers": "owner",
                        "lifecycle": [{"id": "a", "expireAfterDays": 1}]});
    make(&client, "kelp", &policy, ALICE).await?;
    // One that never held anything needs no name twice.
    make(&client, "unused", &least(), ALICE).await?;
    delete(&client, "unused", false, ALICE).await?.0.ok();

    for key in ["a", "b", "c"] {
        let mut it = write(key);
        it.bucket = "kelp".into();
        it.store(&client).await?;
        let mut trash = Delete::of(key);
        trash.bucket = "kelp".into();
        trash.run(&client).await?.outcome.ok();
    }
    client
        .batch_execute(
            "select holdfast.purge(100, clock_timestamp() + interval '25 hours');
             select holdfast.purged(array(select id from holdfast.version where state = 'purging'), null)",
        )
        .await?;
    delete(&client, "kelp", true, ALICE).await?.0.ok();
    let mut late = write("late");
    late.bucket = "kelp".into();
    late.begin(&client).await?.expect("BucketNotActive", Some("bucket.state"));
    create(&client, "kelp", &policy, true, ALICE)
        .await?
        .0
        .expect("BucketNotActive", Some("bucket.state"));
    // Again is fine until the store is told.
    delete(&client, "kelp", true, ALICE).await?.0.ok();
    ensure!(
        !truth(&client, "forget_bucket", "kelp").await?,
        "it was forgotten before the store was told"
    );
    ensure!(truth(&client, "drop_bucket", "kelp").await?);
    ensure!(!truth(&client, "drop_bucket", "kelp").await?);
    delete(&client, "kelp", true, ALICE).await?.0.expect("BucketNotActive", Some("bucket.state"));
    ensure!(!truth(&client, "bucket_created", "kelp").await?);

    // A batch at a time.
    let forget = "select holdfast.forget_bucket('kelp', 2, null)";
    ensure!(!client.query_one(forget, &[]).await?.get::<_, bool>(0));
    ensure!(db.number("select count(*) from holdfast.object where bucket = 'kelp'").await? == 1);
    ensure!(client.query_one(forget, &[]).await?.get::<_, bool>(0));
    ensure!(client.query_one(forget, &[]).await?.get::<_, bool>(0));
    for table in [
        "object where bucket",
        "bucket where name",
        "usage_total where bucket",
        "usage_delta where bucket",
        "lifecycle_sweep where bucket",
    ] {
        ensure!(
            db.number(&format!("select count(*) from holdfast.{table} = 'kelp'")).await? == 0,
            "{table}"
        );
    }
    late.begin(&client).await?.expect("NoSuchBucket", Some("bucket"));
    Ok(())
}

async fn a_bucket_is_opened_again(db: Db) -> Result<()> {
    let client = db.connect().await?;
    make(&client, "kelp", &least(), ALICE).await?;
    ensure!(!truth(&client, "reopen_bucket", "kelp").await?, "it was open");
    delete(&client, "kelp", false, ALICE).await?.0.ok();
    ensure!(truth(&client, "reopen_bucket", "kelp").await?);
    let mut it = write("k");
    it.bucket = "kelp".into();
    it.begin(&client).await?.ok();
    ensure!(!truth(&client, "drop_bucket", "kelp").await?, "an open one was dropped");
    ensure!(it.abort(&client).await? == "ok");

    make(&client, "other", &least(), ALICE).await?;
    delete(&client, "other", false, ALICE).await?.0.ok();
    ensure!(truth(&client, "drop_bucket", "other").await?);
    ensure!(!truth(&client, "reopen_bucket", "other").await?, "a dropped one came back");
    Ok(())
}

/// Whoever begins beside a deletion either is refused, or keeps the bucket.
async fn a_deleted_bucket_loses_no_write_of_64(db: Db) -> Result<()> {
    let (mut kept, mut deleted) = (0, 0);
    for round in 0..12 {
        let name = format!("kelp-{round}");
        let client = db.connect().await?;
        make(&client, &name, &least(), ALICE).await?;
        let bucket = name.clone();
        let answers = db
            .at_once(CALLERS, move |index, client| {
                let bucket = bucket.clone();
                async move {
                    // The deletion comes in at another place each time.
                    if index == round * 5 {
                        let wait = if round % 2 == 0 { 300 * round as u64 } else { 0 };
                        tokio::time::sleep(std::time::Duration::from_micros(wait)).await;
                        return Ok((true, delete(&client, &bucket, true, ALICE).await?.0));
                    }
                    if round % 2 == 1 {
                        let wait = 4_000 * round as u64 + 100 * index as u64;
                        tokio::time::sleep(std::time::Duration::from_micros(wait)).await;
                    }
                    let mut it = write(&format!("k{index}"));
                    it.bucket = bucket;
                    let begun = it.begin(&client).await?;
                    if begun.outcome == "ok" {
                        it.commit(&client).await?.outcome.ok();
                    }
                    Ok((false, begun))
                }
            })
            .await?;
        let gone = answers.iter().any(|(is_delete, it)| *is_delete && it.outcome == "ok");
        let begun =
            answers.iter().filter(|(is_delete, it)| !is_delete && it.outcome == "ok").count();
        let refused = answers
            .iter()
            .filter(|(is_delete, it)| !is_delete && it.outcome == "BucketNotActive")
            .count();
        ensure!(begun + refused == CALLERS - 1, "{answers:?}");
        ensure!(!gone || begun == 0, "round {round}: deleted with {begun} writes in it");
        ensure!(
            gone || begun == CALLERS - 1,
            "round {round}: kept, and yet {refused} were refused"
        );
        let live = format!(
            "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id where v.state = 'live' and o.bucket = '{name}'"
        );
        ensure!(db.number(&live).await? == begun as i64);
        *if gone { &mut deleted } else { &mut kept } += 1;
    }
    println!("a deletion beside 64 writers: {deleted} deleted, {kept} kept");
    Ok(())
}

/// Many deletions, each with all its steps, beside many writers: a bucket that is gone held nothing.
async fn who_deletes_beside_64_uploads_loses_none(db: Db) -> Result<()> {
    make(&db.connect().await?, "kelp", &least(), ALICE).await?;
    let answers = db
        .at_once(CALLERS, |index, client| async move {
            if index % 4 == 0 {
                for _ in 0..10 {
                    if delete(&client, "kelp", true, ALICE).await?.0.outcome == "ok" {
                        // Half of the time the store holds something.
                        if index % 8 == 0 {
                            truth(&client, "reopen_bucket", "kelp").await?;
                        } else if truth(&client, "drop_bucket", "kelp").await? {
                            return Ok(
                                u32::from(truth(&client, "forget_bucket", "kelp").await?) << 16
                            );
                        }
                    }
                }
                return Ok(0);
            }
            let mut committed = 0;
            for round in 0..10 {
                let mut it = write(&format!("k{index}-{round}"));
                it.bucket = "kelp".into();
                if it.begin(&client).await?.outcome == "ok" {
                    it.commit(&client).await?.outcome.ok();
                    committed += 1;
                }
            }
            Ok(committed)
        })
        .await?;
    let committed: u32 = answers.iter().map(|it| it & 0xffff).sum();
    let gone = answers.iter().filter(|it| **it >= 1 << 16).count();
    let live = db.number("select count(*) from holdfast.version where state = 'live'").await?;
    ensure!(live == i64::from(committed), "{committed} were committed, {live} are there");
    ensure!(gone <= 1 && (gone == 0 || committed == 0), "{gone} {committed}");
    Ok(())
}

async fn the_worker_takes_over_what_was_left(db: Db) -> Result<()> {
    let client = db.connect().await?;
    create(&client, "made", &least(), false, ALICE).await?.0.ok();
    for name in ["closed", "dropped", "open"] {
        make(&client, name, &least(), ALICE).await?;
    }
    delete(&client, "closed", false, ALICE).await?.0.ok();
    delete(&client, "dropped", false, ALICE).await?.0.ok();
    ensure!(truth(&client, "drop_bucket", "dropped").await?);
    let due = async |minutes: i32| -> Result<Vec<String>> {
        let sql = "select bucket || ' ' || state from holdfast.due_buckets(10, clock_timestamp() + $1::int4 * interval '1 minute') order by 1";
        Ok(client.query(sql, &[&minutes]).await?.iter().map(|row| row.get(0)).collect())
    };
    ensure!(due(0).await?.is_empty(), "their makers are at it");
    // What the store was told may arrive for ten minutes.
    ensure!(due(2).await? == ["closed deleting", "made creating"]);
    ensure!(due(2).await?.is_empty(), "claimed twice");
    ensure!(due(11).await? == ["dropped dropping"]);
    Ok(())
}

async fn a_name_is_used_anew(db: Db) -> Result<()> {
    let client = db.connect().await?;
    make(
        &client,
        "kelp",
        &json!({"visibility": "private", "writers": "authenticated", "readers": "owner"}),
        ALICE,
    )
    .await?;
    let token = "select outcome from holdfast.create_token(gen_random_uuid(), decode(repeat('ab', 32), 'hex'), 'kelp', '', 3600, null, null, null, 'bob', '{}', null, null, null, null)";
    ensure!(client.query_one(token, &[]).await?.get::<_, &str>(0) == "ok");
    delete(&client, "kelp", false, ALICE).await?.0.ok();
    ensure!(
        truth(&client, "drop_bucket", "kelp").await?
            && truth(&client, "forget_bucket", "kelp").await?
    );
    ensure!(
        db.number("select count(*) from holdfast.\"grant\"").await? == 0,
        "a token for another bucket is left"
    );
    make(&client, "kelp", &least(), BOB).await?;
    delete(&client, "kelp", false, BOB).await?.0.ok();
    Ok(())
}

async fn grants_ask_whether_one_may_share(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let policy = |sharers: Value| json!({"visibility": "private", "writers": "authenticated", "readers": "authenticated", "sharers": sharers});
    make(&client, "kelp", &policy(Value::Null), ("boss", &[])).await?;
    let mut it = write("k");
    it.bucket = "kelp".into();
    it.store(&client).await?;
    let shares = async |sub: &str, roles: &[&str]| -> Result<[String; 3]> {
        let presign = "select outcome || coalesce(' ' || rule, '') from holdfast.presign(jsonb_build_array(jsonb_build_object('id', gen_random_uuid(), \
            'method', 'GET', 'bucket', 'kelp', 'key', 'k', 'seconds', 60)), $1, $2, null, null, null, null)";
        let share = "select outcome || coalesce(' ' || rule, '') from holdfast.create_share(gen_random_uuid(), sha256(gen_random_uuid()::text::bytea), \
            'kelp', 'k', null, 60, null, null, $1, $2, null, null, null, null)";
        let token = "select outcome || coalesce(' ' || rule, '') from holdfast.create_token(gen_random_uuid(), sha256(gen_random_uuid()::text::bytea), \
            'kelp', '', 60, null, null, null, $1, $2, null, null, null, null)";
        let mut said = [const { String::new() }; 3];
        for (said, sql) in said.iter_mut().zip([presign, share, token]) {
            *said = client.query_one(sql, &[&sub, &roles]).await?.get(0);
        }
        Ok(said)
    };
    let set = async |sharers: Value| -> Result<()> {
        client
            .execute(
                "update holdfast.bucket set policy = $1::text::jsonb where name = 'kelp'",
                &[&policy(sharers).to_string()],
            )
            .await?;
        Ok(())
    };
    const OK: [&str; 3] = ["ok", "ok", "ok"];
    const NO: [&str; 3] = [
        "AccessDenied policy.sharers",
        "AccessDenied policy.sharers",
        "AccessDenied policy.sharers",
    ];
    for (sharers, alice, bob, editor, boss) in [
        (Value::Null, OK, OK, OK, OK),
        (json!("authenticated"), OK, OK, OK, OK),
        // A token is for a bucket, which is nobody's but boss's.
        (json!("owner"), ["ok", "ok", NO[0]], NO, NO, OK),
        (json!({"roles": ["editor"]}), ["ok", "ok", NO[0]], NO, OK, OK),
        (json!({"users": ["bob"]}), ["ok", "ok", NO[0]], OK, NO, OK),
    ] {
        set(sharers.clone()).await?;
        for (sub, roles, expected) in [
            ("alice", &[][..], alice),
            ("bob", &[], bob),
            ("carol", &["editor"], editor),
            ("boss", &[], boss),
            ("root", &["admin"], OK),
        ] {
            ensure!(
                shares(sub, roles).await? == expected,
                "{sharers} {sub}: {:?}",
                shares(sub, roles).await?
            );
        }
    }

    // What was given before ends with the right to give it.
    set(Value::Null).await?;
    let id: uuid::Uuid = client
        .query_one("select id from holdfast.presign(jsonb_build_array(jsonb_build_object('id', gen_random_uuid(), 'method', 'GET', \
            'bucket', 'kelp', 'key', 'k', 'seconds', 60)), 'bob', '{}', null, null, null, null)", &[])
        .await?
        .get(0);
    let used = "select outcome || coalesce(' ' || rule, '') from holdfast.resolve('kelp', 'k', null, '', '{}', null, null, $1)";
    ensure!(client.query_one(used, &[&id]).await?.get::<_, &str>(0) == "ok");
    set(json!("owner")).await?;
    ensure!(client.query_one(used, &[&id]).await?.get::<_, &str>(0) == NO[0]);
    Ok(())
}

async fn objects_have_a_quota_that_64_keep(db: Db) -> Result<()> {
    db.bucket("kelp", "system", r#"{"quotaObjects": 10}"#).await?;
    let at = |key: String| {
        let mut it = write(&key);
        it.bucket = "kelp".into();
        it
    };
    let answers = db
        .at_once(CALLERS, move |index, client| async move {
            let it = at(format!("k{index}"));
            let begun = it.begin(&client).await?;
            if begun.outcome == "ok" {
                it.commit(&client).await?.outcome.ok();
            } else {
                begun.expect("QuotaExceeded", Some("policy.quotaObjects"));
            }
            Ok(begun.outcome == "ok")
        })
        .await?;
    ensure!(answers.iter().filter(|it| **it).count() == 10);
    let client = db.connect().await?;
    // One that is there may be written anew, and one that goes makes room; what is in the trash is none.
    let there = answers.iter().position(|it| *it).expect("one of them");
    at(format!("k{there}")).store(&client).await?;
    at("another".into()).begin(&client).await?.expect("QuotaExceeded", Some("policy.quotaObjects"));
    let overwriting = at(format!("k{there}"));
    overwriting.begin(&client).await?.ok();
    let mut trash = Delete::of(&format!("k{there}"));
    trash.bucket = "kelp".into();
    trash.run(&client).await?.outcome.ok();
    // Its place is that of the write that is under way.
    at("another".into()).begin(&client).await?.expect("QuotaExceeded", Some("policy.quotaObjects"));
    overwriting.commit(&client).await?.outcome.ok();
    ensure!(db.number("select live_objects from holdfast.usage('kelp', null)").await? == 10);
    trash.run(&client).await?.outcome.ok();
    at("another".into()).store(&client).await
}

async fn the_trash_has_its_own_time(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for (policy, replaced, trashed) in [
        (r#"{"retentionHours": 48}"#, 48, 48),
        (r#"{"retentionHours": 48, "trashHours": 72}"#, 48, 72),
        (r#"{"retentionHours": 72, "trashHours": 30}"#, 72, 30),
        (r#"{"trashHours": 1}"#, 24, 24),
        (r#"{"trashHours": 96}"#, 24, 96),
    ] {
        let sql = "select (extract(epoch from holdfast.keep_until($1::text::jsonb, to_timestamp(0), null, $2)) / 3600)::int4";
        for (state, hours) in
            [("superseded", replaced), ("trashed", trashed), ("purging", replaced)]
        {
            let kept: i32 = client.query_one(sql, &[&policy, &state]).await?.get(0);
            ensure!(kept == hours, "{policy} {state}: {kept}");
        }
    }
    // And the worker keeps to it.
    db.bucket("kelp", "system", r#"{"retentionHours": 24, "trashHours": 72}"#).await?;
    for key in ["replaced", "replaced", "trashed"] {
        let mut it = write(key);
        it.bucket = "kelp".into();
        it.store(&client).await?;
    }
    let mut trash = Delete::of("trashed");
    trash.bucket = "kelp".into();
    trash.run(&client).await?.outcome.ok();
    // A policy that was shorter when they were replaced.
    client
        .batch_execute(
            "update holdfast.version set due_at = now() where state in ('superseded', 'trashed')",
        )
        .await?;
    for (hours, purged) in [(23, 0), (25, 1), (71, 0), (73, 1)] {
        let sql = format!(
            "select count(*) from holdfast.purge(10, clock_timestamp() + interval '{hours} hours')"
        );
        ensure!(db.number(&sql).await? == purged, "{hours}");
        client.batch_execute("select holdfast.purged(array(select id from holdfast.version where state = 'purging'), null)").await?;
    }
    Ok(())
}
