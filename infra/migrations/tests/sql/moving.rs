//! Copies, moves, restorations, permanent deletions, tags and folders that get another name; and all of them at once.

use crate::deletion::Delete;
use crate::harness::{Db, Outcome, Suite, Write, write};
use anyhow::{Result, ensure};
use tokio_postgres::Client;
use uuid::Uuid;

const CALLERS: usize = 64;

pub(crate) fn register(suite: &mut Suite) {
    suite.add(
        "a_copy_names_the_same_bytes_and_is_charged",
        a_copy_names_the_same_bytes_and_is_charged,
    );
    suite.add("a_copy_is_refused_as_an_upload_is", a_copy_is_refused_as_an_upload_is);
    suite.add("a_repeated_copy_is_one_copy", a_repeated_copy_is_one_copy);
    suite.add("a_move_takes_the_history_along", a_move_takes_the_history_along);
    suite.add(
        "a_move_leaves_uploads_and_the_trash_behind",
        a_move_leaves_uploads_and_the_trash_behind,
    );
    suite.add("a_move_is_refused_with_its_rule", a_move_is_refused_with_its_rule);
    suite.add("a_restored_version_is_current_again", a_restored_version_is_current_again);
    suite.add("who_may_restore_from_the_trash", who_may_restore_from_the_trash);
    suite.add("what_is_erased_comes_never_back", what_is_erased_comes_never_back);
    suite.add(
        "an_erased_version_goes_as_early_as_it_may",
        an_erased_version_goes_as_early_as_it_may,
    );
    suite.add("a_batch_deletes_each_for_itself", a_batch_deletes_each_for_itself);
    suite.add("tags_stay_with_their_object", tags_stay_with_their_object);
    suite.add("a_folder_moves_in_steps_and_back", a_folder_moves_in_steps_and_back);
    suite.add("a_folder_moves_into_itself_and_out_of_it", a_folder_moves_into_itself_and_out_of_it);
    suite.add("what_cannot_move_is_named", what_cannot_move_is_named);
    suite.add(
        "old_renamings_retire_after_what_they_moved",
        old_renamings_retire_after_what_they_moved,
    );
    suite.add(
        "the_worker_goes_on_with_a_renaming_that_was_left",
        the_worker_goes_on_with_a_renaming_that_was_left,
    );
    suite.add("one_of_64_moves", one_of_64_moves);
    suite.add("two_ways_at_once_by_64_never_deadlock", two_ways_at_once_by_64_never_deadlock);
    suite.add("copy_or_purge_wins_never_both", copy_or_purge_wins_never_both);
    suite.add("a_random_mix_by_64_keeps_every_byte", a_random_mix_by_64_keeps_every_byte);
}

const WHO: &str = "'alice', '{}', null";
const WHERE: &str = "'192.0.2.1', 'request', null";

/// The outcome of one call.
async fn call(client: &Client, sql: &str) -> Result<Outcome> {
    Ok(Outcome::of(&client.query_one(sql, &[]).await?))
}

fn copy(from: &str, to: &str, overwrite: bool) -> String {
    format!(
        "select outcome, rule from holdfast.copy_object('documents', '{from}', null, '{to}', gen_random_uuid(), null, {overwrite}, null, null, {WHO}, null, null, {WHERE})"
    )
}

fn relocate(from: &str, to: &str, overwrite: bool) -> String {
    format!(
        "select outcome, rule from holdfast.move_object('documents', '{from}', '{to}', null, {overwrite}, {WHO}, {WHERE})"
    )
}

fn restore(key: &str, version: Option<Uuid>) -> String {
    let version = version.map_or("null".to_owned(), |it| format!("'{it}'"));
    format!(
        "select outcome, rule from holdfast.restore('documents', '{key}', {version}, null, {WHO}, {WHERE})"
    )
}

fn erase(key: &str, version: Option<Uuid>) -> String {
    let version = version.map_or("null".to_owned(), |it| format!("'{it}'"));
    format!(
        "select outcome, rule from holdfast.erase('documents', '{key}', {version}, {WHO}, null, {WHERE})"
    )
}

async fn store(client: &Client, key: &str) -> Result<Write> {
    let it = write(key);
    it.store(client).await?;
    Ok(it)
}

