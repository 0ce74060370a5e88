//! Objects that lie in the store already: each becomes one of ours once, in place.

use crate::buckets::make;
use crate::deletion::Delete;
use crate::harness::{Db, Outcome, Suite, write};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::time::Instant;
use tokio_postgres::Client;
use uuid::Uuid;

const CALLERS: usize = 64;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("adoption_registers_in_place", adoption_registers_in_place);
    suite.add("adoption_is_an_operators", adoption_is_an_operators);
    suite.add("a_dry_run_changes_nothing", a_dry_run_changes_nothing);
    suite.add("adopters_at_once_adopt_each_file_once", adopters_adopt_each_file_once);
    suite.add("adoption_beside_writers_of_the_same_keys", adoption_beside_writers_of_the_same_keys);
    suite.add("an_adopted_blob_goes_by_purge_alone", an_adopted_blob_goes_by_purge_alone);
    suite.add("adoption_is_fast", adoption_is_fast);
}

fn files(names: impl IntoIterator<Item = String>) -> Value {
    let file = |key: String| {
        json!({"version": Uuid::now_v7().to_string(), "key": key, "size": 3, "etag": "e", "type": "text/plain",
               "storedAtUs": 1_600_000_000_000_000_i64, "metadata": {"m": "v"}, "headers": {"cacheControl": "no-cache"}})
    };
    names.into_iter().map(file).collect()
}

struct Adopted {
    outcome: Outcome,
    adopted: i64,
    known: i64,
    refused: Vec<String>,
}

async fn adopt(
    client: &Client,
    objects: &Value,
    owner: Option<&str>,
    dry: bool,
    roles: &[&str],
) -> Result<Adopted> {
    let sql = "select * from holdfast.adopt('kelp', $1::text::jsonb, $2, $3, 'root', $4, null, '192.0.2.1', 'request', null)";
    let row = client.query_one(sql, &[&objects.to_string(), &owner, &dry, &roles]).await?;
    Ok(Adopted {
        outcome: Outcome::of(&row),
        adopted: row.get("adopted"),
        known: row.get("known"),
        refused: row.get("refused"),
    })
}

async fn kelp(db: &Db) -> Result<Client> {
    let client = db.connect().await?;
    make(
        &client,
        "kelp",
        &json!({"visibility": "private", "writers": "authenticated", "readers": "owner"}),
        ("boss", &[]),
    )
    .await?;
    Ok(client)
}

async fn adoption_registers_in_place(db: Db) -> Result<()> {
    let client = kelp(&db).await?;
    let objects = files(["a/b.txt", "ü %", "z"].map(str::to_owned));
    let it = adopt(&client, &objects, None, false, &["admin"]).await?;
    it.outcome.ok();
    ensure!((it.adopted, it.known, it.refused.len()) == (3, 0, 0));
    let whole = "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id
        where v.state = 'live' and v.s3_key = o.key and v.owner = 'boss' and o.owner = 'boss' and v.created_by = 'root'
          and v.committed_at = to_timestamp(1600000000) and v.size_bytes = 3 and v.content_type = 'text/plain'
          and v.user_metadata = '{\"m\": \"v\"}' and v.headers = '{\"cacheControl\": \"no-cache\"}'";
    ensure!(db.number(whole).await? == 3);
    ensure!(db.number("select count(*) from holdfast.audit where action = 'adopt' and actor = 'root' and outcome = 'ok' and version is not null").await? == 3);
    ensure!(db.number("select count(*) from holdfast.outbox where kind = 'object.created' and data ->> 'adopted' = 'true'").await? == 3);
    ensure!(db.number("select live_bytes from holdfast.usage('kelp', 'boss')").await? == 9);
    // It is read like any other, under the key that it has in the store.
    let resolve =
        "select s3_key from holdfast.resolve('kelp', 'a/b.txt', null, 'boss', '{}', null, null)";
    ensure!(client.query_one(resolve, &[]).await?.get::<_, &str>(0) == "a/b.txt");

    // Again, and with one more.
    let more = files(["a/b.txt", "new"].map(str::to_owned));
    let it = adopt(&client, &more, Some("alice"), false, &["admin"]).await?;
    ensure!((it.adopted, it.known, it.refused.len()) == (1, 1, 0));
    // A key with an object of ours is not adopted.
    let mut ours = write("ours");
    ours.bucket = "kelp".into();
    ours.store(&client).await?;
    let it = adopt(&client, &files(["ours", "newer"].map(str::to_owned)), None, false, &["admin"])
        .await?;
    ensure!((it.adopted, it.known) == (1, 0) && it.refused == ["ours"]);
    // Wherever the object is by now, its blob is known.
    client.batch_execute("update holdfast.object set key = 'moved' where key = 'z'").await?;
    let it = adopt(&client, &files(["z".to_owned()]), None, false, &["admin"]).await?;
    ensure!((it.adopted, it.known) == (0, 1));
    // And a new version of an adopted object is like any other.
    let mut next = write("new");
    next.bucket = "kelp".into();
    next.store(&client).await
}

