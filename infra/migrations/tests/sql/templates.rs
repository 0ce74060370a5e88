//! Templates and their backgrounds, and what buckets take of images.

use crate::harness::{Db, Outcome, Suite, Write, count, write};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

const CALLERS: usize = 32;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_bucket_of_images_commits_nothing_else", images_only);
    suite.add("limits_of_images_have_usual_values", usual_limits);
    suite.add("a_merge_patch_is_what_its_rfc_says", merge_patch);
    suite.add("who_may_do_what_with_a_template", who);
    suite.add("a_template_changes_as_its_tag_says", tags);
    suite.add("pages_of_templates_skip_none", pages);
    suite.add("one_template_key_by_many_is_one_template", one_key);
    suite.add("a_background_is_the_record_s_in_the_same_commit", background);
    suite.add("a_background_is_nobody_else_s", whose_background);
    suite.add("of_many_backgrounds_the_record_names_the_live_one", many_backgrounds);
    suite.add("a_template_goes_with_its_background", deleted);
    suite.add("nothing_is_stored_below_a_template_that_goes", deleted_meanwhile);
    suite.add("an_old_background_comes_back", restored);
    suite.add("restores_and_uploads_at_once_leave_one", restores_at_once);
    suite.add("deleted_templates_are_forgotten_in_the_end", retired);
}

/// A step as a caller: its outcome, and the record or the whole row.
struct As<'a> {
    client: &'a Client,
    sub: &'a str,
    roles: &'a [&'a str],
}

fn by<'a>(client: &'a Client, sub: &'a str) -> As<'a> {
    As { client, sub, roles: &[] }
}

impl As<'_> {
    async fn call(&self, step: &str, first: &str) -> Result<Row> {
        let who = "$1, $2, null";
        let log = "'192.0.2.1', 'request', null";
        let sql = match step {
            "find_template" | "list_templates" | "list_backgrounds" => {
                format!("select * from holdfast.{step}({first}, {who})")
            }
            _ => format!("select * from holdfast.{step}({first}, {who}, {log})"),
        };
        Ok(self.client.query_one(&sql, &[&self.sub, &self.roles]).await?)
    }

    async fn outcome(&self, step: &str, first: &str) -> Result<Outcome> {
        Ok(Outcome::of(&self.call(step, first).await?))
    }

    async fn create(&self, name: &str) -> Result<Uuid> {
        let id = Uuid::now_v7();
        let row =
            self.call("create_template", &format!("'{id}', '{name}', '{{\"a\": 1}}'")).await?;
        Outcome::of(&row).ok();
        Ok(id)
    }

    async fn record(&self, id: Uuid) -> Result<Value> {
        let row = self.call("find_template", &format!("'{id}', 'read'")).await?;
        Outcome::of(&row).ok();
        Ok(row.get("template"))
    }
}

/// A write of the background of a template.
fn background_of(id: Uuid) -> Write {
    Write { bucket: "templates".into(), content_type: None, ..write(&format!("{id}/background")) }
}

/// Commits a version as an image of this size, or as none.
async fn commit(client: &Client, write: &Write, size: Option<(i64, i64)>) -> Result<Outcome> {
    let image = size
        .map(|(width, height)| json!({"format": "image/png", "width": width, "height": height}));
    let sql = "select * from holdfast.commit($1, $2, $3, null, 10, 'image/png', 'image/png', $4, null, '192.0.2.1', \
               'request', null, null, $5)";
    let row = client
        .query_one(sql, &[&write.version, &write.sub, &write.roles, &write.etag, &image])
        .await?;
    Ok(Outcome::of(&row))
}

async fn store(client: &Client, write: &Write, width: i64, height: i64) -> Result<()> {
    write.begin(client).await?.ok();
    commit(client, write, Some((width, height))).await?.ok();
    Ok(())
}

async fn images_only(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let policy = r#"{"image": {"minWidth": 10, "maxHeight": 20, "maxPixels": 300}}"#;
    db.bucket("pictures", "system", policy).await?;
    for (size, outcome) in [
        (None, "InvalidContentType"),
        (Some((9, 10)), "InvalidImage"),
        (Some((10, 21)), "InvalidImage"),
        (Some((16, 20)), "InvalidImage"),
        (Some((2_000_000_000, 2_000_000_000)), "InvalidImage"),
    ] {
        let it = Write { bucket: "pictures".into(), content_type: None, ..write("k") };
        it.begin(&client).await?.ok();
        commit(&client, &it, size).await?.expect(outcome, Some("policy.image"));
        ensure!(it.abort(&client).await? == "ok");
    }
    let it = Write { bucket: "pictures".into(), content_type: None, ..write("k") };
    store(&client, &it, 15, 20).await?;
    let found = db.number("select width * 1000 + height from holdfast.image").await?;
    ensure!(found == 15_020);
    // Elsewhere anything is taken.
    let it = write("k");
    it.begin(&client).await?.ok();
    commit(&client, &it, None).await?.ok();
    Ok(())
}

