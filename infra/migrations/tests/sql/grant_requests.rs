//! Presign, shares and tokens under an idempotency key: one answer, whoever asks for it how often.

use crate::harness::{Db, Suite, write};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

const CALLERS: usize = 64;
const DAY: f64 = 24.0 * 3600.0;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_repeated_presign_gets_the_first_answer", presign_again);
    suite.add("a_repeated_link_or_token_is_the_first_one", held_again);
    suite.add("a_grant_key_of_another_request_is_refused", reused);
    suite.add("a_refused_request_for_grants_takes_no_key", refused);
    suite.add("a_repeat_gives_nothing_that_the_caller_may_not_have", not_any_more);
    suite.add("one_grant_key_by_64_is_one_grant", by_many);
    suite.add("grant_keys_are_forgotten_after_a_day", forgotten);
}

fn get(key: &str) -> Value {
    json!({"id": Uuid::now_v7().to_string(), "method": "GET", "bucket": "documents", "key": key, "seconds": 60})
}

fn put(key: &str) -> Value {
    let id = Uuid::now_v7();
    json!({"id": id.to_string(), "method": "PUT", "bucket": "documents", "key": key, "seconds": 60,
           "s3Key": format!("hf/2026/11/24/{id}"), "size": 10, "contentType": "text/plain"})
}