async fn adoption_is_an_operators(db: Db) -> Result<()> {
    let client = kelp(&db).await?;
    let none = json!([]);
    adopt(&client, &none, None, false, &["admin"]).await?.outcome.ok();
    adopt(&client, &none, None, false, &[])
        .await?
        .outcome
        .expect("AccessDenied", Some("bucket.adopt"));
    let by = async |bucket: &str, sub: &str, roles: &str, scopes: Option<&str>| -> Result<String> {
        let sql = "select outcome from holdfast.adopt($1, '[]', null, false, $2, $3::text::text[], $4::text::text[], null, null, null)";
        Ok(client.query_one(sql, &[&bucket, &sub, &roles, &scopes]).await?.get(0))
    };
    // Not even the bucket's owner: whose the files are nobody here knows.
    ensure!(by("kelp", "boss", "{}", None).await? == "AccessDenied");
    ensure!(by("kelp", "", "{admin}", None).await? == "AccessDenied");
    ensure!(by("kelp", "root", "{admin}", Some("{upload}")).await? == "AccessDenied");
    ensure!(by("kelp", "root", "{admin}", Some("{admin}")).await? == "ok");
    ensure!(by("nowhere", "root", "{admin}", None).await? == "NoSuchBucket");
    client
        .batch_execute("update holdfast.bucket set state = 'deleting' where name = 'kelp'")
        .await?;
    ensure!(by("kelp", "root", "{admin}", None).await? == "BucketNotActive");
    Ok(())
}

async fn a_dry_run_changes_nothing(db: Db) -> Result<()> {
    let client = kelp(&db).await?;
    let mut ours = write("ours");
    ours.bucket = "kelp".into();
    ours.store(&client).await?;
    adopt(&client, &files(["known".to_owned()]), None, false, &["admin"]).await?.outcome.ok();
    let before = db.number("select (select count(*) from holdfast.version) + (select count(*) from holdfast.audit)").await?;
    let page = files(["ours", "known", "new"].map(str::to_owned));
    for _ in 0..2 {
        let it = adopt(&client, &page, None, true, &["admin"]).await?;
        ensure!((it.adopted, it.known) == (1, 1) && it.refused == ["ours"]);
    }
    let after = db.number("select (select count(*) from holdfast.version) + (select count(*) from holdfast.audit)").await?;
    ensure!(before == after);
    let it = adopt(&client, &page, None, false, &["admin"]).await?;
    ensure!((it.adopted, it.known) == (1, 1) && it.refused == ["ours"]);
    Ok(())
}