/// `key state version` of each, by key and version.
async fn states(client: &Client) -> Result<Vec<(String, String, Uuid)>> {
    let sql = "select o.key, v.state, v.id from holdfast.version v join holdfast.object o on o.id = v.object_id order by o.key, v.id";
    let rows = client.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

async fn current(client: &Client, key: &str) -> Result<Option<Uuid>> {
    let sql = "select v.id from holdfast.version v join holdfast.object o on o.id = v.object_id where o.bucket = 'documents' and o.key = $1 and v.state = 'live'";
    Ok(client.query_opt(sql, &[&key]).await?.map(|row| row.get(0)))
}

async fn a_copy_names_the_same_bytes_and_is_charged(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let source = store(&client, "a").await?;
    store(&client, "c").await?;
    call(&client, &copy("a", "b", false)).await?.ok();
    call(&client, &copy("a", "c", false)).await?.expect("PreconditionFailed", Some("overwrite"));
    call(&client, &copy("a", "c", true)).await?.ok();
    let same = "select count(distinct s3_key) from holdfast.version v join holdfast.object o on o.id = v.object_id where o.key in ('a', 'b', 'c') and v.state = 'live'";
    ensure!(db.number(same).await? == 1);
    let sql = "select v.etag, v.user_metadata ->> 'a', v.owner, v.created_by from holdfast.version v join holdfast.object o on o.id = v.object_id where o.key = 'b'";
    let row = client.query_one(sql, &[]).await?;
    ensure!(row.get::<_, &str>(0) == source.etag && row.get::<_, &str>(1) == "b");
    let usage = client.query_one("select live_bytes, live_objects, retained_bytes from holdfast.usage('documents', 'alice')", &[]).await?;
    ensure!(
        (usage.get::<_, i64>(0), usage.get::<_, i64>(1), usage.get::<_, i64>(2)) == (30, 3, 10)
    );
    // Its bytes stay until the last of the three is gone.
    for key in ["a", "b"] {
        call(&client, &erase(key, None)).await?.ok();
    }
    let purge = "select delete_blob from holdfast.purge(100, clock_timestamp() + interval '25 hours') p join holdfast.version v on v.id = p.version and v.s3_key = (select s3_key from holdfast.version where id = $1)";
    let rows = client.query(purge, &[&source.version]).await?;
    ensure!(rows.len() == 2 && rows.iter().all(|row| !row.get::<_, bool>(0)), "{}", rows.len());
    call(&client, &erase("c", None)).await?.ok();
    let rows = client.query(purge, &[&source.version]).await?;
    ensure!(rows.iter().any(|row| row.get::<_, bool>(0)));
    Ok(())
}

async fn a_copy_is_refused_as_an_upload_is(db: Db) -> Result<()> {
    let client = db.connect().await?;
    store(&client, "a").await?;
    Write { sub: "bob".into(), ..write("bobs") }.store(&client).await?;
    let by = |sub: &str, bucket: &str, from: &str, to: &str, rest: &str| {
        format!(
            "select outcome, rule from holdfast.copy_object('{bucket}', '{from}', null, '{to}', gen_random_uuid(), {rest}, true, null, null, '{sub}', '{{}}', null, null, null, {WHERE})"
        )
    };
    for (sql, outcome, rule) in [
        (by("", "documents", "a", "b", "null"), "AccessDenied", Some("authentication")),
        (by("alice", "nowhere", "a", "b", "null"), "NoSuchBucket", Some("bucket")),
        (by("bob", "documents", "a", "b", "null"), "NoSuchKey", None),
        (by("alice", "documents", "none", "b", "null"), "NoSuchKey", None),
        (by("alice", "documents", "a", "bobs", "null"), "AccessDenied", Some("object.owner")),
        (by("alice", "documents", "a", "b", "'\"other\"'"), "PreconditionFailed", Some("if-match")),
    ] {
        call(&client, &sql).await?.expect(outcome, rule);
    }
    let set = |policy: &str| {
        format!("update holdfast.bucket set policy = policy || '{policy}' where name = 'documents'")
    };
    for (policy, outcome, rule) in [
        (r#"{"maxBytes": 9}"#, "EntityTooLarge", "policy.maxBytes"),
        (
            r#"{"maxBytes": 10, "allowedTypes": ["image/*"]}"#,
            "InvalidContentType",
            "policy.allowedTypes",
        ),
        (
            r#"{"allowedTypes": ["text/*"], "ownerQuotaBytes": 19}"#,
            "QuotaExceeded",
            "policy.ownerQuotaBytes",
        ),
    ] {
        client.execute(&set(policy), &[]).await?;
        call(&client, &copy("a", "b", false)).await?.expect(outcome, Some(rule));
    }
    client.execute(&set(r#"{"ownerQuotaBytes": 20}"#), &[]).await?;
    call(&client, &copy("a", "b", false)).await?.ok();
    // Refusals left no object behind: the invariants say so.
    ensure!(db.number("select count(*) from holdfast.object").await? == 3);
    Ok(())
}

async fn a_repeated_copy_is_one_copy(db: Db) -> Result<()> {
    let client = db.connect().await?;
    store(&client, "a").await?;
    let keyed = |to: &str, fingerprint: &str| {
        format!(
            "select outcome, rule, copied ->> 'version', repeated from holdfast.copy_object('documents', 'a', null, '{to}', gen_random_uuid(), null, false, null, null, {WHO}, 'key', '{fingerprint}', {WHERE})"
        )
    };
    let sql = keyed("b", "f");
    let answers = db
        .at_once(CALLERS, move |_, client| {
            let sql = sql.clone();
            async move {
                let row = client.query_one(&sql, &[]).await?;
                Ok((Outcome::of(&row), row.get::<_, String>(2), row.get::<_, bool>(3)))
            }
        })
        .await?;
    ensure!(answers.iter().all(|it| it.0.outcome == "ok" && it.1 == answers[0].1), "{answers:?}");
    ensure!(answers.iter().filter(|it| !it.2).count() == 1);
    ensure!(db.number("select count(*) from holdfast.version").await? == 2);
    call(&client, &keyed("c", "g")).await?.expect("IdempotencyKeyReused", Some("idempotency-key"));
    // The same call again, its answer lost.
    let id = Uuid::now_v7();
    let sql = format!(
        "select outcome, rule from holdfast.copy_object('documents', 'a', null, 'd', '{id}', null, false, null, null, {WHO}, null, null, {WHERE})"
    );
    call(&client, &sql).await?.ok();
    call(&client, &sql).await?.ok();
    ensure!(db.number("select count(*) from holdfast.outbox where key = 'd'").await? == 1);
    Ok(())
}

async fn a_move_takes_the_history_along(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let (old, new) = (store(&client, "a").await?, store(&client, "a").await?);
    let there = store(&client, "b").await?;
    call(&client, &relocate("a", "b", false))
        .await?
        .expect("PreconditionFailed", Some("overwrite"));
    call(&client, &relocate("a", "b", true)).await?.ok();
    let mut expected = vec![
        ("b".to_owned(), "superseded".to_owned(), old.version),
        ("b".to_owned(), "live".to_owned(), new.version),
        ("b".to_owned(), "superseded".to_owned(), there.version),
    ];
    expected.sort_by_key(|it| it.2);
    ensure!(states(&client).await? == expected);
    // The name is free, also for somebody else.
    ensure!(db.number("select count(*) from holdfast.object where key = 'a'").await? == 0);
    Write { sub: "bob".into(), ..write("a") }.store(&client).await?;
    let kinds = "select string_agg(kind || ' ' || key || ' ' || sequence, ', ' order by id) from holdfast.outbox where version = $1";
    let kinds: String = client.query_one(kinds, &[&new.version]).await?.get(0);
    ensure!(kinds == "object.created a 2, object.left a 3, object.moved b 2", "{kinds}");
    // And the one before comes back under the new name.
    call(&client, &restore("b", Some(old.version))).await?.ok();
    ensure!(current(&client, "b").await? == Some(old.version));
    Ok(())
}

async fn a_move_leaves_uploads_and_the_trash_behind(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let gone = store(&client, "a").await?;
    Delete::of("a").run(&client).await?.outcome.ok();
    let moved = store(&client, "a").await?;
    let (at_a, at_b) = (write("a"), write("b"));
    at_a.begin(&client).await?.ok();
    at_b.begin(&client).await?.ok();
    call(&client, &relocate("a", "b", false)).await?.ok();
    ensure!(current(&client, "b").await? == Some(moved.version));
    // An upload ends where it was begun.
    at_a.commit(&client).await?.outcome.ok();
    ensure!(current(&client, "a").await? == Some(at_a.version));
    at_b.commit(&client).await?.outcome.ok();
    ensure!(current(&client, "b").await? == Some(at_b.version));
    call(&client, &restore("a", Some(gone.version))).await?.ok();
    ensure!(current(&client, "a").await? == Some(gone.version));
    call(&client, &restore("b", Some(gone.version))).await?.expect("NoSuchVersion", None);
    Ok(())
}

async fn a_move_is_refused_with_its_rule(db: Db) -> Result<()> {
    let client = db.connect().await?;
    store(&client, "a").await?;
    Write { sub: "bob".into(), ..write("bobs") }.store(&client).await?;
    Write { bucket: "assets".into(), sub: "bob".into(), ..write("seen") }.store(&client).await?;
    let by = |sub: &str, roles: &str, bucket: &str, from: &str, to: &str, rest: &str| {
        format!(
            "select outcome, rule from holdfast.move_object('{bucket}', '{from}', '{to}', {rest}, true, '{sub}', '{roles}', null, {WHERE})"
        )
    };
    for (sql, outcome, rule) in [
        (by("", "{}", "documents", "a", "b", "null"), "AccessDenied", Some("authentication")),
        (by("alice", "{}", "nowhere", "a", "b", "null"), "NoSuchBucket", Some("bucket")),
        (by("bob", "{}", "documents", "a", "b", "null"), "NoSuchKey", None),
        (by("alice", "{}", "assets", "seen", "b", "null"), "AccessDenied", Some("object.delete")),
        (by("alice", "{}", "documents", "none", "b", "null"), "NoSuchKey", None),
        (by("alice", "{}", "documents", "a", "bobs", "null"), "AccessDenied", Some("object.owner")),
        // Not even an admin gives somebody's object to somebody else.
        (
            by("root", "{admin}", "documents", "a", "bobs", "null"),
            "AccessDenied",
            Some("object.owner"),
        ),
        (
            by("alice", "{}", "documents", "a", "b", "'\"other\"'"),
            "PreconditionFailed",
            Some("if-match"),
        ),
    ] {
        call(&client, &sql).await?.expect(outcome, rule);
    }
    ensure!(db.number("select count(*) from holdfast.object").await? == 3);
    call(&client, &by("root", "{admin}", "documents", "a", "b", "null")).await?.ok();
    let owner: String =
        client.query_one("select owner from holdfast.object where key = 'b'", &[]).await?.get(0);
    ensure!(owner == "alice", "it stays its owner's");
    client
        .execute("update holdfast.bucket set state = 'deleting' where name = 'documents'", &[])
        .await?;
    call(&client, &relocate("b", "c", false))
        .await?
        .expect("BucketNotActive", Some("bucket.state"));
    Ok(())
}

async fn a_restored_version_is_current_again(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let (first, second) = (store(&client, "k").await?, store(&client, "k").await?);
    call(&client, &restore("k", None)).await?.expect("PreconditionFailed", Some("current"));
    call(&client, &restore("k", Some(first.version))).await?.ok();
    ensure!(current(&client, "k").await? == Some(first.version));
    // Again is fine, and nothing more.
    call(&client, &restore("k", Some(first.version))).await?.ok();
    ensure!(
        db.number("select count(*) from holdfast.outbox where kind = 'object.restored'").await?
            == 1
    );
    Delete::of("k").run(&client).await?.outcome.ok();
    call(&client, &restore("k", None)).await?.ok();
    ensure!(current(&client, "k").await? == Some(first.version));
    // Purged by now: nothing brings it back.
    let later = "clock_timestamp() + interval '25 hours'";
    db.number(&format!("select count(*) from holdfast.purge(9, {later})")).await?;
    call(&client, &restore("k", Some(second.version))).await?.expect("NoSuchVersion", None);
    let conditional = format!(
        "select outcome, rule from holdfast.restore('documents', 'k', '{}', '\"other\"', {WHO}, {WHERE})",
        first.version
    );
    call(&client, &conditional).await?.expect("PreconditionFailed", Some("if-match"));
    Ok(())
}

async fn who_may_restore_from_the_trash(db: Db) -> Result<()> {
    let client = db.connect().await?;
    db.bucket("carols", "carol", "{}").await?;
    let it = Write { bucket: "carols".into(), ..write("k") };
    it.store(&client).await?;
    let by = |sub: &str| {
        format!(
            "select outcome, rule from holdfast.restore('carols', 'k', '{}', null, '{sub}', '{{}}', null, {WHERE})",
            it.version
        )
    };
    Delete { bucket: "carols".into(), sub: "carol".into(), ..Delete::of("k") }
        .run(&client)
        .await?
        .outcome
        .ok();
    call(&client, &by("bob")).await?.expect("NoSuchKey", None);
    call(&client, &by("")).await?.expect("AccessDenied", Some("authentication"));
    // Whoever deletes may undo that, and replaces nothing.
    call(&client, &by("carol")).await?.ok();
    Write { bucket: "carols".into(), ..write("k") }.store(&client).await?;
    call(&client, &by("carol")).await?.expect("AccessDenied", Some("object.restore"));
    call(&client, &by("alice")).await?.ok();
    Ok(())
}

async fn what_is_erased_comes_never_back(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let (first, second) = (store(&client, "k").await?, store(&client, "k").await?);
    Delete::of("k").run(&client).await?.outcome.ok();
    let third = store(&client, "k").await?;
    // One of them, and then the rest.
    call(&client, &erase("k", Some(first.version))).await?.ok();
    call(&client, &erase("k", Some(first.version))).await?.expect("NoSuchVersion", None);
    ensure!(current(&client, "k").await? == Some(third.version));
    call(&client, &erase("k", None)).await?.ok();
    call(&client, &erase("k", None)).await?.expect("NoSuchKey", None);
    for it in [&first, &second, &third] {
        call(&client, &restore("k", Some(it.version))).await?.expect("NoSuchVersion", None);
    }
    ensure!(db.number("select count(*) from holdfast.list_trash('documents', null, null, 9, 'alice', null, null)").await? == 0);
    let resolve = format!(
        "select outcome from holdfast.resolve('documents', 'k', '{}', 'alice', null, null, null)",
        first.version
    );
    ensure!(client.query_one(&resolve, &[]).await?.get::<_, &str>(0) == "NoSuchVersion");
    let kinds =
        "select string_agg(kind, ' ' order by id) from holdfast.outbox where data ? 'permanent'";
    ensure!(
        client.query_one(kinds, &[]).await?.get::<_, &str>(0) == "object.erased object.deleted"
    );
    let erased = "update holdfast.version set state = 'live', replaced_at = null, due_at = null where erased";
    ensure!(client.execute(erased, &[]).await.is_err(), "not even by hand");
    // The key is free for its owner, and without its tags.
    store(&client, "k").await?;
    Ok(())
}

async fn an_erased_version_goes_as_early_as_it_may(db: Db) -> Result<()> {
    let client = db.connect().await?;
    client.execute("update holdfast.bucket set policy = policy || '{\"retentionHours\": 1000}' where name = 'documents'", &[]).await?;
    let (kept, erased, pinned) = (
        store(&client, "kept").await?,
        store(&client, "erased").await?,
        store(&client, "pinned").await?,
    );
    Delete::of("kept").run(&client).await?.outcome.ok();
    Delete::of("erased").run(&client).await?.outcome.ok();
    client.execute("update holdfast.version set pinned_until = clock_timestamp() + interval '50 hours' where id = $1", &[&pinned.version]).await?;
    call(&client, &erase("erased", None)).await?.ok();
    call(&client, &erase("pinned", None)).await?.ok();
    let due = async |hours: i32| {
        let sql = format!(
            "select version from holdfast.purge(9, clock_timestamp() + interval '{hours} hours')"
        );
        let rows = client.query(&sql, &[]).await?;
        Ok::<_, anyhow::Error>(rows.iter().map(|row| row.get::<_, Uuid>(0)).collect::<Vec<_>>())
    };
    ensure!(due(23).await?.is_empty());
    ensure!(due(25).await? == [erased.version]);
    ensure!(!due(49).await?.contains(&pinned.version));
    ensure!(due(51).await?.contains(&pinned.version));
    ensure!(!due(999).await?.contains(&kept.version));
    ensure!(due(1001).await?.contains(&kept.version));
    Ok(())
}

async fn a_batch_deletes_each_for_itself(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for key in ["a", "b", "c"] {
        store(&client, key).await?;
    }
    Write { bucket: "documents".into(), sub: "bob".into(), ..write("bobs") }.store(&client).await?;
    let sql = format!(
        "select place, outcome, version from holdfast.delete_objects('documents', array['c', 'none', 'a', 'bobs', 'c'], $1, {WHO}, {WHERE}) order by place"
    );
    let answers = async |permanent: bool| {
        let rows = client.query(&sql, &[&permanent]).await?;
        Ok::<_, anyhow::Error>(
            rows.iter().map(|row| row.get::<_, String>(1)).collect::<Vec<_>>().join(" "),
        )
    };
    ensure!(answers(false).await? == "ok NoSuchKey ok NoSuchKey NoSuchKey");
    ensure!(current(&client, "b").await?.is_some());
    // What is in the trash can still go for good.
    ensure!(answers(true).await? == "ok NoSuchKey ok NoSuchKey NoSuchKey");
    ensure!(db.number("select count(*) from holdfast.version where erased").await? == 2);
    let rows = client.query(&format!("select outcome, rule from holdfast.delete_objects('nowhere', array['a'], false, {WHO}, {WHERE})"), &[]).await?;
    Outcome::of(&rows[0]).expect("NoSuchBucket", Some("bucket"));
    Ok(())
}

async fn tags_stay_with_their_object(db: Db) -> Result<()> {
    let client = db.connect().await?;
    store(&client, "k").await?;
    let annotate = |key: &str, tags: &str, metadata: &str, who: &str| {
        format!(
            "select outcome, rule from holdfast.annotate('documents', '{key}', {tags}, {metadata}, null, {who}, {WHERE})"
        )
    };
    let tags = async |key: &str| {
        let sql =
            "select coalesce((select tags::text from holdfast.object where key = $1), 'none')";
        Ok::<_, anyhow::Error>(client.query_one(sql, &[&key]).await?.get::<_, String>(0))
    };
    call(&client, &annotate("k", r#"'{"a": "b"}'"#, "null", WHO)).await?.ok();
    call(&client, &annotate("k", "null", r#"'{"color": "blue"}'"#, WHO)).await?.ok();
    call(&client, &annotate("k", "'{}'", "null", "'bob', '{}', null"))
        .await?
        .expect("NoSuchKey", None);
    call(&client, &annotate("k", "'{}'", "null", "'alice', '{}', '{download}'"))
        .await?
        .expect("AccessDenied", Some("object.owner"));
    call(&client, &annotate("none", "'{}'", "null", WHO)).await?.expect("NoSuchKey", None);
    let sql = "select user_metadata ->> 'color' from holdfast.resolve('documents', 'k', null, 'alice', null, null, null)";
    ensure!(client.query_one(sql, &[]).await?.get::<_, &str>(0) == "blue");
    // A new version has them, a copy and a move too.
    store(&client, "k").await?;
    ensure!(tags("k").await? == r#"{"a": "b"}"#);
    call(&client, &copy("k", "copied", false)).await?.ok();
    call(&client, &relocate("k", "moved", false)).await?.ok();
    ensure!(tags("copied").await? == r#"{"a": "b"}"# && tags("moved").await? == r#"{"a": "b"}"#);
    // From the trash they come back, and another object under the name has none.
    Delete::of("moved").run(&client).await?.outcome.ok();
    call(&client, &restore("moved", None)).await?.ok();
    ensure!(tags("moved").await? == r#"{"a": "b"}"#);
    Delete::of("moved").run(&client).await?.outcome.ok();
    store(&client, "moved").await?;
    ensure!(tags("moved").await? == "{}");
    Ok(())
}

/// One step of a job: its state, moved, failed.
async fn step(client: &Client, job: Uuid, undo: bool, limit: i32) -> Result<(String, i64, i64)> {
    let sql = format!(
        "select outcome, job ->> 'state', (job ->> 'moved')::int8, (job ->> 'failed')::int8 from holdfast.step_rename($1, 'documents', $2, $3, {WHO}, {WHERE})"
    );
    let row = client.query_one(&sql, &[&job, &undo, &limit]).await?;
    ensure!(row.get::<_, &str>(0) == "ok", "{}", row.get::<_, &str>(0));
    Ok((row.get(1), row.get(2), row.get(3)))
}

async fn start(client: &Client, from: &str, to: &str) -> Result<Uuid> {
    let job = Uuid::now_v7();
    let sql = format!(
        "select outcome, rule from holdfast.start_rename('{job}', 'documents', '{from}', '{to}', false, {WHO}, {WHERE})"
    );
    call(client, &sql).await?.ok();
    call(client, &sql).await?.ok();
    Ok(job)
}

async fn keys(client: &Client) -> Result<String> {
    let sql =
        "select coalesce(string_agg(key, ' ' order by key), '') from holdfast.object where live";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

async fn a_folder_moves_in_steps_and_back(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for key in ["a/1", "a/2", "a/x/3", "a/x/4", "a/z", "a0", "b/9"] {
        store(&client, key).await?;
    }
    Write { sub: "bob".into(), ..write("a/bobs") }.store(&client).await?;
    let job = start(&client, "a/", "b/c/").await?;
    ensure!(db.number("select total from holdfast.rename_job").await? == 5);
    ensure!(step(&client, job, false, 2).await? == ("running".into(), 2, 0));
    ensure!(step(&client, job, false, 0).await? == ("running".into(), 2, 0));
    ensure!(keys(&client).await? == "a/bobs a/x/3 a/x/4 a/z a0 b/9 b/c/1 b/c/2");
    // Turned round on the way, gone on with, and then back from its end.
    ensure!(step(&client, job, true, 1).await? == ("undoing".into(), 1, 0));
    ensure!(step(&client, job, true, 9).await? == ("undone".into(), 0, 0));
    ensure!(keys(&client).await? == "a/1 a/2 a/bobs a/x/3 a/x/4 a/z a0 b/9");
    let job = start(&client, "a/", "b/c/").await?;
    ensure!(step(&client, job, false, 9).await? == ("done".into(), 5, 0));
    ensure!(keys(&client).await? == "a/bobs a0 b/9 b/c/1 b/c/2 b/c/x/3 b/c/x/4 b/c/z");
    // What was written since stays where it is.
    store(&client, "b/c/2").await?;
    store(&client, "b/c/new").await?;
    ensure!(step(&client, job, true, 2).await? == ("undoing".into(), 3, 0));
    ensure!(step(&client, job, true, 9).await? == ("undone".into(), 0, 1));
    ensure!(keys(&client).await? == "a/1 a/bobs a/x/3 a/x/4 a/z a0 b/9 b/c/2 b/c/new");
    // For nobody else.
    let sql = format!(
        "select outcome, rule from holdfast.step_rename('{job}', 'documents', false, 9, 'bob', '{{}}', null, {WHERE})"
    );
    call(&client, &sql).await?.expect("NoSuchRename", Some("rename"));
    Ok(())
}

async fn a_folder_moves_into_itself_and_out_of_it(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for key in ["a/1", "a/a/2", "a/z/3"] {
        store(&client, key).await?;
    }
    let job = start(&client, "a/", "a/z/").await?;
    while step(&client, job, false, 1).await?.0 == "running" {}
    ensure!(keys(&client).await? == "a/z/1 a/z/a/2 a/z/z/3", "{}", keys(&client).await?);
    let job = start(&client, "a/z/", "a/").await?;
    while step(&client, job, false, 1).await?.0 == "running" {}
    ensure!(keys(&client).await? == "a/1 a/a/2 a/z/3", "{}", keys(&client).await?);
    Ok(())
}

async fn what_cannot_move_is_named(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for key in ["a/1", "a/2", "a/..3", "b/1"] {
        store(&client, key).await?;
    }
    Write { sub: "bob".into(), ..write("b/2") }.store(&client).await?;
    let job = start(&client, "a/", "b/").await?;
    ensure!(step(&client, job, false, 9).await? == ("done".into(), 1, 2));
    ensure!(keys(&client).await? == "a/1 a/2 b/..3 b/1 b/2");
    let failures: String = client.query_one("select string_agg(f ->> 'key' || ' ' || (f ->> 'rule'), ', ') from holdfast.rename_job j, jsonb_array_elements(j.failures) f", &[]).await?.get(0);
    ensure!(failures == "a/1 overwrite, a/2 object.owner", "{failures}");
    // A new name that is none: too long, or a segment of dots.
    let long = "x".repeat(1024);
    let job = start(&client, "a/", &long).await?;
    ensure!(step(&client, job, false, 9).await? == ("done".into(), 0, 2));
    store(&client, "c.").await?;
    let job = start(&client, "c", "").await?;
    ensure!(step(&client, job, false, 9).await? == ("done".into(), 0, 1));
    Ok(())
}

async fn the_worker_goes_on_with_a_renaming_that_was_left(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for key in ["a/1", "a/2", "a/3", "a/4", "a/5"] {
        store(&client, key).await?;
    }
    let job = start(&client, "a/", "b/").await?;
    let go_on = |seconds: i32, limit: i32| {
        format!(
            "holdfast.continue_renames({limit}, clock_timestamp() + interval '{seconds} seconds')"
        )
    };
    ensure!(step(&client, job, false, 1).await? == ("running".into(), 1, 0));
    // To look is not to go on, and its client has a minute.
    step(&client, job, false, 0).await?;
    ensure!(db.number(&go_on(50, 2)).await? == 0);
    ensure!(db.number(&go_on(61, 2)).await? == 2);
    ensure!(db.number(&go_on(70, 2)).await? == 0, "it was gone on with just now");
    // Several at once: one step, whoever is first.
    let at_once = go_on(130, 1);
    let moved = db
        .at_once(8, move |_, client| {
            let sql = format!("select {at_once}");
            async move { Ok(client.query_one(&sql, &[]).await?.get::<_, i64>(0)) }
        })
        .await?;
    ensure!(moved.iter().sum::<i64>() == 1, "{moved:?}");
    ensure!(db.number(&go_on(200, 9)).await? == 1);
    ensure!(step(&client, job, false, 0).await? == ("done".into(), 5, 0));
    ensure!(db.number(&go_on(900, 9)).await? == 0);
    // Back again, and in a bucket that is being deleted not at all.
    step(&client, job, true, 1).await?;
    let state = |state: &str| {
        format!("update holdfast.bucket set state = '{state}' where name = 'documents'")
    };
    client.execute(&state("deleting"), &[]).await?;
    ensure!(db.number(&go_on(61, 9)).await? == 0);
    client.execute(&state("active"), &[]).await?;
    ensure!(db.number(&go_on(3_600, 9)).await? == 0);
    ensure!(db.number(&go_on(3_700, 9)).await? == 4);
    ensure!(keys(&client).await? == "a/1 a/2 a/3 a/4 a/5");
    Ok(())
}

async fn old_renamings_retire_after_what_they_moved(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for n in 0..5 {
        store(&client, &format!("a/{n}")).await?;
    }
    let job = start(&client, "a/", "b/").await?;
    step(&client, job, false, 9).await?;
    let retire =
        |days: i32| format!("holdfast.retire(2, clock_timestamp() + interval '{days} days')");
    ensure!(db.number(&retire(29)).await? == 0);
    for (gone, left) in [(2, 3), (2, 1), (2, 0), (0, 0)] {
        ensure!(db.number(&retire(31)).await? == gone, "of {left}");
        ensure!(db.number("select count(*) from holdfast.rename_item").await? == left);
    }
    ensure!(db.number("select count(*) from holdfast.rename_job").await? == 0);
    Ok(())
}

async fn one_of_64_moves(db: Db) -> Result<()> {
    store(&db.connect().await?, "k").await?;
    let answers = db
        .at_once(CALLERS, |index, client| async move {
            call(&client, &relocate("k", &format!("to{index}"), false)).await
        })
        .await?;
    ensure!(crate::harness::count(&answers, "ok") == 1, "{answers:?}");
    ensure!(crate::harness::count(&answers, "NoSuchKey") == CALLERS - 1);
    Ok(())
}

async fn two_ways_at_once_by_64_never_deadlock(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for key in ["a/1", "a/2", "b/1", "b/2"] {
        store(&client, key).await?;
    }
    db.at_once(CALLERS, |index, client| async move {
        let (from, to) = if index % 2 == 0 { ("a/", "b/") } else { ("b/", "a/") };
        for round in 0..4 {
            let n = 1 + (index / 2 + round) % 2;
            match index % 8 {
                0..=3 => {
                    call(&client, &relocate(&format!("{from}{n}"), &format!("{to}{n}"), true)).await?;
                }
                4 | 5 => {
                    let job = start(&client, from, to).await?;
                    while step(&client, job, false, 1).await?.0 == "running" {}
                }
                _ => {
                    let sql = format!("select min(outcome) from holdfast.delete_objects('documents', array['{to}2', '{from}1', '{to}1'], false, {WHO}, {WHERE})");
                    client.query_one(&sql, &[]).await?;
                    store(&client, &format!("{from}{n}")).await?;
                }
            }
        }
        Ok(())
    })
    .await?;
    Ok(())
}

/// A copy of an earlier version beside the purge of it: its bytes stay, or it is not there any more.
async fn copy_or_purge_wins_never_both(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let mut old = Vec::new();
    for n in 0..CALLERS / 2 {
        old.push(store(&client, &format!("k{n}")).await?.version);
        store(&client, &format!("k{n}")).await?;
    }
    let answers = db
        .at_once(CALLERS, move |index, client| {
            let (n, version) = (index / 2, old[index / 2]);
            async move {
                if index % 2 == 0 {
                    let sql = format!("select outcome, rule from holdfast.copy_object('documents', 'k{n}', '{version}', 'c{n}', gen_random_uuid(), null, false, null, null, {WHO}, null, null, {WHERE})");
                    return Ok((call(&client, &sql).await?.outcome, Vec::new()));
                }
                let sql = "select s3_key from holdfast.purge(2, clock_timestamp() + interval '25 hours') where delete_blob";
                let rows = client.query(sql, &[]).await?;
                Ok((String::new(), rows.iter().map(|row| row.get::<_, String>(0)).collect()))
            }
        })
        .await?;
    let copied = answers.iter().filter(|it| it.0 == "ok").count();
    ensure!(answers.iter().all(|it| matches!(it.0.as_str(), "" | "ok" | "NoSuchVersion")));
    let freed: Vec<String> = answers.into_iter().flat_map(|it| it.1).collect();
    let live = "select count(*) from holdfast.version where state = 'live' and s3_key = any ($1)";
    ensure!(client.query_one(live, &[&freed]).await?.get::<_, i64>(0) == 0, "{copied} copied");
    Ok(())
}

/// Uploads, copies, moves, deletions, restorations and purges of four keys. Whatever comes of each: nobody's bytes were
/// given to the worker to delete while a version names them.
async fn a_random_mix_by_64_keeps_every_byte(db: Db) -> Result<()> {
    const ROUNDS: u32 = 12;
    const KEYS: [&str; 4] = ["k1", "k2", "k3", "k4"];
    const NAMED: &str = "select count(*) from holdfast.version where s3_key = any ($1) and state in ('pending', 'live', 'superseded', 'trashed')";
    let freed = db
        .at_once(CALLERS, |index, client| async move {
            let mut state = 0x9e37_79b9_u32 ^ u32::try_from(index)?.wrapping_mul(0x85eb_ca6b);
            let mut random = move |below: u32| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state % below
            };
            let mut freed = Vec::new();
            for _ in 0..ROUNDS {
                let one = KEYS[random(4) as usize];
                let other = KEYS[random(4) as usize];
                let any = format!("(select v.id from holdfast.version v join holdfast.object o on o.id = v.object_id where o.key = '{one}' and v.state in ('superseded', 'trashed') order by random() limit 1)");
                let sql = match random(9) {
                    0 | 1 => {
                        let it = write(one);
                        it.begin(&client).await?.ok();
                        it.commit(&client).await?.outcome.ok();
                        continue;
                    }
                    2 => {
                        let later = "clock_timestamp() + interval '25 hours'";
                        let sql = format!("select p.version, p.s3_key, p.delete_blob from holdfast.purge(5, {later}) p");
                        let rows = client.query(&sql, &[]).await?;
                        let ids: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
                        let gone = rows.iter().filter(|row| row.get(2));
                        let gone: Vec<String> = gone.map(|row| row.get(1)).collect();
                        // From then on nothing may name them.
                        let named: i64 = client.query_one(NAMED, &[&gone]).await?.get(0);
                        ensure!(named == 0, "{named} versions name bytes that were freed");
                        freed.extend(gone);
                        let purged = format!("select holdfast.purged($1, {later})");
                        client.query_one(&purged, &[&ids]).await?;
                        continue;
                    }
                    3 if one != other && random(2) == 0 => copy(one, other, random(2) == 0),
                    3 => format!("select outcome, rule from holdfast.copy_object('documents', '{one}', {any}, '{other}', gen_random_uuid(), null, true, null, null, {WHO}, null, null, {WHERE})"),
                    4 | 5 if one != other => relocate(one, other, random(2) == 0),
                    6 => format!("select outcome, rule from holdfast.restore('documents', '{one}', {any}, null, {WHO}, {WHERE})"),
                    7 => erase(one, None),
                    _ => {
                        Delete::of(one).run(&client).await?;
                        continue;
                    }
                };
                let outcome = call(&client, &sql).await?.outcome;
                ensure!(
                    matches!(outcome.as_str(), "ok" | "NoSuchKey" | "NoSuchVersion" | "PreconditionFailed"),
                    "{outcome}: {sql}"
                );
            }
            Ok(freed)
        })
        .await?;
    let freed: Vec<String> = freed.into_iter().flatten().collect();
    ensure!(!freed.is_empty(), "nothing was purged");
    let client = db.connect().await?;
    let named: i64 = client.query_one(NAMED, &[&freed]).await?.get(0);
    ensure!(named == 0, "{named} versions name bytes that were freed");
    let shared =
        "select count(*) from (select from holdfast.version group by s3_key having count(*) > 1) s";
    ensure!(db.number(shared).await? > 0, "nothing was copied");
    Ok(())
}
