//! API keys: who may make, see and end them, and whom they stand for.

use crate::harness::{Db, Outcome, Suite};
use anyhow::{Result, ensure};
use tokio_postgres::Client;
use uuid::Uuid;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_key_stands_for_its_owner_until_it_ends", a_key_stands_for_its_owner_until_it_ends);
    suite.add("who_may_make_which_key", who_may_make_which_key);
    suite.add("keys_are_seen_and_revoked_by_their_owner_and_admins", seen_and_revoked);
    suite.add("callers_at_once_make_no_more_keys_than_there_may_be", no_more_than_there_may_be);
    suite.add("bad_keys_fill_no_table", bad_keys_fill_no_table);
    suite.add("keys_that_ended_long_ago_are_retired", long_ago);
}

/// Who asks: name, roles, scopes.
type Who = (&'static str, &'static str, Option<&'static str>);

const ALICE: Who = ("alice", "{}", None);
const BOB: Who = ("bob", "{}", None);
const ADMIN: Who = ("root", "{admin,auditor}", None);

const HASH: [u8; 32] = [7; 32];

/// Makes a key of `owner` that lives a minute; its scopes are `{upload}`.
async fn create(client: &Client, id: Uuid, who: Who, owner: &str, roles: &str) -> Result<Outcome> {
    let (sub, own_roles, scopes) = who;
    let row = client
        .query_one(
            "select outcome, rule from holdfast.create_key($1, $2, 'ci', $3, $4::text::text[], '{upload}', 60, $5, \
             $6::text::text[], $7::text::text[], '192.0.2.1', 'request', null)",
            &[&id, &HASH.as_slice(), &owner, &roles, &sub, &own_roles, &scopes],
        )
        .await?;
    Ok(Outcome { outcome: row.get(0), rule: row.get(1) })
}

/// The outcome and the principal, `after` so many seconds.
async fn authenticate(client: &Client, id: Uuid, hash: &[u8], after: f64) -> Result<String> {
    let row = client
        .query_one(
            "select concat_ws(' ', outcome, rule, sub, roles::text, scopes::text) from holdfast.authenticate_key(\
             $1, $2, '192.0.2.1', 'request', clock_timestamp() + $3::float8 * interval '1 second')",
            &[&id, &hash, &after],
        )
        .await?;
    Ok(row.get(0))
}

async fn revoke(client: &Client, id: Uuid, (sub, roles, scopes): Who) -> Result<String> {
    let row = client
        .query_one(
            "select holdfast.revoke_key($1, $2, $3::text::text[], $4::text::text[], '192.0.2.1', 'request', null)",
            &[&id, &sub, &roles, &scopes],
        )
        .await?;
    Ok(row.get(0))
}

/// The ids of a page, or the refusal.
async fn list(
    client: &Client,
    owner: &str,
    before: Option<Uuid>,
    limit: i32,
    who: Who,
) -> Result<Result<Vec<Uuid>, String>> {
    let (sub, roles, scopes) = who;
    let rows = client
        .query(
            "select outcome, id from holdfast.list_keys($1, $2, $3, $4, $5::text::text[], $6::text::text[])",
            &[&owner, &before, &limit, &sub, &roles, &scopes],
        )
        .await?;
    match rows.first().map(|row| row.get::<_, String>(0)) {
        Some(outcome) if outcome != "ok" => Ok(Err(outcome)),
        _ => Ok(Ok(rows.iter().map(|row| row.get(1)).collect())),
    }
}

async fn audited(db: &Db, action: &str, actor: &str, outcome: &str) -> Result<i64> {
    db.number(&format!(
        "select coalesce(sum(count), 0) from holdfast.audit \
         where action = '{action}' and actor = '{actor}' and outcome = '{outcome}'"
    ))
    .await
}

async fn a_key_stands_for_its_owner_until_it_ends(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let id = Uuid::now_v7();
    create(&client, id, ALICE, "alice", "{}").await?.ok();
    ensure!(audited(&db, "key.create", "alice", "ok").await? == 1);
    ensure!(authenticate(&client, id, &HASH, 0.0).await? == "ok alice {} {upload}");
    ensure!(authenticate(&client, id, &HASH, 59.0).await? == "ok alice {} {upload}");
    let used = "select count(*) from holdfast.api_key where last_used_on is not null";
    ensure!(db.number(used).await? == 1);

    let mut other = HASH;
    other[31] ^= 1;
    for (hash, id) in [(&other[..], id), (&HASH[..31], id), (&[], id), (&HASH, Uuid::now_v7())] {
        ensure!(authenticate(&client, id, hash, 0.0).await? == "InvalidToken");
    }
    let sql = "select outcome from holdfast.authenticate_key($1, null, null, null, null)";
    ensure!(client.query_one(sql, &[&id]).await?.get::<_, String>(0) == "InvalidToken");
    ensure!(authenticate(&client, id, &HASH, 60.0).await? == "ExpiredToken");
    ensure!(audited(&db, "key.use", "alice", "ExpiredToken").await? == 1);
    ensure!(audited(&db, "key.use", "alice", "InvalidToken").await? == 0);

    ensure!(revoke(&client, id, ALICE).await? == "ok");
    ensure!(authenticate(&client, id, &HASH, 0.0).await? == "InvalidToken");
    // Revoked counts more than expired, and another secret more than both.
    ensure!(authenticate(&client, id, &HASH, 60.0).await? == "InvalidToken");
    ensure!(audited(&db, "key.use", "alice", "InvalidToken").await? == 2);
    ensure!(authenticate(&client, id, &other, 60.0).await? == "InvalidToken");
    ensure!(audited(&db, "key.use", "alice", "InvalidToken").await? == 2);
    Ok(())
}

async fn who_may_make_which_key(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let cases: &[(Who, &str, &str, Option<&str>)] = &[
        (ALICE, "alice", "{}", None),
        (("alice", "{}", Some("{admin}")), "alice", "{}", None),
        (("alice", "{}", Some("{upload,download,delete}")), "alice", "{}", Some("key.owner")),
        (("alice", "{}", Some("{}")), "alice", "{}", Some("key.owner")),
        (("", "{}", None), "", "{}", Some("key.owner")),
        (("", "{admin}", None), "alice", "{}", Some("key.owner")),
        (ALICE, "bob", "{}", Some("key.owner")),
        (("system", "{}", None), "system", "{}", Some("key.owner")),
        (ALICE, "alice", "{admin}", Some("key.roles")),
        // One's own role is not one's to hand on.
        (("alice", "{auditor}", None), "alice", "{auditor}", Some("key.roles")),
        (ADMIN, "bob", "{}", None),
        (ADMIN, "bob", "{auditor}", None),
        (ADMIN, "root", "{admin,auditor}", None),
        (ADMIN, "bob", "{admin,other}", Some("key.roles")),
        (("root", "{admin}", Some("{upload}")), "bob", "{}", Some("key.owner")),
    ];
    for (who, owner, roles, rule) in cases {
        let answer = create(&client, Uuid::now_v7(), *who, owner, roles).await?;
        let expected = if rule.is_some() { "AccessDenied" } else { "ok" };
        ensure!(
            (answer.outcome.as_str(), answer.rule.as_deref()) == (expected, *rule),
            "{who:?} {owner} {roles}: {answer:?}"
        );
    }
    ensure!(audited(&db, "key.create", "alice", "AccessDenied").await? == 5);
    Ok(())
}

async fn seen_and_revoked(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let id = Uuid::now_v7();
        create(&client, id, ALICE, "alice", "{}").await?.ok();
        ids.insert(0, id);
    }
    create(&client, Uuid::now_v7(), BOB, "bob", "{}").await?.ok();
    for who in [ALICE, ADMIN, ("alice", "{}", Some("{admin}"))] {
        ensure!(list(&client, "alice", None, 10, who).await? == Ok(ids.clone()), "{who:?}");
        ensure!(list(&client, "alice", None, 2, who).await? == Ok(ids[..2].to_vec()));
        ensure!(list(&client, "alice", Some(ids[1]), 10, who).await? == Ok(ids[2..].to_vec()));
    }
    let strangers: [Who; 4] = [
        BOB,
        ("", "{}", None),
        ("alice", "{}", Some("{download}")),
        ("root", "{admin}", Some("{download}")),
    ];
    for who in strangers {
        let refused = Err("AccessDenied".to_owned());
        ensure!(list(&client, "alice", None, 10, who).await? == refused, "{who:?}");
        ensure!(revoke(&client, ids[0], who).await? == "NoSuchApiKey", "{who:?}");
        ensure!(revoke(&client, Uuid::now_v7(), who).await? == "NoSuchApiKey", "{who:?}");
    }
    ensure!(authenticate(&client, ids[0], &HASH, 0.0).await?.starts_with("ok"));
    ensure!(audited(&db, "key.revoke", "bob", "NoSuchApiKey").await? == 2);

    for _ in 0..2 {
        ensure!(revoke(&client, ids[0], ALICE).await? == "ok");
        ensure!(revoke(&client, ids[1], ADMIN).await? == "ok");
    }
    ensure!(audited(&db, "key.revoke", "alice", "ok").await? == 1);
    ensure!(audited(&db, "key.revoke", "root", "ok").await? == 1);
    let revoked = "select count(*) from holdfast.api_key where revoked_by in ('alice', 'root')";
    ensure!(db.number(revoked).await? == 2);
    ensure!(list(&client, "alice", None, 10, ALICE).await? == Ok(ids), "revoked ones are listed");
    Ok(())
}