async fn adopters_adopt_each_file_once(db: Db) -> Result<()> {
    kelp(&db).await?;
    let answers = db
        .at_once(CALLERS, |index, client| async move {
            let mut adopted = 0;
            for page in 0..4 {
                // Each from another page on, and each page in another order.
                let mut names: Vec<_> =
                    (0..25).map(|n| format!("p{}/{n}", (page + index) % 4)).collect();
                if index % 2 == 0 {
                    names.reverse();
                }
                let it = adopt(&client, &files(names), None, false, &["admin"]).await?;
                it.outcome.ok();
                ensure!(it.adopted + it.known == 25 && it.refused.is_empty());
                adopted += it.adopted;
            }
            Ok(adopted)
        })
        .await?;
    ensure!(answers.iter().sum::<i64>() == 100, "{answers:?}");
    ensure!(db.number("select count(*) from holdfast.version where state = 'live'").await? == 100);
    Ok(())
}

async fn adoption_beside_writers_of_the_same_keys(db: Db) -> Result<()> {
    kelp(&db).await?;
    let answers = db
        .at_once(CALLERS, |index, client| async move {
            if index % 4 == 0 {
                let names = (0..40).map(|n| format!("k{n}"));
                let it = adopt(&client, &files(names), Some("alice"), false, &["admin"]).await?;
                ensure!(it.adopted + it.known + it.refused.len() as i64 == 40);
                return Ok(it.adopted);
            }
            for n in 0..5 {
                let mut it = write(&format!("k{}", (index * 7 + n * 11) % 40));
                it.bucket = "kelp".into();
                it.store(&client).await?;
                if n == 4 {
                    let mut trash = Delete::of(&it.key);
                    trash.bucket = "kelp".into();
                    trash.run(&client).await?;
                }
            }
            Ok(0)
        })
        .await?;
    let adopted: i64 = answers.iter().sum();
    let rows =
        db.number("select count(*) from holdfast.version where s3_key not like 'hf/%'").await?;
    ensure!(rows == adopted, "{rows} {adopted}");
    Ok(())
}

async fn an_adopted_blob_goes_by_purge_alone(db: Db) -> Result<()> {
    let client = kelp(&db).await?;
    adopt(&client, &files(["k".to_owned()]), Some("alice"), false, &["admin"]).await?.outcome.ok();
    let orphans = "select count(*) from holdfast.blobs_without_row('kelp', '{k}')";
    ensure!(db.number(orphans).await? == 0, "it is taken for an orphan");
    let mut trash = Delete::of("k");
    trash.bucket = "kelp".into();
    trash.run(&client).await?.outcome.ok();
    ensure!(db.number(orphans).await? == 0, "it is in the trash");
    // While it waits there it is known, and not adopted anew.
    ensure!(adopt(&client, &files(["k".to_owned()]), None, false, &["admin"]).await?.known == 1);
    let purge = "select s3_key, delete_blob from holdfast.purge(10, clock_timestamp() + interval '25 hours')";
    let rows = client.query(purge, &[]).await?;
    ensure!(rows.len() == 1 && rows[0].get::<_, &str>(0) == "k" && rows[0].get::<_, bool>(1));
    ensure!(
        adopt(&client, &files(["k".to_owned()]), None, false, &["admin"]).await?.known == 1,
        "its blob is about to go"
    );
    client.batch_execute("select holdfast.purged(array(select id from holdfast.version), clock_timestamp() - interval '31 days')").await?;
    // What lies there later is another file; its key is free once the old object is forgotten.
    ensure!(
        adopt(&client, &files(["k".to_owned()]), None, false, &["admin"]).await?.refused == ["k"]
    );
    Ok(())
}

/// A page in one call, whatever there is already.
async fn adoption_is_fast(db: Db) -> Result<()> {
    let client = kelp(&db).await?;
    let pages: Vec<_> =
        (0..20).map(|page| files((0..1_000).map(|n| format!("folder {page}/{n}.txt")))).collect();
    let start = Instant::now();
    for page in &pages {
        ensure!(adopt(&client, page, None, false, &["admin"]).await?.adopted == 1_000);
    }
    let rate = 20_000.0 / start.elapsed().as_secs_f64();
    println!("adopt: {rate:.0} objects a second in SQL");
    ensure!(rate > 1_000.0, "{rate:.0} objects a second");
    Ok(())
}
