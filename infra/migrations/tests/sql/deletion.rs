//! `trash`: who may delete, what is left, and when the bytes go.

use crate::harness::{Db, Outcome, Suite, write};
use anyhow::{Result, ensure};
use tokio_postgres::Client;
use uuid::Uuid;

const HOUR: f64 = 3600.0;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_deletion_says_who_when_and_until_when", a_deletion_says_who_when_and_until_when);
    suite.add("a_deleted_object_starts_anew", a_deleted_object_starts_anew);
    suite.add("older_versions_stay_readable", older_versions_stay_readable);
    suite.add("who_may_delete_and_what_others_learn", who_may_delete_and_what_others_learn);
    suite.add("if_match_is_asked_of_what_is_current", if_match_is_asked_of_what_is_current);
    suite.add("what_is_deleted_is_purged_in_its_time", what_is_deleted_is_purged_in_its_time);
    suite.add("a_quarantined_version_is_never_purged", a_quarantined_version_is_never_purged);
    suite.add("the_trash_has_a_deleter", the_trash_has_a_deleter);
}

/// A deletion, from the outside.
#[derive(Debug, Clone)]
pub(crate) struct Delete {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) sub: String,
    pub(crate) roles: Vec<String>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) if_match: Option<String>,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deleted {
    pub(crate) outcome: Outcome,
    pub(crate) version: Option<Uuid>,
    pub(crate) deleted_at_us: Option<i64>,
    pub(crate) purge_after_us: Option<i64>,
}

impl Delete {
    /// By alice, of `key` in `documents`.
    pub(crate) fn of(key: &str) -> Self {
        Self {
            bucket: "documents".into(),
            key: key.into(),
            sub: "alice".into(),
            roles: Vec::new(),
            scopes: None,
            if_match: None,
        }
    }

    fn by(key: &str, sub: &str) -> Self {
        Self { sub: sub.into(), ..Self::of(key) }
    }

    pub(crate) async fn run(&self, client: &Client) -> Result<Deleted> {
        let sql =
            "select * from holdfast.trash($1, $2, $3, $4, $5, $6, '192.0.2.1', 'request', null)";
        let row = client
            .query_one(
                sql,
                &[&self.bucket, &self.key, &self.sub, &self.roles, &self.scopes, &self.if_match],
            )
            .await?;
        Ok(Deleted {
            outcome: Outcome { outcome: row.get("outcome"), rule: row.get("rule") },
            version: row.get("version"),
            deleted_at_us: row.get("deleted_at_us"),
            purge_after_us: row.get("purge_after_us"),
        })
    }
}

async fn a_deletion_says_who_when_and_until_when(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let it = write("k");
    it.store(&client).await?;
    let deleted = Delete::of("k").run(&client).await?;
    deleted.outcome.ok();
    ensure!(deleted.version == Some(it.version));
    let (Some(at), Some(until)) = (deleted.deleted_at_us, deleted.purge_after_us) else {
        anyhow::bail!("{deleted:?}")
    };
    ensure!(until - at == 24 * 3_600_000_000, "the retention of documents is a day");

    let kept = format!(
        "select count(*) from holdfast.version where state = 'trashed' and deleted_by = 'alice' \
         and (extract(epoch from replaced_at) * 1000000)::int8 = {at} \
         and (extract(epoch from due_at) * 1000000)::int8 = {until}"
    );
    ensure!(db.number(&kept).await? == 1);
    ensure!(db.number("select live_bytes from holdfast.usage('documents', 'alice')").await? == 0);
    ensure!(db.number("select live_objects from holdfast.usage('documents', 'alice')").await? == 0);
    ensure!(
        db.number("select retained_bytes from holdfast.usage('documents', 'alice')").await? == 10
    );
    let event = "select count(*) from holdfast.outbox where kind = 'object.deleted' and sequence = 2 and actor = 'alice' \
         and key = 'k' and data ->> 'owner' = 'alice' and data ->> 'size' = '10' and data ? 'purgeAfter'";
    ensure!(db.number(event).await? == 1);
    let audit = "select count(*) from holdfast.audit where action = 'delete' and outcome = 'ok' and actor = 'alice' \
         and ip = '192.0.2.1' and request_id = 'request' and version is not null";
    ensure!(db.number(audit).await? == 1);

    // It is gone for everybody, and once.
    ensure!(resolve(&client, None).await? == "NoSuchKey");
    Delete::of("k").run(&client).await?.outcome.expect("NoSuchKey", None);
    ensure!(db.number("select count(*) from holdfast.outbox").await? == 2);
    Ok(())
}

