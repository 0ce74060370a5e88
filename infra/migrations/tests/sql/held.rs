//! Share links and upload tokens: what whoever holds one may do, and how often.

use crate::harness::{Db, Suite, write};
use anyhow::{Result, ensure};
use tokio_postgres::Client;
use uuid::Uuid;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_share_is_read_until_it_ends_and_says_nothing_then", a_share_ends);
    suite.add("a_share_for_ten_lets_ten_of_64_in", ten_of_64_read);
    suite.add("who_may_share_what", who_may_share);
    suite.add("an_upload_token_writes_within_what_it_says", token_limits);
    suite.add("an_upload_token_for_ten_lets_ten_of_64_in", ten_of_64_write);
    suite.add("a_use_of_a_token_comes_back_with_an_abort", uses_come_back);
    suite.add("two_lists_of_types_allow_what_both_do", types_of_both);
}

const HASH: [u8; 32] = [7; 32];

/// A share of `documents/k` by alice for an hour.
async fn share(client: &Client, sub: &str, max_uses: Option<i64>, key: &str) -> Result<String> {
    let sql = "select concat_ws(' ', outcome, rule) from holdfast.create_share($1, $2, 'documents', $3, null, 3600, $4, \
               null, $5, '{}', null, '192.0.2.1', 'request', null)";
    let id = Uuid::now_v7();
    Ok(client.query_one(sql, &[&id, &HASH.as_slice(), &key, &max_uses, &sub]).await?.get(0))
}

async fn look(client: &Client, hash: &[u8], counts: bool, after: f64) -> Result<String> {
    let sql = "select concat_ws(' ', outcome, rule, bucket, key, size_bytes, visibility) from holdfast.use_share(\
               $1, $2, '192.0.2.1', 'request', clock_timestamp() + $3::float8 * interval '1 second')";
    Ok(client.query_one(sql, &[&hash, &counts, &after]).await?.get(0))
}

async fn a_share_ends(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    ensure!(share(&client, "alice", Some(2), "k").await? == "ok");
    let good = "ok documents k 10 private";
    ensure!(look(&client, &HASH, false, 0.0).await? == good);
    ensure!(look(&client, &HASH, true, 0.0).await? == good);
    ensure!(look(&client, &HASH, false, 3599.0).await? == good, "looking counts nothing");
    for (hash, after) in [(&HASH[..], 3600.0), (&[8; 32][..], 0.0), (&[][..], 0.0)] {
        ensure!(look(&client, hash, true, after).await? == "NoSuchKey");
    }
    ensure!(look(&client, &HASH, true, 0.0).await? == good);
    ensure!(look(&client, &HASH, true, 0.0).await? == "NoSuchKey", "a third one");
    ensure!(look(&client, &HASH, false, 0.0).await? == "NoSuchKey");
    let rules = "select count(distinct rule) from holdfast.audit where action = 'share.use' and outcome = 'NoSuchKey'";
    ensure!(db.number(rules).await? >= 1);

    client.execute("update holdfast.\"grant\" set max_uses = null", &[]).await?;
    ensure!(look(&client, &HASH, true, 0.0).await? == good);
    client
        .execute("update holdfast.\"grant\" set revoked_at = now(), revoked_by = 'alice'", &[])
        .await?;
    ensure!(look(&client, &HASH, true, 0.0).await? == "NoSuchKey");
    Ok(())
}

async fn ten_of_64_read(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    ensure!(share(&client, "alice", Some(10), "k").await? == "ok");
    let answers = db.at_once(64, async |_, client| look(&client, &HASH, true, 0.0).await).await?;
    ensure!(answers.iter().filter(|it| it.starts_with("ok")).count() == 10, "{answers:?}");
    ensure!(db.number("select uses from holdfast.\"grant\"").await? == 10);
    Ok(())
}