async fn no_more_than_there_may_be(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let mut first = Uuid::nil();
    for _ in 0..90 {
        first = Uuid::now_v7();
        create(&client, first, ALICE, "alice", "{}").await?.ok();
    }
    let answers = db
        .at_once(64, |_, client| async move {
            create(&client, Uuid::now_v7(), ALICE, "alice", "{}").await
        })
        .await?;
    let made = answers.iter().filter(|answer| answer.outcome == "ok").count();
    ensure!(made == 10, "{made}");
    let refused = answers.iter().find(|answer| answer.outcome != "ok").expect("54 of them");
    refused.expect("QuotaExceeded", Some("owner.keys"));
    // What is revoked makes room; others have room of their own.
    ensure!(revoke(&client, first, ALICE).await? == "ok");
    create(&client, Uuid::now_v7(), ALICE, "alice", "{}").await?.ok();
    create(&client, Uuid::now_v7(), BOB, "bob", "{}").await?.ok();
    Ok(())
}

async fn bad_keys_fill_no_table(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for _ in 0..200 {
        ensure!(authenticate(&client, Uuid::now_v7(), &HASH, 0.0).await? == "InvalidToken");
    }
    ensure!(audited(&db, "key.use", "", "InvalidToken").await? == 200);
    let rows = db.number("select count(*) from holdfast.audit").await?;
    // Two where a minute ended in between.
    ensure!(rows <= 2, "{rows} rows");
    Ok(())
}