/// Presigns as `sub` under `key`, signed at `signed`; each row as text.
async fn presign(
    client: &Client,
    asked: &[Value],
    sub: &str,
    (key, fingerprint): (&str, &str),
    signed: i64,
) -> Result<Vec<String>> {
    let sql = "select concat_ws(' ', place, outcome, rule, id, expires_s, version, s3_key, content_type, signed_s, repeated) \
               from holdfast.presign($1, $2, '{}', null, '192.0.2.1', 'request', null, $3, $4, $5) order by place";
    let rows = client.query(sql, &[&json!(asked), &sub, &key, &fingerprint, &signed]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Makes a share of `documents/{path}` or a token for it: outcome, rule, id, hash and ends, and whether it is a repeat.
async fn hold(
    client: &Client,
    kind: &str,
    path: &str,
    sub: &str,
    (key, fingerprint): (&str, &str),
) -> Result<(String, bool)> {
    let call = match kind {
        "share" => "create_share($1, sha256(uuid_send($1)), 'documents', $2, null, 60, null, null",
        _ => "create_token($1, sha256(uuid_send($1)), 'documents', $2, 60, null, null, null",
    };
    let sql = format!(
        "select concat_ws(' ', outcome, rule, id, encode(hash, 'hex'), created_at_us, expires_at_us), repeated \
         from holdfast.{call}, $3, '{{}}', null, '192.0.2.1', 'request', null, $4, $5)"
    );
    let id = Uuid::now_v7();
    let row = client.query_one(&sql, &[&id, &path, &sub, &key, &fingerprint]).await?;
    Ok((row.get(0), row.get(1)))
}

const GRANTS: &str = "select count(*) from holdfast.\"grant\"";
const KEYS: &str = "select count(*) from holdfast.grant_request";

async fn presign_again(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    let asked = || [get("k"), put("new"), get("missing"), direct("k")];
    let first = presign(&client, &asked(), "alice", ("key", "print"), 1_000).await?;
    ensure!(first[2].starts_with("2 NoSuchKey"), "{first:?}");
    // A version that is replaced, a URL that is called back: the answer stays.
    write("k").store(&client).await?;
    client
        .execute("update holdfast.\"grant\" set revoked_at = now(), revoked_by = 'alice'", &[])
        .await?;
    let again = presign(&client, &asked(), "alice", ("key", "print"), 2_000).await?;
    let repeated: Vec<_> =
        first.iter().map(|row| format!("{}t", row.strip_suffix('f').unwrap_or_default())).collect();
    ensure!(again == repeated, "{again:?} {first:?}");
    ensure!(db.number(GRANTS).await? == 3);
    let live = "select count(*) from holdfast.\"grant\" where revoked_at is null";
    ensure!(db.number(live).await? == 0, "a repeat has revived a grant");
    ensure!(db.number("select count(*) from holdfast.version where state = 'pending'").await? == 1);
    // Without a key, and under another one, it is another request.
    let other = presign(&client, &asked(), "alice", ("other", "print"), 2_000).await?;
    ensure!(other[0] != first[0] && db.number(GRANTS).await? == 6);
    Ok(())
}

fn direct(key: &str) -> Value {
    let mut element = get(key);
    element["direct"] = true.into();
    element
}

async fn held_again(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    for kind in ["share", "token"] {
        let (first, repeated) = hold(&client, kind, "k", "alice", (kind, "print")).await?;
        ensure!(first.starts_with("ok ") && !repeated, "{first}");
        client
            .execute("update holdfast.\"grant\" set revoked_at = now(), revoked_by = 'alice'", &[])
            .await?;
        ensure!(hold(&client, kind, "k", "alice", (kind, "print")).await? == (first, true));
        let made = format!("select count(*) from holdfast.audit where action = '{kind}.create'");
        ensure!(db.number(&made).await? == 1);
        // Bob's key of the same name is another one.
        let (his, _) = hold(&client, kind, "k", "bob", (kind, "print")).await?;
        ensure!(his.starts_with(if kind == "share" { "NoSuchKey" } else { "ok " }), "{his}");
    }
    let live =
        "select count(*) from holdfast.\"grant\" where revoked_at is null and created_by = 'alice'";
    ensure!(db.number(live).await? == 0, "a repeat has revived a grant");
    Ok(())
}

async fn reused(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    presign(&client, &[get("k")], "alice", ("key", "print"), 0).await?;
    let again = presign(&client, &[get("k")], "alice", ("key", "another"), 0).await?;
    ensure!(again == ["-1 IdempotencyKeyReused idempotency-key 0 f"], "{again:?}");
    for kind in ["share", "token"] {
        let (refused, _) = hold(&client, kind, "k", "alice", ("key", kind)).await?;
        ensure!(refused == "IdempotencyKeyReused idempotency-key", "{refused}");
    }
    ensure!(db.number(GRANTS).await? == 1);
    let told = "select count(*) from holdfast.audit where outcome = 'IdempotencyKeyReused' and actor = 'alice'";
    ensure!(db.number(told).await? == 3);
    Ok(())
}

async fn refused(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let nothing = [get("k"), get("missing")];
    presign(&client, &nothing, "alice", ("key", "print"), 0).await?;
    hold(&client, "share", "k", "alice", ("key", "print")).await?;
    ensure!(db.number(KEYS).await? == 0);
    // What may be had by now is given.
    write("k").store(&client).await?;
    let rows = presign(&client, &nothing, "alice", ("key", "another"), 0).await?;
    ensure!(rows[0].starts_with("0 ok"), "{rows:?}");
    let nobody = presign(&client, &nothing, "", ("key", "another"), 0).await?;
    ensure!(nobody[0].starts_with("0 AccessDenied authentication"), "{nobody:?}");
    Ok(())
}

async fn not_any_more(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    let asked = || [get("k"), put("k"), direct("k")];
    presign(&client, &asked(), "alice", ("urls", "print"), 0).await?;
    hold(&client, "share", "k", "alice", ("share", "print")).await?;
    hold(&client, "token", "", "alice", ("token", "print")).await?;
    // A narrower token of the same person.
    let scopes = "select concat_ws(' ', outcome, rule, id) from holdfast.presign($1, 'alice', '{}', '{delete}', '', '', null, \
                  'urls', 'print', 0)";
    let rows = client.query(scopes, &[&json!(asked())]).await?;
    let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    ensure!(rows.iter().all(|row| !row.starts_with("ok")), "{rows:?}");
    // Somebody else's by now.
    client.execute("update holdfast.object set owner = 'bob'", &[]).await?;
    client.execute("update holdfast.version set owner = 'bob'", &[]).await?;
    client.execute("update holdfast.usage_delta set owner = 'bob'", &[]).await?;
    let rows = presign(&client, &asked(), "alice", ("urls", "print"), 0).await?;
    ensure!(rows[0].starts_with("0 NoSuchKey") && rows[2].starts_with("2 NoSuchKey"), "{rows:?}");
    ensure!(rows[1].starts_with("1 AccessDenied object.owner"), "{rows:?}");
    let (share, _) = hold(&client, "share", "k", "alice", ("share", "print")).await?;
    ensure!(share == "NoSuchKey", "{share}");
    client
        .execute(
            "update holdfast.bucket set policy = policy || '{\"writers\": \"owner\"}' where name = 'documents'",
            &[],
        )
        .await?;
    let (token, _) = hold(&client, "token", "", "alice", ("token", "print")).await?;
    ensure!(token == "AccessDenied bucket.write", "{token}");
    Ok(())
}

async fn by_many(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    let urls = db
        .at_once(CALLERS, async |number, client| {
            let asked = [get("k"), put(&format!("new/{}", number % 2))];
            let print = if number % 2 == 0 { "even" } else { "odd" };
            Ok((number % 2, presign(&client, &asked, "alice", ("urls", print), 7).await?))
        })
        .await?;
    let good: Vec<_> = urls.iter().filter(|(_, rows)| rows.len() == 2).collect();
    ensure!(good.len() == CALLERS / 2, "{} of one kind", good.len());
    ensure!(good.iter().all(|(kind, _)| *kind == good[0].0));
    ensure!(good.iter().filter(|(_, rows)| rows[0].ends_with('f')).count() == 1);
    let same = |row: &str| row.trim_end_matches(['t', 'f']).to_owned();
    ensure!(good.iter().all(|(_, rows)| same(&rows[1]) == same(&good[0].1[1])));
    ensure!(db.number(GRANTS).await? == 2);
    ensure!(db.number("select count(*) from holdfast.version").await? == 2);

    for kind in ["share", "token"] {
        let answers = db
            .at_once(CALLERS, async move |_, client| {
                hold(&client, kind, "k", "alice", (kind, "print")).await
            })
            .await?;
        ensure!(answers.iter().filter(|(_, repeated)| !repeated).count() == 1);
        ensure!(answers.windows(2).all(|pair| pair[0].0 == pair[1].0), "{answers:?}");
    }
    ensure!(db.number(GRANTS).await? == 4);
    Ok(())
}

async fn forgotten(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    hold(&client, "share", "k", "alice", ("key", "print")).await?;
    let retire = |after: f64| {
        format!("holdfast.retire(100, clock_timestamp() + interval '{after} seconds')")
    };
    ensure!(db.number(&retire(DAY - 60.0)).await? == 0);
    ensure!(db.number(&retire(DAY + 60.0)).await? == 1);
    ensure!(db.number(KEYS).await? == 0 && db.number(GRANTS).await? == 1);
    // The key is good for something new, which is another link.
    let (again, repeated) = hold(&client, "share", "k", "alice", ("key", "another")).await?;
    ensure!(again.starts_with("ok ") && !repeated && db.number(GRANTS).await? == 2);
    Ok(())
}