async fn who_may_share(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    ensure!(share(&client, "bob", None, "k").await? == "NoSuchKey");
    ensure!(share(&client, "", None, "k").await? == "AccessDenied authentication");
    ensure!(share(&client, "alice", None, "none").await? == "NoSuchKey");
    ensure!(db.number("select count(*) from holdfast.\"grant\"").await? == 0);
    ensure!(share(&client, "alice", None, "k").await? == "ok");
    // Whoever loses the right takes what they shared with them.
    client.execute("update holdfast.\"grant\" set created_by = 'bob'", &[]).await?;
    ensure!(look(&client, &HASH, true, 0.0).await? == "NoSuchKey");
    Ok(())
}

struct Token {
    id: Uuid,
    prefix: &'static str,
    max_uses: Option<i64>,
    max_bytes: Option<i64>,
    types: Option<&'static str>,
}

impl Token {
    fn new() -> Self {
        Self { id: Uuid::now_v7(), prefix: "in/", max_uses: None, max_bytes: None, types: None }
    }

    async fn create(&self, client: &Client, sub: &str, bucket: &str) -> Result<String> {
        let hash = [self.id.as_bytes().as_slice(), &[0; 16]].concat();
        let sql = "select concat_ws(' ', outcome, rule) from holdfast.create_token($1, $2, $3, $4, 3600, $5, $6, \
                   $7::text::text[], $8, '{}', null, '192.0.2.1', 'request', null)";
        let row = client
            .query_one(
                sql,
                &[
                    &self.id,
                    &hash,
                    &bucket,
                    &self.prefix,
                    &self.max_uses,
                    &self.max_bytes,
                    &self.types,
                    &sub,
                ],
            )
            .await?;
        Ok(row.get(0))
    }

    async fn authenticate(&self, client: &Client, after: f64) -> Result<String> {
        let hash = [self.id.as_bytes().as_slice(), &[0; 16]].concat();
        let sql = "select concat_ws(' ', outcome, sub, scopes::text, grant_id) from holdfast.authenticate_token(\
                   $1, '192.0.2.1', 'request', clock_timestamp() + $2::float8 * interval '1 second')";
        Ok(client.query_one(sql, &[&hash, &after]).await?.get(0))
    }

    /// Begins a version of ten bytes of text.
    async fn begin(
        &self,
        client: &Client,
        version: Uuid,
        bucket: &str,
        key: &str,
        sub: &str,
    ) -> Result<String> {
        let sql = "select concat_ws(' ', outcome, rule, max_bytes, allowed_types::text) from holdfast.begin($1::uuid, $2, $3, \
                   'hf/' || $1::uuid, $4, '{}', '{upload}', 10, 'text/plain', '{}', null, null, 60, '192.0.2.1', 'request', null, \
                   p_grant => $5)";
        Ok(client.query_one(sql, &[&version, &bucket, &key, &sub, &self.id]).await?.get(0))
    }
}