async fn a_deleted_object_starts_anew(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    Delete::of("k").run(&client).await?.outcome.ok();
    // Nobody else takes the name meanwhile.
    let mut other = write("k");
    other.sub = "bob".into();
    other.begin(&client).await?.expect("AccessDenied", Some("object.owner"));

    let mut again = write("k");
    again.if_none_match = Some("*".into());
    ensure!(
        again.begin_and_commit(&client).await?.created == Some(true),
        "there is no current one"
    );
    ensure!(again.state(&client).await? == "live");
    let deleted = Delete::of("k").run(&client).await?;
    ensure!(deleted.version == Some(again.version));
    ensure!(db.number("select count(*) from holdfast.version where state = 'trashed'").await? == 2);
    Ok(())
}

async fn resolve(client: &Client, version: Option<Uuid>) -> Result<String> {
    let sql =
        "select outcome from holdfast.resolve('documents', 'k', $1, 'alice', null, null, null)";
    Ok(client.query_one(sql, &[&version]).await?.get(0))
}

/// A deletion takes what is current; what was replaced before keeps its own time.
async fn older_versions_stay_readable(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let (old, new) = (write("k"), write("k"));
    old.store(&client).await?;
    new.store(&client).await?;
    Delete::of("k").run(&client).await?.outcome.ok();
    ensure!(resolve(&client, None).await? == "NoSuchKey");
    ensure!(resolve(&client, Some(new.version)).await? == "NoSuchVersion");
    ensure!(resolve(&client, Some(old.version)).await? == "ok");
    Ok(())
}

