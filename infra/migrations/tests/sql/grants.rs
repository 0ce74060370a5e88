//! Grants: signed URLs, presigned PUTs, and who may make and end them.

use crate::harness::{Db, Suite, write};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_signed_url_reads_as_its_creator_until_it_ends", reads_as_its_creator);
    suite.add("a_batch_refuses_one_and_grants_the_rest", batch);
    suite.add("a_cacheable_url_is_the_same_within_its_window", cacheable);
    suite.add("a_direct_url_pins_its_version", direct);
    suite.add("a_policy_caps_what_is_signed", caps);
    suite.add("a_presigned_put_outlives_its_url_and_is_bounded", puts);
    suite.add("batches_at_once_do_not_wait_for_each_other", at_once);
    suite.add("batches_for_many_owners_do_not_deadlock_on_their_quotas", owners_at_once);
    suite.add("grants_are_listed_and_revoked_by_whom_they_concern", revoked);
}

/// Who asks: name, roles, scopes.
type Who = (&'static str, &'static str, Option<&'static str>);

const ALICE: Who = ("alice", "{}", None);
const BOB: Who = ("bob", "{}", None);
const ADMIN: Who = ("root", "{admin}", None);

/// An element for reading `key` of documents, for a minute.
fn get(key: &str) -> Value {
    json!({"id": Uuid::now_v7().to_string(), "method": "GET", "bucket": "documents", "key": key, "seconds": 60})
}

/// An element for writing ten bytes there.
fn put(key: &str) -> Value {
    let id = Uuid::now_v7();
    json!({"id": id.to_string(), "method": "PUT", "bucket": "documents", "key": key, "seconds": 60,
           "s3Key": format!("hf/2026/11/24/{id}"), "size": 10, "contentType": "text/plain"})
}

fn with(mut element: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().into_iter().flatten() {
        element[name] = value.clone();
    }
    element
}

/// Rows in the order of the elements, `after` so many seconds.
async fn presign(
    client: &Client,
    asked: &[Value],
    (sub, roles, scopes): Who,
    after: f64,
) -> Result<Vec<Row>> {
    let sql = "select * from holdfast.presign($1, $2, $3::text::text[], $4::text::text[], '192.0.2.1', 'request', \
               clock_timestamp() + $5::float8 * interval '1 second') order by place";
    Ok(client.query(sql, &[&json!(asked), &sub, &roles, &scopes, &after]).await?)
}

fn outcome(row: &Row) -> String {
    let rule: Option<&str> = row.get("rule");
    match rule {
        Some(rule) => format!("{} {rule}", row.get::<_, &str>("outcome")),
        None => row.get("outcome"),
    }
}

async fn one(client: &Client, asked: Value, who: Who) -> Result<String> {
    Ok(outcome(&presign(client, &[asked], who, 0.0).await?[0]))
}

/// What `resolve` says to somebody who holds a grant.
async fn held(
    client: &Client,
    key: &str,
    version: Option<Uuid>,
    grant: Uuid,
    after: f64,
) -> Result<String> {
    let sql = "select concat_ws(' ', outcome, rule, visibility) from holdfast.resolve('documents', $1, $2, '', '{}', null, \
               clock_timestamp() + $3::float8 * interval '1 second', $4)";
    Ok(client.query_one(sql, &[&key, &version, &after, &grant]).await?.get(0))
}

async fn revoke(client: &Client, id: Uuid, (sub, roles, scopes): Who) -> Result<String> {
    let sql = "select concat_ws(' ', outcome, rule) from holdfast.revoke_grant($1, '{get,put}', $2, $3::text::text[], \
               $4::text::text[], '192.0.2.1', 'request', null)";
    Ok(client.query_one(sql, &[&id, &sub, &roles, &scopes]).await?.get(0))
}

async fn reads_as_its_creator(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    ensure!(one(&client, get("k"), BOB).await? == "NoSuchKey");
    ensure!(one(&client, get("k"), ("", "{}", None)).await? == "AccessDenied authentication");
    ensure!(one(&client, get("k"), ("alice", "{}", Some("{upload}"))).await? == "NoSuchKey");
    let rows = presign(&client, &[get("k")], ALICE, 0.0).await?;
    let id: Uuid = rows[0].get("id");
    ensure!(rows[0].get::<_, Option<Uuid>>("version").is_none());
    ensure!(held(&client, "k", None, id, 0.0).await? == "ok private");
    ensure!(held(&client, "other", None, id, 0.0).await? == "AccessDenied grant");
    ensure!(held(&client, "k", Some(id), id, 0.0).await? == "AccessDenied grant");
    ensure!(held(&client, "k", None, Uuid::now_v7(), 0.0).await? == "AccessDenied grant");
    ensure!(held(&client, "k", None, id, 61.0).await? == "AccessDenied grant.expired");
    // A new version is what it reads then.
    write("k").store(&client).await?;
    ensure!(held(&client, "k", None, id, 0.0).await? == "ok private");
    ensure!(revoke(&client, id, ALICE).await? == "ok");
    ensure!(held(&client, "k", None, id, 0.0).await? == "AccessDenied grant.revoked");
    ensure!(
        db.number(
            "select count(*) from holdfast.audit where action = 'presign.get' and ip = '192.0.2.1'"
        )
        .await?
            == 1
    );
    ensure!(
        db.number("select count(*) from holdfast.audit where action = 'get.revoke'").await? == 1
    );
    ensure!(db.number("select count(*) from holdfast.audit where action = 'presign' and actor = 'bob' and outcome = 'NoSuchKey'").await? == 1);
    Ok(())
}

async fn batch(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("b").store(&client).await?;
    let foreign = with(put("x"), &json!({"bucket": "nowhere"}));
    let unmet = with(put("n/new"), &json!({"ifMatch": "*"}));
    let asked = [put("z"), get("missing"), get("b"), foreign, put("a"), unmet];
    let rows = presign(&client, &asked, ALICE, 0.0).await?;
    let outcomes: Vec<_> = rows.iter().map(outcome).collect();
    ensure!(
        outcomes
            == [
                "ok",
                "NoSuchKey",
                "ok",
                "NoSuchBucket bucket",
                "ok",
                "PreconditionFailed if-match"
            ],
        "{outcomes:?}"
    );
    for (row, element) in rows.iter().zip(&asked) {
        let id: Option<Uuid> = row.get("id");
        ensure!(
            row.get::<_, &str>("outcome") != "ok"
                || id.map(|id| id.to_string()).as_deref() == element["id"].as_str(),
            "rows have their own places"
        );
    }
    // What was made for a refused one is gone.
    ensure!(db.number("select count(*) from holdfast.object where key = 'n/new'").await? == 0);
    ensure!(db.number("select count(*) from holdfast.audit where action = 'begin' and outcome = 'PreconditionFailed'").await? == 1);
    ensure!(
        db.number(
            "select count(*) from holdfast.audit where action = 'presign' and outcome = 'NoSuchKey'"
        )
        .await?
            == 1
    );
    Ok(())
}

async fn cacheable(db: Db) -> Result<()> {
    db.bucket("shared", "boss", r#"{"readers": "authenticated"}"#).await?;
    let client = db.connect().await?;
    let mut it = write("k");
    it.bucket = "shared".into();
    it.store(&client).await?;
    let asked = || with(get("k"), &json!({"bucket": "shared", "seconds": 3600, "cacheable": true}));
    // From the beginning of a window on.
    let now = db.number("select extract(epoch from clock_timestamp())").await? as f64;
    let start = (now / 900.0).ceil() * 900.0 - now + 5.0;
    let first = &presign(&client, &[asked()], ALICE, start).await?[0];
    let (id, ends): (Uuid, i64) = (first.get("id"), first.get("expires_s"));
    ensure!(ends % 900 == 0 && first.get::<_, Option<Uuid>>("version") == Some(it.version));
    let later = &presign(&client, &[asked()], BOB, start + 800.0).await?[0];
    let again = (later.get::<_, Uuid>("id"), later.get::<_, i64>("expires_s"));
    ensure!(again == (id, ends), "{again:?} {id} {ends} {now} {start}");
    let next = &presign(&client, &[asked()], ALICE, start + 1000.0).await?[0];
    ensure!(next.get::<_, Uuid>("id") != id && next.get::<_, i64>("expires_s") == ends + 900);
    let named = with(asked(), &json!({"download": "x"}));
    ensure!(presign(&client, &[named], ALICE, start).await?[0].get::<_, Uuid>("id") != id);
    // Another version, another URL; and none that was called back.
    ensure!(revoke(&client, id, ALICE).await? == "ok");
    ensure!(presign(&client, &[asked()], BOB, start).await?[0].get::<_, Uuid>("id") != id);
    Ok(())
}

async fn direct(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = write("k");
    it.store(&client).await?;
    let row = &presign(&client, &[with(get("k"), &json!({"direct": true}))], ALICE, 0.0).await?[0];
    ensure!(outcome(row) == "ok" && row.get::<_, Option<Uuid>>("version") == Some(it.version));
    ensure!(row.get::<_, &str>("content_type") == "text/plain");
    let pinned = "select count(*) from holdfast.version where pinned_until > clock_timestamp() + interval '950 seconds'";
    ensure!(db.number(pinned).await? == 1);
    ensure!(revoke(&client, row.get("id"), ALICE).await? == "NotRevocable grant.direct");
    // A shorter one takes nothing from the pin.
    let short = with(get("k"), &json!({"direct": true, "seconds": 1}));
    presign(&client, &[short], ALICE, 0.0).await?;
    ensure!(db.number(pinned).await? == 1);
    Ok(())
}

async fn caps(db: Db) -> Result<()> {
    db.bucket("capped", "boss", r#"{"maxPresignSeconds": 30, "directAllowed": false}"#).await?;
    let client = db.connect().await?;
    let mut it = write("k");
    it.bucket = "capped".into();
    it.store(&client).await?;
    let here = |element: Value, changes: Value| {
        with(with(element, &json!({"bucket": "capped"})), &changes)
    };
    for (element, expected) in [
        (here(get("k"), json!({})), "InvalidArgument policy.maxPresignSeconds"),
        (here(get("k"), json!({"seconds": 30})), "ok"),
        (
            here(get("k"), json!({"seconds": 30, "direct": true})),
            "AccessDenied policy.directAllowed",
        ),
        (here(put("k"), json!({"seconds": 30})), "AccessDenied policy.directAllowed"),
        (here(put("k"), json!({})), "InvalidArgument policy.maxPresignSeconds"),
    ] {
        let got = one(&client, element.clone(), ALICE).await?;
        ensure!(got == expected, "{element}: {got}");
    }
    // A stranger learns nothing of the policy.
    ensure!(one(&client, here(get("k"), json!({})), BOB).await? == "NoSuchKey");
    // Rounding does not lengthen it.
    let rounded = here(get("k"), json!({"seconds": 30, "cacheable": true}));
    let row = &presign(&client, &[rounded], ALICE, 0.0).await?[0];
    let now = db.number("select extract(epoch from clock_timestamp())").await?;
    ensure!(row.get::<_, i64>("expires_s") <= now + 30);
    for wrong in [r#"{"maxPresignSeconds": 0}"#, r#"{"directAllowed": "no"}"#] {
        ensure!(db.bucket("wrong", "boss", wrong).await.is_err(), "{wrong} is taken");
    }
    Ok(())
}

async fn open(client: &Client, id: Uuid) -> Result<String> {
    let sql = "select concat_ws(' ', outcome, rule, sub, bucket, key, size_bytes, content_type, repeated ->> 'version') \
               from holdfast.open_put($1, '192.0.2.1', 'request', null)";
    Ok(client.query_one(sql, &[&id]).await?.get(0))
}

async fn puts(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let row = &presign(&client, &[put("k")], ALICE, 0.0).await?[0];
    let id: Uuid = row.get("id");
    ensure!(row.get::<_, Option<Uuid>>("version") == Some(id));
    ensure!(open(&client, id).await? == "ok alice documents k 10 text/plain");
    ensure!(open(&client, Uuid::now_v7()).await? == "NoSuchUpload");
    let reap = async |after: f64| -> Result<usize> {
        let sql = "select version from holdfast.reap(100, clock_timestamp() + $1::float8 * interval '1 second')";
        Ok(client.query(sql, &[&after]).await?.len())
    };
    ensure!(reap(60.0 + 890.0).await? == 0, "reaped before the skew was over");
    let mut committing = write("k");
    committing.version = id;
    committing.commit(&client).await?.outcome.ok();
    ensure!(open(&client, id).await? == format!("ok alice documents k 10 text/plain {id}"));
    // Its blob stays as long as the URL could write it again.
    let pinned =
        "select count(*) from holdfast.version where state = 'live' and pinned_until is not null";
    ensure!(db.number(pinned).await? == 1);

    let other: Uuid = presign(&client, &[put("o")], ALICE, 0.0).await?[0].get("id");
    ensure!(revoke(&client, other, BOB).await? == "NoSuchGrant");
    ensure!(revoke(&client, other, ALICE).await? == "ok");
    ensure!(open(&client, other).await? == "NoSuchUpload");
    ensure!(reap(60.0 + 901.0).await? == 1);
    ensure!(open(&client, other).await? == "NoSuchUpload");

    // As many as there may be, and no more.
    for batch in 0..11 {
        let asked: Vec<_> = (0..100).map(|n| put(&format!("many/{batch}/{n}"))).collect();
        let rows = presign(&client, &asked, BOB, 0.0).await?;
        let expected = if batch < 10 { "ok" } else { "QuotaExceeded principal.openPuts" };
        ensure!(rows.iter().all(|row| outcome(row) == expected), "batch {batch}");
    }
    ensure!(one(&client, put("alice's"), ALICE).await? == "ok");
    Ok(())
}

/// Sixteen batches with the same keys, backwards and forwards, beside uploads of these keys, in a bucket with a quota.
async fn at_once(db: Db) -> Result<()> {
    db.bucket("narrow", "boss", r#"{"quotaBytes": 100000}"#).await?;
    let outcomes = db
        .at_once(24, async |index, client| {
            let mut outcomes = Vec::new();
            for round in 0..4 {
                if index % 3 == 0 {
                    let mut it = write(&format!("k{}", round * 3));
                    it.bucket = "narrow".into();
                    it.begin_and_commit(&client).await?;
                    continue;
                }
                let mut asked: Vec<_> = (0..10)
                    .flat_map(|n| {
                        let key = format!("k{n}");
                        [put(&key), with(get(&key), &json!({"direct": true}))]
                    })
                    .map(|element| with(element, &json!({"bucket": "narrow"})))
                    .collect();
                if index % 2 == 0 {
                    asked.reverse();
                }
                let rows = presign(&client, &asked, ALICE, 0.0).await?;
                outcomes.extend(rows.iter().map(outcome));
            }
            Ok(outcomes)
        })
        .await?;
    let all: Vec<_> = outcomes.into_iter().flatten().collect();
    let open = all.iter().filter(|it| *it == "ok").count();
    ensure!(open > 640, "{open} granted");
    ensure!(all.iter().all(|it| ["ok", "NoSuchKey"].contains(&it.as_str())), "{all:?}");
    Ok(())
}

/// An admin's batches, whose keys have the owners in one order and in the other.
async fn owners_at_once(db: Db) -> Result<()> {
    db.bucket("owners", "boss", r#"{"ownerQuotaBytes": 1000000}"#).await?;
    let client = db.connect().await?;
    for (n, owner) in ["ann", "bea", "cid", "dan"].into_iter().enumerate() {
        for (key, place) in [("a", n), ("b", 3 - n)] {
            let mut it = write(&format!("{key}/{place}"));
            (it.bucket, it.sub) = ("owners".into(), owner.into());
            it.store(&client).await?;
        }
    }
    let outcomes = db
        .at_once(16, async |index, client| {
            let mut outcomes = Vec::new();
            // Of two admins, or the bound on one's open PUTs would make them wait for each other.
            let who = if index % 2 == 0 { ADMIN } else { ("admin", "{admin}", None) };
            for _ in 0..8 {
                let asked: Vec<_> = (0..4)
                    .map(|n| put(&format!("{}/{n}", if index % 2 == 0 { "a" } else { "b" })))
                    .map(|element| with(element, &json!({"bucket": "owners"})))
                    .collect();
                outcomes.extend(presign(&client, &asked, who, 0.0).await?.iter().map(outcome));
            }
            Ok(outcomes)
        })
        .await?;
    let all: Vec<_> = outcomes.into_iter().flatten().collect();
    ensure!(all.len() == 512 && all.iter().all(|it| it == "ok"), "{all:?}");
    Ok(())
}

async fn revoked(db: Db) -> Result<()> {
    db.bucket("shared", "boss", r#"{"readers": "authenticated"}"#).await?;
    let client = db.connect().await?;
    let mut it = write("k");
    it.bucket = "shared".into();
    it.store(&client).await?;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let asked = with(get("k"), &json!({"bucket": "shared"}));
        ids.push(presign(&client, &[asked], BOB, 0.0).await?[0].get::<_, Uuid>("id"));
    }
    ids.reverse();
    let list = async |bucket: Option<&str>,
                      before: Option<Uuid>,
                      limit: i32,
                      who: Who|
           -> Result<Vec<Option<Uuid>>> {
        let sql = "select id from holdfast.list_grants('{get,put}', $1, $2, $3, $4, $5::text::text[], $6::text::text[], null)";
        let rows = client.query(sql, &[&bucket, &before, &limit, &who.0, &who.1, &who.2]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    };
    let some = |ids: &[Uuid]| ids.iter().copied().map(Some).collect::<Vec<_>>();
    ensure!(list(None, None, 10, BOB).await? == some(&ids));
    ensure!(list(None, Some(ids[0]), 1, BOB).await? == some(&ids[1..2]));
    ensure!(list(None, None, 10, ALICE).await?.is_empty());
    ensure!(list(Some("shared"), None, 10, ALICE).await? == [None], "a refusal");
    ensure!(list(Some("shared"), None, 10, ("boss", "{}", None)).await? == some(&ids));
    ensure!(list(Some("shared"), None, 10, ADMIN).await? == some(&ids));

    for (id, who, expected) in [
        (ids[0], ALICE, "NoSuchGrant"),
        (ids[0], ("", "{}", None), "NoSuchGrant"),
        (Uuid::now_v7(), BOB, "NoSuchGrant"),
        (ids[0], BOB, "ok"),
        (ids[0], BOB, "ok"),
        (ids[1], ("boss", "{}", None), "ok"),
        (ids[2], ADMIN, "ok"),
    ] {
        ensure!(revoke(&client, id, who).await? == expected, "{id} {who:?}");
    }
    ensure!(
        db.number("select count(*) from holdfast.audit where action = 'get.revoke'").await? == 3
    );
    // Forgotten when it is long over.
    ensure!(
        db.number("select holdfast.retire(100, clock_timestamp() + interval '29 days')").await?
            == 0
    );
    db.number("select holdfast.retire(100, clock_timestamp() + interval '31 days')").await?;
    ensure!(db.number("select count(*) from holdfast.\"grant\"").await? == 0);
    Ok(())
}