async fn token_limits(db: Db) -> Result<()> {
    db.bucket("images", "boss", r#"{"allowedTypes": ["text/*", "image/*"], "maxBytes": 50}"#)
        .await?;
    db.bucket("closed", "boss", r#"{"writers": "owner"}"#).await?;
    let client = db.connect().await?;
    let new = Uuid::now_v7;
    ensure!(Token::new().create(&client, "alice", "closed").await? == "AccessDenied bucket.write");
    ensure!(Token::new().create(&client, "alice", "nowhere").await? == "NoSuchBucket bucket");
    ensure!(Token::new().create(&client, "", "images").await? == "AccessDenied authentication");

    let token = Token { max_bytes: Some(20), types: Some("{text/plain,audio/*}"), ..Token::new() };
    ensure!(token.create(&client, "alice", "images").await? == "ok");
    ensure!(token.authenticate(&client, 0.0).await? == format!("ok alice {{upload}} {}", token.id));
    ensure!(token.authenticate(&client, 3600.0).await? == "ExpiredToken");
    ensure!(Token::new().authenticate(&client, 0.0).await? == "InvalidToken");
    let version = new();
    ensure!(
        token.begin(&client, version, "images", "in/k", "alice").await? == "ok 20 {text/plain}"
    );
    // A call whose answer was lost counts once.
    token.begin(&client, version, "images", "in/k", "alice").await?;
    ensure!(db.number("select uses from holdfast.\"grant\"").await? == 1);
    for (bucket, key, sub, expected) in [
        ("images", "out/k", "alice", "AccessDenied grant.prefix"),
        ("documents", "in/k", "alice", "AccessDenied grant.bucket"),
        ("images", "in/k", "bob", "AccessDenied grant.creator"),
    ] {
        let got = token.begin(&client, new(), bucket, key, sub).await?;
        ensure!(got.starts_with(expected), "{bucket} {key} {sub}: {got}");
    }
    let small = Token { max_bytes: Some(9), ..Token::new() };
    small.create(&client, "alice", "images").await?;
    let got = small.begin(&client, new(), "images", "in/k", "alice").await?;
    ensure!(got.starts_with("EntityTooLarge grant.maxBytes"), "{got}");
    let audio = Token { types: Some("{audio/*}"), ..Token::new() };
    audio.create(&client, "alice", "images").await?;
    let got = audio.begin(&client, new(), "images", "in/k", "alice").await?;
    ensure!(got.starts_with("InvalidContentType grant.types"), "{got}");
    let revoked = format!(
        "update holdfast.\"grant\" set revoked_at = now(), revoked_by = 'x' where id = '{}'",
        token.id
    );
    client.execute(&revoked, &[]).await?;
    ensure!(token.authenticate(&client, 0.0).await? == "InvalidToken");
    let got = token.begin(&client, new(), "images", "in/k", "alice").await?;
    ensure!(got.starts_with("AccessDenied grant.revoked"), "{got}");
    ensure!(db.number("select count(*) from holdfast.object where bucket = 'images'").await? == 1);
    Ok(())
}

async fn ten_of_64_write(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let token = Token { max_uses: Some(10), ..Token::new() };
    ensure!(token.create(&client, "alice", "documents").await? == "ok");
    let id = token.id;
    let answers = db
        .at_once(64, move |n, client| async move {
            let token = Token { id, ..Token::new() };
            token.begin(&client, Uuid::now_v7(), "documents", &format!("in/{n}"), "alice").await
        })
        .await?;
    ensure!(answers.iter().filter(|it| it.starts_with("ok")).count() == 10, "{answers:?}");
    let refused = answers.iter().filter(|it| it.starts_with("AccessDenied grant.uses")).count();
    ensure!(refused == 54, "{answers:?}");
    Ok(())
}

async fn uses_come_back(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let token = Token { max_uses: Some(3), ..Token::new() };
    ensure!(token.create(&client, "alice", "documents").await? == "ok");
    let uses = async || db.number("select uses from holdfast.\"grant\"").await;
    let mut writes = Vec::new();
    for n in 0..3 {
        let it = write(&format!("in/{n}"));
        token.begin(&client, it.version, "documents", &it.key, "alice").await?;
        writes.push(it);
    }
    ensure!(uses().await? == 3);
    writes[0].commit(&client).await?.outcome.ok();
    ensure!(writes[1].abort(&client).await? == "ok");
    ensure!(writes[1].abort(&client).await? == "aborting");
    ensure!(uses().await? == 2);
    db.number("select count(*) from holdfast.reap(10, clock_timestamp() + interval '61 seconds')")
        .await?;
    ensure!(uses().await? == 1);
    db.number("select count(*) from holdfast.reap(10, clock_timestamp() + interval '1 hour')")
        .await?;
    ensure!(uses().await? == 1);
    Ok(())
}

async fn types_of_both(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for (one, other, both) in [
        (None, None, None),
        (Some("{image/*}"), None, Some("{image/*}")),
        (None, Some("{image/png}"), Some("{image/png}")),
        (Some("{image/*,text/plain}"), Some("{image/png,text/*}"), Some("{image/png,text/plain}")),
        (Some("{*/*}"), Some("{image/*}"), Some("{image/*}")),
        (Some("{image/*}"), Some("{text/*}"), Some("{}")),
    ] {
        let sql = "select holdfast.types_of_both($1::text::text[], $2::text::text[])::text";
        let got: Option<String> = client.query_one(sql, &[&one, &other]).await?.get(0);
        ensure!(got.as_deref() == both, "{one:?} {other:?}: {got:?}");
    }
    Ok(())
}