async fn long_ago(db: Db) -> Result<()> {
    const DAY: i64 = 24 * 3600;
    let client = db.connect().await?;
    let (expired, revoked, living) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    for id in [expired, revoked, living] {
        create(&client, id, ALICE, "alice", "{}").await?.ok();
    }
    let longer =
        "update holdfast.api_key set expires_at = expires_at + interval '90 days' where id <> $1";
    client.execute(longer, &[&expired]).await?;
    ensure!(revoke(&client, revoked, ALICE).await? == "ok");
    let rows = db.number("select count(*) from holdfast.audit").await?;
    let retire = async |after: i64| {
        db.number(&format!("holdfast.retire(100, clock_timestamp() + interval '{after} seconds')"))
            .await
    };
    ensure!(retire(30 * DAY - 60).await? == 0);
    // Each from its own end on: the expired one lived a minute.
    ensure!(retire(30 * DAY + 30).await? == 1);
    ensure!(authenticate(&client, revoked, &HASH, 0.0).await? == "InvalidToken");
    ensure!(retire(30 * DAY + 90).await? == 1);
    ensure!(list(&client, "alice", None, 10, ALICE).await? == Ok(vec![living]));
    // What was done with them stays written down.
    ensure!(db.number("select count(*) from holdfast.audit where at is not null").await? >= rows);
    ensure!(audited(&db, "key.create", "alice", "ok").await? == 3);
    ensure!(audited(&db, "key.revoke", "alice", "ok").await? == 1);
    Ok(())
}
