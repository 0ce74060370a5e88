//! Lists of objects, of versions and of the trash; what they read for a page.

use crate::harness::{Db, Suite, Write, write};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use tokio_postgres::Client;
use uuid::Uuid;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_list_is_what_a_naive_one_would_be", a_list_is_what_a_naive_one_would_be);
    suite.add("a_list_shows_what_its_caller_may_read", a_list_shows_what_its_caller_may_read);
    suite.add("the_newest_come_first_page_by_page", the_newest_come_first_page_by_page);
    suite.add("a_search_finds_every_script", a_search_finds_every_script);
    suite.add("a_list_of_versions_is_for_the_owner", a_list_of_versions_is_for_the_owner);
    suite.add("the_trash_is_listed_by_who_may_restore", the_trash_is_listed_by_who_may_restore);
    suite.add("a_page_reads_no_more_than_it_shows", a_page_reads_no_more_than_it_shows);
}

/// A page by key, from the outside.
#[derive(Clone)]
struct List {
    bucket: &'static str,
    prefix: String,
    delimiter: Option<&'static str>,
    search: Option<&'static str>,
    down: bool,
    after: Option<(String, bool)>,
    limit: i32,
    sub: &'static str,
    roles: Vec<String>,
}

fn list() -> List {
    List {
        bucket: "documents",
        prefix: String::new(),
        delimiter: None,
        search: None,
        down: false,
        after: None,
        limit: 1000,
        sub: "alice",
        roles: Vec::new(),
    }
}

fn admin() -> List {
    List { sub: "root", roles: vec!["admin".into()], ..list() }
}

impl List {
    async fn page(
        &self,
        client: &impl tokio_postgres::GenericClient,
    ) -> Result<Vec<(String, bool)>> {
        let sql = "select * from holdfast.list_objects($1, $2, $3, $4, $5, $6, $7, null, null, $8, $9, $10, null)";
        let order = if self.down { "-key" } else { "key" };
        let after = self.after.as_ref().map(|it| it.0.as_str());
        let after_prefix = self.after.as_ref().is_some_and(|it| it.1);
        let rows = client
            .query(
                sql,
                &[
                    &self.bucket,
                    &self.prefix,
                    &self.delimiter,
                    &self.search,
                    &order,
                    &after,
                    &after_prefix,
                    &self.limit,
                    &self.sub,
                    &self.roles,
                ],
            )
            .await?;
        for row in &rows {
            ensure!(
                row.get::<_, &str>("outcome") == "ok",
                "{:?}",
                row.get::<_, Option<&str>>("rule")
            );
        }
        Ok(rows.iter().map(|row| (row.get("key"), row.get("is_prefix"))).collect())
    }

    async fn refusal(&self, client: &Client) -> Result<(String, String)> {
        let sql = "select outcome, rule from holdfast.list_objects($1, '', null, null, 'key', null, false, null, null, 10, $2, $3, null)";
        let row = client.query_one(sql, &[&self.bucket, &self.sub, &self.roles]).await?;
        Ok((row.get(0), row.get(1)))
    }

    /// Every page.
    async fn all(&self, client: &Client) -> Result<Vec<(String, bool)>> {
        let (mut all, mut next) = (Vec::new(), self.clone());
        loop {
            let page = next.page(client).await?;
            ensure!(page.len() <= usize::try_from(self.limit)?, "a page of {}", page.len());
            let Some(last) = page.last().cloned() else { return Ok(all) };
            all.extend(page);
            ensure!(all.len() < 10_000, "it does not end");
            next.after = Some(last);
        }
    }

