//! The access log.

use crate::harness::{Db, Suite};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("each_access_is_a_row", each_access_is_a_row);
    suite.add("uses_of_a_grant_are_one_audit_row_a_minute", uses_are_counted);
    suite.add("refused_urls_fill_no_table", refused_urls);
    suite.add("uses_written_at_once_lose_no_count", uses_at_once);
}

async fn each_access_is_a_row(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let sql = "select holdfast.record_accesses($1, null)";
    let record = |sub: Option<&str>| {
        json!({
            "bucket": "documents", "key": "k", "sub": sub, "method": "GET", "status": 206, "bytes": 5,
            "outcome": "ok", "ip": "192.0.2.1", "requestId": "request", "userAgent": "x".repeat(10_000),
        })
    };
    let records = json!([record(Some("alice")), record(None)]);
    ensure!(client.query_one(sql, &[&records]).await?.get::<_, i64>(0) == 2);
    ensure!(
        db.number("select count(*) from holdfast.access_log where bytes = 5 and status = 206")
            .await?
            == 2
    );
    ensure!(db.number("select count(*) from holdfast.access_log where actor = ''").await? == 1);
    // What a client sends at length is cut.
    ensure!(db.number("select max(length(user_agent)) from holdfast.access_log").await? == 256);
    Ok(())
}

/// A minute, so that no test is cut by the end of one.
const MINUTE: &str = "2026-11-25T10:00:00Z";

/// Writes records down within [`MINUTE`].
async fn record(client: &Client, records: &[Value]) -> Result<()> {
    let sql = format!("select holdfast.record_accesses($1, '{MINUTE}')");
    client.query_one(&sql, &[&json!(records)]).await?;
    Ok(())
}

async fn grant(client: &Client, kind: &str) -> Result<Uuid> {
    let id = Uuid::now_v7();
    let sql = "insert into holdfast.\"grant\" (id, kind, created_by, roles, bucket, key, hash, created_at, expires_at) \
               values ($1, $2, 'alice', '{}', 'documents', 'k', \
                       case $2 when 'share' then sha256(uuid_send($1)) end, now(), now() + interval '1 hour')";
    client.execute(sql, &[&id, &kind]).await?;
    Ok(id)
}

fn used(grant: Uuid, sub: &str, outcome: &str, ip: &str) -> Value {
    json!({"bucket": "documents", "key": "k", "sub": sub, "method": "GET", "status": 200, "bytes": 5,
           "outcome": outcome, "ip": ip, "requestId": "request", "userAgent": "", "grantId": grant.to_string()})
}

fn refused(bucket: &str, key: &str, ip: &str) -> Value {
    json!({"bucket": bucket, "key": key, "sub": "", "method": "GET", "status": 403, "bytes": 0,
           "outcome": "AccessDenied", "rule": "url.signature", "ip": ip, "requestId": "request", "userAgent": ""})
}

async fn uses_are_counted(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let (url, share) = (grant(&client, "get").await?, grant(&client, "share").await?);
    let one = used(url, "", "ok", "192.0.2.1");
    record(&client, &[one.clone(), one.clone(), used(share, "", "ok", "192.0.2.1")]).await?;
    record(&client, &[one.clone(), used(url, "bob", "ok", "192.0.2.1")]).await?;
    record(
        &client,
        &[used(url, "", "AccessDenied", "192.0.2.1"), used(url, "", "ok", "192.0.2.2")],
    )
    .await?;
    let count = async |condition: &str| {
        let sql = format!("select coalesce(sum(count), 0) from holdfast.audit where {condition}");
        db.number(&sql).await
    };
    let of_url =
        format!("grant_id = '{url}' and action = 'url.use' and bucket = 'documents' and key = 'k'");
    ensure!(
        count(&format!("{of_url} and outcome = 'ok' and actor = '' and ip = '192.0.2.1'")).await?
            == 3
    );
    ensure!(count(&format!("{of_url} and actor = 'bob'")).await? == 1);
    ensure!(count(&format!("{of_url} and outcome = 'AccessDenied'")).await? == 1);
    ensure!(count(&format!("{of_url} and ip = '192.0.2.2'")).await? == 1);
    ensure!(count(&format!("grant_id = '{share}' and action = 'share.use'")).await? == 1);
    ensure!(db.number("select count(*) from holdfast.audit").await? == 5);
    ensure!(db.number("select count(*) from holdfast.access_log").await? == 7);
    // The next minute is another row.
    let later = "select holdfast.record_accesses($1, timestamptz '2026-11-25T10:01:00Z')";
    client.query_one(later, &[&json!([one])]).await?;
    ensure!(db.number("select count(*) from holdfast.audit").await? == 6);
    // What came without a grant is in the access log alone.
    let mut plain = used(url, "alice", "ok", "192.0.2.1");
    plain["grantId"] = Value::Null;
    record(&client, &[plain]).await?;
    ensure!(db.number("select count(*) from holdfast.audit").await? == 6);
    Ok(())
}

async fn refused_urls(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for round in 0..20 {
        let made_up =
            refused(&format!("made-up-{round}"), &format!("k{round}"), &format!("192.0.2.{round}"));
        let real = refused("documents", &format!("k{round}"), "192.0.2.1");
        record(&client, &[real.clone(), made_up, real]).await?;
        client
            .query_one(
                "select holdfast.open_put($1, $2, 'request', $3::text::timestamptz, 'url.signature')",
                &[&Uuid::now_v7(), &format!("192.0.2.{round}"), &MINUTE],
            )
            .await?;
    }
    let rows = client
        .query("select action, bucket, count from holdfast.audit order by action, bucket", &[])
        .await?;
    let rows: Vec<(String, String, i64)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let expected = [("put.complete", "", 20), ("url.use", "", 20), ("url.use", "documents", 40)];
    ensure!(rows == expected.map(|(a, b, n)| (a.to_owned(), b.to_owned(), n)), "{rows:?}");
    let told = "select count(*) from holdfast.audit where rule = 'url.signature' and outcome = 'AccessDenied' and ip <> ''";
    ensure!(db.number(told).await? == 3);
    Ok(())
}

/// Instances that gathered uses of the same grants, in any order.
async fn uses_at_once(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let mut grants = Vec::new();
    for _ in 0..8 {
        grants.push(grant(&client, "get").await?);
    }
    db.at_once(32, move |number, client| {
        let mut grants = grants.clone();
        grants.rotate_left(number % 8);
        async move {
            for round in 0..8 {
                let ip = format!("192.0.2.{}", round % 2);
                let mut records: Vec<_> =
                    grants.iter().map(|id| used(*id, "", "ok", &ip)).collect();
                records.push(refused("documents", "k", &ip));
                records.push(refused("nowhere", "k", &ip));
                if number % 2 == 0 {
                    records.reverse();
                }
                record(&client, &records).await?;
            }
            Ok(())
        }
    })
    .await?;
    ensure!(db.number("select count(*) from holdfast.audit").await? == 18);
    ensure!(
        db.number("select sum(count) from holdfast.audit where grant_id is not null").await?
            == 2048
    );
    ensure!(
        db.number("select sum(count) from holdfast.audit where grant_id is null").await? == 512
    );
    Ok(())
}