async fn who_may_delete_and_what_others_learn(db: Db) -> Result<()> {
    db.bucket("shared", "boss", r#"{"readers": "authenticated"}"#).await?;
    let client = db.connect().await?;
    for bucket in ["documents", "shared", "assets"] {
        let mut it = write("k");
        it.bucket = bucket.into();
        it.store(&client).await?;
    }
    let asked = async |bucket: &str, mut it: Delete| {
        it.bucket = bucket.into();
        Ok::<_, anyhow::Error>(it.run(&client).await?.outcome)
    };
    let narrow = |scope: &str| Delete { scopes: Some(vec![scope.into()]), ..Delete::of("k") };

    asked("documents", Delete::by("k", "")).await?.expect("AccessDenied", Some("authentication"));
    asked("nowhere", Delete::of("k")).await?.expect("NoSuchBucket", Some("bucket"));
    // Hidden looks like missing, to the last word.
    asked("documents", Delete::by("k", "bob")).await?.expect("NoSuchKey", None);
    asked("documents", Delete::by("missing", "bob")).await?.expect("NoSuchKey", None);
    // Who may see it learns why.
    asked("shared", Delete::by("k", "bob")).await?.expect("AccessDenied", Some("object.delete"));
    asked("assets", Delete::by("k", "bob")).await?.expect("AccessDenied", Some("object.delete"));
    asked("documents", narrow("download")).await?.expect("AccessDenied", Some("object.delete"));
    asked("documents", narrow("upload")).await?.expect("NoSuchKey", None);
    ensure!(db.number("select count(*) from holdfast.version where state = 'trashed'").await? == 0);
    // The audit tells the operator what the client is not told.
    let hidden = "select sum(count) from holdfast.audit where action = 'delete' and actor = 'bob' and bucket = 'documents'";
    ensure!(db.number(hidden).await? == 2);

    asked("documents", narrow("delete")).await?.ok();
    asked("shared", Delete::by("k", "boss")).await?.ok();
    let admin = Delete { roles: vec!["admin".into()], ..Delete::by("k", "root") };
    asked("assets", admin).await?.ok();
    let names =
        "select count(*) from holdfast.version where deleted_by in ('alice', 'boss', 'root')";
    ensure!(db.number(names).await? == 3);
    Ok(())
}

async fn if_match_is_asked_of_what_is_current(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let (old, new) = (write("k"), write("k"));
    old.store(&client).await?;
    new.store(&client).await?;
    let given = |tag: String| Delete { if_match: Some(tag), ..Delete::of("k") };
    for wrong in [format!("\"{}\"", old.etag), format!("W/\"{}\"", new.etag)] {
        let refused = given(wrong).run(&client).await?.outcome;
        refused.expect("PreconditionFailed", Some("if-match"));
    }
    ensure!(new.state(&client).await? == "live");
    given(format!("\"{}\", \"{}\"", old.etag, new.etag)).run(&client).await?.outcome.ok();
    given("*".into()).run(&client).await?.outcome.expect("NoSuchKey", None);
    Ok(())
}

async fn purge(client: &Client, after: f64) -> Result<Vec<Uuid>> {
    let sql = "select version from holdfast.purge(100, clock_timestamp() + $1::float8 * interval '1 second')";
    Ok(client.query(sql, &[&after]).await?.iter().map(|row| row.get(0)).collect())
}

async fn what_is_deleted_is_purged_in_its_time(db: Db) -> Result<()> {
    db.bucket("kept", "system", r#"{"retentionHours": 48}"#).await?;
    let client = db.connect().await?;
    let mut it = write("k");
    it.bucket = "kept".into();
    it.store(&client).await?;
    let deletion = Delete { bucket: "kept".into(), ..Delete::of("k") };
    deletion.run(&client).await?.outcome.ok();
    ensure!(purge(&client, 47.9 * HOUR).await?.is_empty(), "purged before the retention ended");
    let pin = "update holdfast.version set pinned_until = clock_timestamp() + interval '50 hours' where id = $1";
    client.execute(pin, &[&it.version]).await?;
    ensure!(purge(&client, 49.0 * HOUR).await?.is_empty(), "purged while a signed URL is good");
    ensure!(purge(&client, 50.1 * HOUR).await? == [it.version]);
    let done = "select holdfast.purged($1, clock_timestamp() + interval '51 hours')";
    ensure!(client.query_one(done, &[&vec![it.version]]).await?.get::<_, i64>(0) == 1);
    ensure!(it.state(&client).await? == "purged");
    ensure!(db.number("select retained_objects from holdfast.usage('kept', 'alice')").await? == 0);
    ensure!(
        db.number("select count(*) from holdfast.version where deleted_by = 'alice'").await? == 1,
        "a purged version forgot who deleted it"
    );
    Ok(())
}

/// What a scan took away is evidence until somebody decides, whatever the retention says.
async fn a_quarantined_version_is_never_purged(db: Db) -> Result<()> {
    let client = db.connect().await?;
    let (trashed, superseded) = (write("a"), write("b"));
    for it in [&trashed, &superseded] {
        it.store(&client).await?;
    }
    Delete::of("a").run(&client).await?.outcome.ok();
    write("b").store(&client).await?;
    let quarantine =
        "update holdfast.version set state = 'quarantined', due_at = null where id = any ($1)";
    client.execute(quarantine, &[&vec![trashed.version, superseded.version]]).await?;
    ensure!(purge(&client, 1_000.0 * HOUR).await?.is_empty());
    ensure!(
        db.number("select retained_bytes from holdfast.usage('documents', 'alice')").await? == 20
    );
    // And a quarantined one is no current one that could be deleted.
    Delete::of("a").run(&client).await?.outcome.expect("NoSuchKey", None);
    Ok(())
}

async fn the_trash_has_a_deleter(db: Db) -> Result<()> {
    let client = db.connect().await?;
    write("k").store(&client).await?;
    for by in ["null", "''"] {
        let sql = format!(
            "update holdfast.version set state = 'trashed', replaced_at = clock_timestamp(), due_at = clock_timestamp(), deleted_by = {by}"
        );
        ensure!(client.batch_execute(&sql).await.is_err(), "{by}");
    }
    Ok(())
}