    fn naive(&self, keys: &BTreeSet<String>) -> Vec<(String, bool)> {
        let mut entries = Vec::new();
        let matching = keys.iter().filter(|key| key.starts_with(&self.prefix));
        for key in matching {
            let text = key.to_ascii_lowercase();
            if self.search.is_some_and(|it| !text.contains(&it.to_ascii_lowercase())) {
                continue;
            }
            let rest = &key[self.prefix.len()..];
            let entry = match self.delimiter.and_then(|it| rest.find(it).map(|at| at + it.len())) {
                Some(end) => (key[..self.prefix.len() + end].to_owned(), true),
                None => (key.clone(), false),
            };
            if entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        if self.down {
            entries.reverse();
        }
        entries
    }
}

async fn store(client: &Client, key: &str, sub: &str) -> Result<()> {
    Write { sub: sub.into(), ..write(key) }.store(client).await
}

async fn a_list_is_what_a_naive_one_would_be(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let mut keys: BTreeSet<String> = [
        "a",
        "a/",
        "a//b",
        "a/b",
        "a/b/c",
        "a/b/d",
        "a/b-c",
        "a/b/",
        "a-b",
        "a.b",
        "a0",
        "b",
        "/",
        "//",
        "/x",
        "日本/語",
        "日本/話",
        "日本",
        "日/本",
        "z\u{10ffff}",
        "z\u{10ffff}/a",
        "z",
        "%/_",
        "_%",
        "Ä/ä",
        "A/B",
    ]
    .map(str::to_owned)
    .into();
    for n in 0..60 {
        keys.insert(format!("many/{}/{n:03}", n % 7));
        keys.insert(format!("m{n}"));
    }
    for key in &keys {
        store(&client, key, "alice").await?;
    }
    // What is not there any more, and what never came to be.
    for key in ["a/b/cc", "aa", "many/3/0x", "zz"] {
        store(&client, key, "alice").await?;
        crate::deletion::Delete::of(key).run(&client).await?.outcome.ok();
        write(&format!("{key}-pending")).begin(&client).await?.ok();
    }
    for prefix in [
        "",
        "a",
        "a/",
        "a/b",
        "a/b/",
        "many/",
        "many/3",
        "日",
        "日本/",
        "z\u{10ffff}",
        "%",
        "none",
        "/",
    ] {
        for delimiter in [None, Some("/"), Some("b"), Some("//"), Some("本")] {
            for down in [false, true] {
                for limit in [1, 3, 1000] {
                    let it = List { prefix: prefix.into(), delimiter, down, limit, ..list() };
                    let (found, naive) = (it.all(&client).await?, it.naive(&keys));
                    ensure!(
                        found == naive,
                        "{prefix:?} {delimiter:?} {down} {limit}: {found:?}, not {naive:?}"
                    );
                }
            }
        }
        for search in ["any", "b/c", "/0"].into_iter().chain(["MANY/3", "日本/"]) {
            for (down, limit) in [(false, 2), (true, 5)] {
                let it =
                    List { prefix: prefix.into(), search: Some(search), down, limit, ..list() };
                ensure!(it.all(&client).await? == it.naive(&keys), "{prefix:?} {search:?} {down}");
            }
        }
    }
    // A cursor that belongs to another prefix leads nowhere else.
    let foreign = List { prefix: "a/".into(), after: Some(("M".into(), false)), ..list() };
    ensure!(foreign.page(&client).await?.iter().all(|it| it.0.starts_with("a/")));
    Ok(())
}

async fn a_list_shows_what_its_caller_may_read(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for (key, sub) in [("f/a1", "alice"), ("f/b1", "bob"), ("f/g/b2", "bob"), ("h/a2", "alice")] {
        store(&client, key, sub).await?;
    }
    let keys = async |it: List| {
        let page = it.page(&client).await?;
        Ok::<_, anyhow::Error>(page.into_iter().map(|it| it.0).collect::<Vec<_>>().join(" "))
    };
    ensure!(keys(list()).await? == "f/a1 h/a2");
    ensure!(keys(List { sub: "bob", ..list() }).await? == "f/b1 f/g/b2");
    ensure!(keys(List { sub: "eve", ..list() }).await?.is_empty());
    ensure!(keys(admin()).await? == "f/a1 f/b1 f/g/b2 h/a2");
    ensure!(keys(List { delimiter: Some("/"), ..list() }).await? == "f/ h/");
    ensure!(keys(List { sub: "bob", delimiter: Some("/"), down: true, ..list() }).await? == "f/");
    ensure!(keys(List { search: Some("f/b"), ..list() }).await?.is_empty());
    ensure!(keys(List { search: Some("F/B"), sub: "bob", ..list() }).await? == "f/b1");

    db.bucket("shared", "carol", r#"{"readers": "authenticated"}"#).await?;
    db.bucket("closed", "carol", r#"{"writers": "owner"}"#).await?;
    Write { bucket: "shared".into(), ..write("s") }.store(&client).await?;
    Write { bucket: "closed".into(), sub: "carol".into(), ..write("c") }.store(&client).await?;
    ensure!(keys(List { bucket: "shared", sub: "eve", ..list() }).await? == "s");
    ensure!(keys(List { bucket: "closed", sub: "carol", ..list() }).await? == "c");
    for (bucket, sub, outcome, rule) in [
        ("closed", "alice", "AccessDenied", "bucket.list"),
        ("assets", "", "AccessDenied", "bucket.list"),
        ("nowhere", "alice", "NoSuchBucket", "bucket"),
        ("nowhere", "", "AccessDenied", "bucket"),
    ] {
        let found = List { bucket, sub, ..list() }.refusal(&client).await?;
        ensure!(found == (outcome.to_owned(), rule.to_owned()), "{bucket} {sub}: {found:?}");
    }
    Ok(())
}

async fn the_newest_come_first_page_by_page(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for n in 0..9 {
        store(&client, &format!("n{n}"), if n % 3 == 0 { "bob" } else { "alice" }).await?;
    }
    // Written again, it is the newest.
    store(&client, "n1", "alice").await?;
    for (sub, role, expected) in
        [("root", "admin", "n1 n8 n7 n6 n5 n4 n3 n2 n0"), ("alice", "none", "n1 n8 n7 n5 n4 n2")]
    {
        let sql = "select key, committed_at_us, version from holdfast.list_objects('documents', '', null, null, 'newest', null, false, $1, $2, 4, $3, $4, null)";
        let (mut all, mut at, mut id) = (Vec::new(), None::<i64>, None::<Uuid>);
        loop {
            let rows = client.query(sql, &[&at, &id, &sub, &vec![role]]).await?;
            let Some(last) = rows.last() else { break };
            (at, id) = (last.get(1), last.get(2));
            all.extend(rows.iter().map(|row| row.get::<_, String>(0)));
        }
        ensure!(all.join(" ") == expected, "{all:?}");
    }
    Ok(())
}

async fn a_search_finds_every_script(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for key in ["Bericht-2026.pdf", "日本語の本.txt", "отчёт.doc", "a_b%c", "x/ÜBUNG", "ab"]
    {
        store(&client, key, "alice").await?;
    }
    for (search, expected) in [
        ("bericht", 1),
        ("-2026.P", 1),
        ("日本語", 1),
        ("本語の", 1),
        ("тчё", 1),
        ("_b%", 1),
        ("%%%", 0),
        ("ÜBU", 1),
        ("xyz", 0),
        ("6.pdf", 1),
    ] {
        // Both ways: key by key, and by the index.
        let page = List { search: Some(search), ..list() }.page(&client).await?;
        let sql = "select * from holdfast.search_objects('documents', 'alice', $1, '', false, 9)";
        let indexed = client.query(sql, &[&search]).await?;
        ensure!((page.len(), indexed.len()) == (expected, expected), "{search}: {page:?}");
    }
    Ok(())
}

async fn a_list_of_versions_is_for_the_owner(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let mut versions = Vec::new();
    for _ in 0..5 {
        let it = write("k");
        it.store(&client).await?;
        versions.insert(0, it.version);
    }
    let sql = "select outcome, version, is_current, replaced_at_us, purge_after_us from holdfast.list_versions('documents', 'k', $1, 2, $2, $3, null)";
    let none: Vec<String> = Vec::new();
    let (mut found, mut before) = (Vec::new(), None::<Uuid>);
    loop {
        let rows = client.query(sql, &[&before, &"alice", &none]).await?;
        let Some(last) = rows.last() else { break };
        before = last.get(1);
        for row in &rows {
            let current: bool = row.get(2);
            ensure!(current == (row.get::<_, Uuid>(1) == versions[0]));
            ensure!(row.get::<_, Option<i64>>(3).is_some() != current);
            ensure!(row.get::<_, Option<i64>>(4).is_some() != current);
            found.push(row.get::<_, Uuid>(1));
        }
    }
    ensure!(found == versions, "{found:?}");
    let outcome = async |sub: &str, role: &str| {
        let rows = client.query(sql, &[&None::<Uuid>, &sub, &vec![role]]).await?;
        Ok::<_, anyhow::Error>(rows[0].get::<_, String>(0))
    };
    ensure!(outcome("bob", "").await? == "NoSuchKey");
    ensure!(outcome("", "").await? == "NoSuchKey");
    ensure!(outcome("root", "admin").await? == "ok");
    let stat = "select versions from holdfast.stat_object('documents', 'k', 'alice', null, null)";
    ensure!(client.query_one(stat, &[]).await?.get::<_, i64>(0) == 5);
    crate::deletion::Delete::of("k").run(&client).await?.outcome.ok();
    let stat = "select outcome from holdfast.stat_object('documents', 'k', 'alice', null, null)";
    ensure!(client.query_one(stat, &[]).await?.get::<_, &str>(0) == "NoSuchKey");
    ensure!(outcome("alice", "").await? == "ok", "what was replaced stays");
    Ok(())
}

async fn the_trash_is_listed_by_who_may_restore(db: Db) -> Result<()> {
    let client = db.connect().await?;
    for n in 0..7 {
        let sub = if n % 3 == 0 { "bob" } else { "alice" };
        store(&client, &format!("t{n}"), sub).await?;
        let it = crate::deletion::Delete {
            sub: sub.into(),
            ..crate::deletion::Delete::of(&format!("t{n}"))
        };
        it.run(&client).await?.outcome.ok();
    }
    client.query_one("select outcome from holdfast.erase('documents', 't4', null, 'alice', null, null, null, '', '', null)", &[]).await?;
    for (sub, role, expected) in [
        ("root", "admin", "t6 t5 t3 t2 t1 t0"),
        ("alice", "", "t5 t2 t1"),
        ("bob", "", "t6 t3 t0"),
        ("eve", "", ""),
    ] {
        let sql = "select key, deleted_at_us, version, deleted_by, outcome from holdfast.list_trash('documents', $1, $2, 2, $3, $4, null)";
        let (mut all, mut at, mut id) = (Vec::new(), None::<i64>, None::<Uuid>);
        loop {
            let rows = client.query(sql, &[&at, &id, &sub, &vec![role]]).await?;
            let Some(last) = rows.last() else { break };
            (at, id) = (last.get(1), last.get(2));
            all.extend(rows.iter().map(|row| row.get::<_, String>(0)));
            ensure!(rows.iter().all(|row| matches!(row.get(3), "alice" | "bob")));
        }
        ensure!(all.join(" ") == expected, "{sub}: {all:?}");
    }
    Ok(())
}

/// Twenty thousand objects in two hundred folders, half of bob's and half of alice's; and as many that were deleted, all of
/// them before the last two thousand by key.
const FILL: &str = "
    with objects as (
        insert into holdfast.object (bucket, key, owner, sequence, live, created_at)
        select 'documents',
               case when gone then 'fill/m' || lpad(n::text, 6, '0')
                    else 'fill/' || case when n > 18000 then 'z' else 'a' end || lpad((n / 100)::text, 3, '0') || '/' || n end,
               case when n % 2 = 0 then 'alice' else 'bob' end, 1, not gone, now()
        from generate_series(1, 20000) n, (values (true), (false)) s (gone)
        returning id, owner, live
    ), versions as (
        insert into holdfast.version
            (id, object_id, s3_key, state, created_by, created_at, owner, charged_bytes, size_bytes, content_type, etag,
             committed_at, created, replaced_at, due_at, deleted_by)
        select gen_random_uuid(), o.id, 'hf/' || o.id, case when o.live then 'live' else 'trashed' end, o.owner, now(),
               o.owner, 10, 10, 'a/b', 'e', now() - o.id * interval '1 second', true,
               case when not o.live then now() - o.id * interval '1 second' end,
               case when not o.live then now() + interval '1 day' end, case when not o.live then 'x' end
        from objects o
        returning id, object_id
    ), deltas as (
        insert into holdfast.usage_delta (bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects)
        select 'documents', who, 100000, 10000, 100000, 10000 from unnest(array['alice', 'bob']) who
    )
    insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, version, actor, data)
    select 'object.created', now(), 'documents', 'fill', v.object_id, 1, v.id, 'x', '{}'
    from versions v";

/// No sequential scan, and no more rows than `most`, when the same call is planned anew and by the generic plan.
async fn a_page_reads_no_more_than_it_shows(db: Db) -> Result<()> {
    let mut client = db.connect().await?;
    client.batch_execute(FILL).await?;
    client.batch_execute("vacuum analyze holdfast.object, holdfast.version").await?;
    // One page of each kind, of a hundred; `$1` is who asks, `$2` their roles.
    let list = |rest: &str| {
        format!(
            "select count(*) from holdfast.list_objects('documents', {rest}, 100, $1, $2, null)"
        )
    };
    let calls = [
        ("a page", list("'', null, null, 'key', null, false, null, null"), 100, 500),
        ("a page from the middle", list("'', null, null, 'key', 'fill/a090/9', false, null, null"), 100, 500),
        ("a page over the deleted", list("'', null, null, 'key', 'fill/a179/99', false, null, null"), 100, 500),
        ("a page downwards", list("'', null, null, '-key', 'fill/z', false, null, null"), 100, 500),
        ("a page of folders", list("'fill/', '/', null, 'key', null, false, null, null"), 100, 500),
        ("one folder", list("'fill/a1', null, null, '-key', null, false, null, null"), 100, 500),
        ("the newest", list("'', null, null, 'newest', null, false, null, null"), 100, 500),
        ("the newest, further on", list("'', null, null, 'newest', null, false, (extract(epoch from now() - interval '9000 seconds') * 1000000)::int8, null"), 100, 500),
        ("a search that finds one", list("'', null, '/19998', 'key', null, false, null, null"), 1, 3000),
        ("a search that finds many", list("'', null, '/a0', 'key', null, false, null, null"), 100, 3000),
        ("the trash", "select count(*) from holdfast.list_trash('documents', null, null, 100, $1, $2, null)".into(), 100, 500),
        ("stat", "select count(*) from holdfast.stat_object('documents', case when $1 = 'alice' then 'fill/a001/100' else 'fill/a001/101' end, $1, $2, null) where outcome = 'ok'".into(), 1, 20),
        ("versions", "select count(*) from holdfast.list_versions('documents', 'fill/a001/100', null, 10, $1, $2, null) where outcome = 'ok'".into(), 1, 20),
    ];
    const READ: &str = "
        select coalesce(sum(seq_scan), 0)::int8, coalesce(sum(idx_tup_fetch), 0)::int8
        from pg_stat_xact_user_tables
        where schemaname = 'holdfast' and relname in ('object', 'version')";
    for (sub, role) in [("alice", ""), ("root", "admin")] {
        for (what, sql, expected, most) in &calls {
            for round in 0..8 {
                let transaction = client.transaction().await?;
                let before = transaction.query_one(READ, &[]).await?;
                let found: i64 = transaction.query_one(sql, &[&sub, &vec![role]]).await?.get(0);
                let after = transaction.query_one(READ, &[]).await?;
                let read =
                    |column: usize| after.get::<_, i64>(column) - before.get::<_, i64>(column);
                ensure!(found == *expected, "{sub}, {what}: {found} entries");
                ensure!(read(0) == 0, "{sub}, {what}, round {round}: {} sequential scans", read(0));
                ensure!(
                    read(1) <= *most,
                    "{sub}, {what}, round {round}: {} rows were read",
                    read(1)
                );
                transaction.rollback().await?;
            }
        }
    }
    Ok(())
}