async fn usual_limits(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let of = async |policy: &str, is_background: bool| -> Result<Option<Value>> {
        let sql = "select holdfast.image_limits($1, $2)";
        let policy: Value = serde_json::from_str(policy)?;
        Ok(client.query_one(sql, &[&policy, &is_background]).await?.get(0))
    };
    let usual = json!({"minWidth": 1, "minHeight": 1, "maxWidth": 16384, "maxHeight": 16384, "maxPixels": 100_000_000});
    ensure!(of("{}", false).await?.is_none() && of(r#"{"image": null}"#, false).await?.is_none());
    ensure!(of("{}", true).await? == Some(usual.clone()));
    ensure!(of(r#"{"image": {}}"#, false).await? == Some(usual.clone()));
    let mut narrow = usual;
    narrow["maxWidth"] = 64.into();
    let policy = r#"{"image": {"maxWidth": 64, "maxHeight": null}}"#;
    ensure!(
        of(policy, false).await? == Some(narrow.clone()) && of(policy, true).await? == Some(narrow)
    );

    // `begin` hands them out, and so do the steps that end what was begun elsewhere.
    db.bucket("pictures", "system", r#"{"image": {"maxWidth": 64}}"#).await?;
    let sql = "select image ->> 'maxWidth' from holdfast.begin($1, 'pictures', 'x', 'hf/x', 'alice', null, null, 10, null, null, \
               null, null, 60, null, null, null)";
    let id = Uuid::now_v7();
    ensure!(client.query_one(sql, &[&id]).await?.get::<_, String>(0) == "64");
    let id = Uuid::now_v7();
    let sql = "select image ->> 'maxWidth' from holdfast.create_session($1, 'pictures', 'y', 'hf/y', 'alice', null, null, 10, null, \
               null, null, null, 60, null, null, null, null, 5242880, 60)";
    ensure!(client.query_one(sql, &[&id]).await?.get::<_, String>(0) == "64");
    let sql = "select image ->> 'maxWidth' from holdfast.session($1, 'alice', null, null, false)";
    ensure!(client.query_one(sql, &[&id]).await?.get::<_, String>(0) == "64");
    let id = Uuid::now_v7();
    let asked = json!([{"id": id.to_string(), "method": "PUT", "bucket": "pictures", "key": "z", "seconds": 60,
                        "s3Key": "hf/z", "size": 10}]);
    let sql = "select outcome from holdfast.presign($1, 'alice', '{}', null, null, null, null)";
    ensure!(client.query_one(sql, &[&asked]).await?.get::<_, String>(0) == "ok");
    let sql = "select image ->> 'maxWidth' from holdfast.open_put($1, null, null, null)";
    ensure!(client.query_one(sql, &[&id]).await?.get::<_, String>(0) == "64");
    Ok(())
}

/// RFC 7396, appendix A.
async fn merge_patch(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for (target, patch, merged) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ] {
        let sql = "select holdfast.merge_patch($1, $2)";
        let (target, patch): (Value, Value) =
            (serde_json::from_str(target)?, serde_json::from_str(patch)?);
        let found: Value = client.query_one(sql, &[&target, &patch]).await?.get(0);
        ensure!(found == serde_json::from_str::<Value>(merged)?, "{target} {patch} {found}");
    }
    Ok(())
}

async fn who(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let alice = by(&client, "alice");
    let id = alice.create("Card").await?;
    let calls = [
        ("find_template", format!("'{id}', 'read'")),
        ("find_template", format!("'{id}', 'write'")),
        ("list_backgrounds", format!("'{id}', null, 9")),
        ("update_template", format!("'{id}', 'Ticket', null, null")),
        ("restore_background", format!("'{id}', '{}'", Uuid::now_v7())),
        ("delete_template", format!("'{id}', null")),
    ];
    for (step, first) in &calls {
        by(&client, "mallory").outcome(step, first).await?.expect("NoSuchTemplate", None);
        by(&client, "").outcome(step, first).await?.expect("AccessDenied", Some("authentication"));
    }
    // Who may read and no more is told so.
    client.batch_execute("update holdfast.bucket set policy = policy || '{\"readers\": \"authenticated\"}' where name = 'templates'").await?;
    let mallory = by(&client, "mallory");
    mallory.outcome("find_template", &calls[0].1).await?.ok();
    mallory
        .outcome("update_template", &calls[3].1)
        .await?
        .expect("AccessDenied", Some("template.write"));
    mallory
        .outcome("delete_template", &calls[5].1)
        .await?
        .expect("AccessDenied", Some("template.delete"));
    mallory
        .outcome("list_backgrounds", &calls[2].1)
        .await?
        .expect("AccessDenied", Some("template.read"));
    for list in ["'alice', false, null, 9", "null, true, null, 9"] {
        mallory.outcome("list_templates", list).await?.expect("AccessDenied", Some("bucket.admin"));
    }
    ensure!(client.query("select * from holdfast.list_templates(null, false, null, 9, 'mallory', null, null)", &[]).await?.is_empty());

    // A narrow token, and one that sees all.
    let narrow = "select outcome, rule from holdfast.update_template($1, 'x', null, null, 'alice', null, '{download}', null, null, null)";
    Outcome::of(&client.query_one(narrow, &[&id]).await?)
        .expect("AccessDenied", Some("template.write"));
    let root = As { client: &client, sub: "root", roles: &["admin"] };
    for list in ["'alice', false, null, 9", "null, true, null, 9"] {
        ensure!(
            root.call("list_templates", list).await?.get::<_, Value>("template")["name"] == "Card"
        );
    }
    root.outcome("update_template", &calls[3].1).await?.ok();
    ensure!(alice.record(id).await?["name"] == "Ticket");
    root.outcome("delete_template", &calls[5].1).await?.ok();
    for (step, first) in &calls {
        alice.outcome(step, first).await?.expect("NoSuchTemplate", None);
    }
    // Each refusal, and each of the three that were done, is in the log.
    ensure!(
        db.number(
            "select count(*) from holdfast.audit where action like 'template.%' and outcome = 'ok'"
        )
        .await?
            == 3
    );
    ensure!(db.number("select sum(count) from holdfast.audit where actor = 'mallory' and action = 'template.update'").await? == 2);
    Ok(())
}

async fn tags(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let alice = by(&client, "alice");
    let id = alice.create("Card").await?;
    let tag = async || -> Result<String> {
        let record = alice.record(id).await?;
        Ok(client.query_one("select holdfast.template_etag($1)", &[&record]).await?.get(0))
    };
    let first = tag().await?;
    let change =
        |name: &str, patch: &str, tag: &str| format!("'{id}', {name}, {patch}, '\"{tag}\"'");
    alice.outcome("update_template", &change("null", r#"'{"b": [2]}'"#, &first)).await?.ok();
    let second = tag().await?;
    ensure!(first != second);
    let record = alice.record(id).await?;
    ensure!(record["data"] == json!({"a": 1, "b": [2]}) && record["version"] == 2, "{record}");
    let refused = alice.outcome("update_template", &change("'x'", "null", &first)).await?;
    refused.expect("PreconditionFailed", Some("if-match"));
    // What changes nothing is no change.
    alice.outcome("update_template", &change("'Card'", r#"'{"c": null}'"#, &second)).await?.ok();
    ensure!(tag().await? == second);
    store(&client, &background_of(id), 10, 20).await?;
    let third = tag().await?;
    ensure!(second != third);
    alice
        .outcome("delete_template", &format!("'{id}', '\"{second}\"'"))
        .await?
        .expect("PreconditionFailed", Some("if-match"));
    // The background is deleted as an object: the record says so, under another tag.
    let sql = "select outcome from holdfast.trash('templates', $1, 'alice', null, null, null, null, null, null)";
    ensure!(
        client.query_one(sql, &[&format!("{id}/background")]).await?.get::<_, String>(0) == "ok"
    );
    ensure!(tag().await? != third && alice.record(id).await?["background"].is_null());

    let long = format!("'{id}', null, '{{\"a\": \"{}\"}}', null", "x".repeat(65_530));
    alice
        .outcome("update_template", &long)
        .await?
        .expect("EntityTooLarge", Some("limits.maxTemplateDataBytes"));
    alice.outcome("delete_template", &format!("'{id}', '\"{}\"'", tag().await?)).await?.ok();
    Ok(())
}

async fn pages(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let alice = by(&client, "alice");
    let mut ids = Vec::new();
    for index in 0..7 {
        ids.push(alice.create(&format!("Card {index}")).await?);
        by(&client, "bob").create("another").await?;
    }
    alice.outcome("delete_template", &format!("'{}', null", ids.remove(3))).await?.ok();
    ids.reverse();
    let mut found = Vec::new();
    let mut before: Option<Uuid> = None;
    loop {
        let sql = "select (template ->> 'id')::uuid from holdfast.list_templates(null, false, $1, 2, 'alice', null, null)";
        let page: Vec<Uuid> =
            client.query(sql, &[&before]).await?.iter().map(|row| row.get(0)).collect();
        let Some(last) = page.last() else { break };
        before = Some(*last);
        found.extend(page);
    }
    ensure!(found == ids, "{found:?}");

    // A page is read by its index, whoever asks.
    client.batch_execute("insert into holdfast.template (id, owner, name, created_at, updated_at) select gen_random_uuid(), 'u' || n % 100, 'x', now(), now() from generate_series(1, 20000) n; analyze holdfast.template").await?;
    for page in [
        "select t.id from holdfast.template t where t.owner = 'u7' and t.deleted_at is null order by t.id desc limit 50",
        "select t.id from holdfast.template t where t.deleted_at is null order by t.id desc limit 50",
    ] {
        let plan = client.query(&format!("explain {page}"), &[]).await?;
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        ensure!(
            plan.iter().all(|line| !line.contains("Seq Scan") && !line.contains("Sort")),
            "{plan:#?}"
        );
    }
    client.batch_execute("delete from holdfast.template where owner like 'u%'").await?;
    Ok(())
}

async fn one_key(db: Db) -> Result<()> {
    let made = db
        .at_once(CALLERS, |_, client| async move {
            let sql = "select outcome, (template ->> 'id')::uuid, repeated from holdfast.create_template($1, 'Card', '{}', 'alice', \
                       null, null, null, null, null, 'key', 'print')";
            let row = client.query_one(sql, &[&Uuid::now_v7()]).await?;
            ensure!(row.get::<_, String>(0) == "ok");
            Ok((row.get::<_, Uuid>(1), row.get::<_, bool>(2)))
        })
        .await?;
    ensure!(made.iter().filter(|it| !it.1).count() == 1 && made.iter().all(|it| it.0 == made[0].0));
    ensure!(db.number("select count(*) from holdfast.template").await? == 1);
    let client = db.connect().await?;
    let other = "select outcome, rule from holdfast.create_template($1, 'Card', '{}', 'alice', null, null, null, null, null, \
                 'key', 'other')";
    let other = Outcome::of(&client.query_one(other, &[&Uuid::now_v7()]).await?);
    other.expect("IdempotencyKeyReused", Some("idempotency-key"));
    // A bucket that goes takes no template, and no key.
    client
        .batch_execute("update holdfast.bucket set state = 'deleting' where name = 'templates'")
        .await?;
    let late = "select outcome, rule from holdfast.create_template($1, 'Card', '{}', 'alice', null, null, null, null, null, \
                'late', 'print')";
    let late = Outcome::of(&client.query_one(late, &[&Uuid::now_v7()]).await?);
    late.expect("BucketNotActive", Some("bucket.state"));
    ensure!(db.number("select count(*) from holdfast.grant_request").await? == 1);
    Ok(())
}

async fn background(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let alice = by(&client, "alice");
    let id = alice.create("Card").await?;
    ensure!(alice.record(id).await?["background"].is_null());

    // Whatever the policy says: there is nothing but images there.
    let none = background_of(id);
    none.begin(&client).await?.ok();
    commit(&client, &none, None).await?.expect("InvalidContentType", Some("policy.image"));
    let large = background_of(id);
    large.begin(&client).await?.ok();
    commit(&client, &large, Some((16_385, 1))).await?.expect("InvalidImage", Some("policy.image"));
    ensure!(alice.record(id).await?["background"].is_null());

    let first = background_of(id);
    store(&client, &first, 300, 200).await?;
    let record = alice.record(id).await?;
    let background = &record["background"];
    ensure!(
        background["version"] == first.version.to_string() && record["version"] == 2,
        "{record}"
    );
    ensure!((&background["width"], &background["height"]) == (&json!(300), &json!(200)));
    // The same commit again is the same, and one event.
    commit(&client, &first, Some((300, 200))).await?.ok();
    ensure!(
        db.number("select count(*) from holdfast.outbox where kind = 'template.updated'").await?
            == 1
    );
    let sql = "select (data -> 'background' ->> 'width')::int8 from holdfast.outbox where kind = 'template.updated'";
    ensure!(db.number(sql).await? == 300);
    // Elsewhere in the bucket anything may lie.
    Write { bucket: "templates".into(), ..write(&format!("{id}/notes")) }.store(&client).await?;
    Ok(())
}

async fn whose_background(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let id = by(&client, "alice").create("Card").await?;
    let theirs = Write { sub: "mallory".into(), ..background_of(id) };
    theirs.begin(&client).await?.expect("AccessDenied", Some("object.owner"));
    // An admin's is the owner's, and on the owner's account.
    let theirs = Write { sub: "root".into(), roles: vec!["admin".into()], ..background_of(id) };
    store(&client, &theirs, 3, 2).await?;
    ensure!(
        db.number(
            "select count(*) from holdfast.version where owner = 'alice' and created_by = 'root'"
        )
        .await?
            == 1
    );
    store(&client, &background_of(id), 4, 2).await?;
    // What was made somebody else's by other means is no background of this template.
    client.batch_execute("update holdfast.object set owner = 'mallory'").await?;
    ensure!(by(&client, "alice").record(id).await?["background"].is_null());
    client.batch_execute("update holdfast.object set owner = 'alice'").await?;
    Ok(())
}

async fn many_backgrounds(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let alice = by(&client, "alice");
    let id = alice.create("Card").await?;
    db.at_once(CALLERS, move |index, client| async move {
        let size = i64::try_from(index)? + 1;
        store(&client, &background_of(id), size, size * 2).await?;
        let record = by(&client, "alice").record(id).await?;
        let found = &record["background"];
        // Of whoever was last, and all of that one.
        ensure!(found["height"].as_i64() == found["width"].as_i64().map(|width| width * 2));
        by(&client, "alice")
            .outcome("update_template", &format!("'{id}', 'Card {index}', null, null"))
            .await?
            .ok();
        Ok(())
    })
    .await?;
    let record = alice.record(id).await?;
    let live = "select count(*) from holdfast.version v join holdfast.image i on i.version = v.id where v.state = 'live'";
    ensure!(db.number(live).await? == 1);
    ensure!(record["version"] == 1 + 2 * CALLERS, "{record}");
    Ok(())
}

async fn deleted(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let alice = by(&client, "alice");
    let id = alice.create("Card").await?;
    store(&client, &background_of(id), 3, 2).await?;
    let late = background_of(id);
    late.begin(&client).await?.ok();
    let row = alice.call("delete_template", &format!("'{id}', null")).await?;
    Outcome::of(&row).ok();
    ensure!(row.get::<_, Option<i64>>("purge_after_us").is_some());
    ensure!(
        db.number(
            "select count(*) from holdfast.version where state = 'trashed' and deleted_by = 'alice'"
        )
        .await?
            == 1
    );
    commit(&client, &late, Some((3, 2))).await?.expect("NoSuchTemplate", Some("template"));
    ensure!(late.abort(&client).await? == "ok");
    background_of(id).begin(&client).await?.expect("NoSuchTemplate", Some("template"));
    let kinds = "select count(*) from holdfast.outbox where kind in ('template.created', 'template.updated', 'template.deleted', 'object.deleted')";
    ensure!(db.number(kinds).await? == 4);
    Ok(())
}

async fn deleted_meanwhile(db: Db) -> Result<()> {
    for _ in 0..5 {
        let client = db.connect().await?;
        let id = by(&client, "alice").create("Card").await?;
        let outcomes = db
            .at_once(CALLERS, move |index, client| async move {
                if index % 8 == 7 {
                    return by(&client, "alice")
                        .outcome("delete_template", &format!("'{id}', null"))
                        .await;
                }
                let it = background_of(id);
                let begun = it.begin(&client).await?;
                if begun.outcome != "ok" {
                    return Ok(begun);
                }
                let committed = commit(&client, &it, Some((3, 2))).await?;
                if committed.outcome != "ok" {
                    ensure!(it.abort(&client).await? == "ok");
                }
                Ok(committed)
            })
            .await?;
        ensure!(
            count(&outcomes, "ok") + count(&outcomes, "NoSuchTemplate") == CALLERS,
            "{outcomes:?}"
        );
        ensure!(
            db.number("select count(*) from holdfast.version where state = 'live'").await? == 0
        );
    }
    Ok(())
}

async fn restored(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let alice = by(&client, "alice");
    let id = alice.create("Card").await?;
    let (first, second) = (background_of(id), background_of(id));
    store(&client, &first, 3, 2).await?;
    store(&client, &second, 30, 20).await?;
    let restore = |version: Uuid| format!("'{id}', '{version}'");
    let row = alice.call("restore_background", &restore(first.version)).await?;
    Outcome::of(&row).ok();
    let record: Value = row.get("template");
    ensure!(record["background"]["width"] == 3 && record["version"] == 4, "{record}");
    // Again is no change.
    alice.outcome("restore_background", &restore(first.version)).await?.ok();
    ensure!(alice.record(id).await?["version"] == 4);
    ensure!(second.state(&client).await? == "superseded");

    // From the trash, too.
    let trash = "select outcome from holdfast.trash('templates', $1, 'alice', null, null, null, null, null, null)";
    client.query_one(trash, &[&format!("{id}/background")]).await?;
    ensure!(first.state(&client).await? == "trashed");
    ensure!(alice.record(id).await?["background"].is_null());
    alice.outcome("restore_background", &restore(first.version)).await?.ok();
    let listed = format!(
        "select background ->> 'state' from holdfast.list_backgrounds('{id}', null, 9, 'alice', null, null)"
    );
    let listed: Vec<String> =
        client.query(&listed, &[]).await?.iter().map(|row| row.get(0)).collect();
    ensure!(listed == ["superseded", "live"]);

    // Of another template, of none, not committed, and one whose bytes go.
    let other = alice.create("Other").await?;
    let pending = background_of(id);
    pending.begin(&client).await?.ok();
    alice
        .outcome("restore_background", &format!("'{other}', '{}'", first.version))
        .await?
        .expect("NoSuchVersion", Some("version"));
    for version in [Uuid::now_v7(), pending.version] {
        alice
            .outcome("restore_background", &restore(version))
            .await?
            .expect("NoSuchVersion", Some("version"));
    }
    client
        .query("select * from holdfast.purge(9, clock_timestamp() + interval '30 days')", &[])
        .await?;
    ensure!(second.state(&client).await? == "purging");
    alice
        .outcome("restore_background", &restore(second.version))
        .await?
        .expect("NoSuchVersion", Some("version"));
    ensure!(alice.record(id).await?["background"]["version"] == first.version.to_string());
    Ok(())
}

async fn restores_at_once(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let alice = by(&client, "alice");
    let id = alice.create("Card").await?;
    let olds: Vec<Write> = (0..4).map(|_| background_of(id)).collect();
    for old in &olds {
        store(&client, old, 3, 2).await?;
    }
    let versions: Vec<Uuid> = olds.iter().map(|old| old.version).collect();
    let outcomes = db
        .at_once(CALLERS, move |index, client| {
            let version = versions[index % 4];
            async move {
                match index % 4 {
                    0 => {
                        store(&client, &background_of(id), 5, 5).await?;
                        Ok(Outcome { outcome: "ok".into(), rule: None })
                    }
                    1 => {
                        let trash = "select * from holdfast.trash('templates', $1, 'alice', null, null, null, null, null, null)";
                        Ok(Outcome::of(&client.query_one(trash, &[&format!("{id}/background")]).await?))
                    }
                    _ => by(&client, "alice").outcome("restore_background", &format!("'{id}', '{version}'")).await,
                }
            }
        })
        .await?;
    ensure!(count(&outcomes, "ok") + count(&outcomes, "NoSuchKey") == CALLERS, "{outcomes:?}");
    let live = db.number("select count(*) from holdfast.version where state = 'live'").await?;
    ensure!(live <= 1 && alice.record(id).await?["background"].is_null() == (live == 0));
    Ok(())
}

async fn retired(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let alice = by(&client, "alice");
    let (gone, stays) = (alice.create("Gone").await?, alice.create("Stays").await?);
    alice.outcome("delete_template", &format!("'{gone}', null")).await?.ok();
    db.number("holdfast.retire(9, clock_timestamp() + interval '29 days')").await?;
    ensure!(db.number("select count(*) from holdfast.template").await? == 2);
    db.number("holdfast.retire(9, clock_timestamp() + interval '31 days')").await?;
    ensure!(db.number("select count(*) from holdfast.template").await? == 1);
    alice.record(stays).await?;
    Ok(())
}
