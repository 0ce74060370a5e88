//! One server, a database for each test, and the steps as typed calls.

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use holdfast_dev::{Postgres, tools};
use libtest_mimic::{Failed, Trial};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Barrier;
use tokio_postgres::{Client, NoTls, Row};
use uuid::Uuid;

const TEMPLATE: &str = "holdfast_template";

pub(crate) struct Server {
    postgres: Postgres,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start() -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("sql-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let postgres = Postgres::start(&tools()?, &folder.path().join("pg"), None).await?;
        let server = Self { postgres, _folder: folder };
        let admin = connect(&server.url()).await?;
        admin.batch_execute(&format!("create database {TEMPLATE}")).await?;
        let mut client = connect(&url_of(&server.url(), TEMPLATE)).await?;
        holdfast_migrations::migrate(&mut client).await?;
        holdfast_migrations::seed(&mut client).await?;
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        self.postgres.url()
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.postgres.stop().await
    }
}

fn url_of(url: &str, database: &str) -> String {
    url.replace("/holdfast?", &format!("/{database}?"))
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The tests, each with what it needs to run.
pub(crate) struct Suite {
    handle: Handle,
    /// None when the tests are only listed.
    url: Option<String>,
    trials: Vec<Trial>,
}

impl Suite {
    pub(crate) fn new(handle: Handle, url: Option<String>) -> Self {
        Self { handle, url, trials: Vec::new() }
    }

    /// A test over a migrated database; the invariants are checked when it is through.
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        test: impl AsyncFnOnce(Db) -> Result<()> + Send + 'static,
    ) {
        self.push(name, Some(TEMPLATE), async move |db: Db| {
            test(db.clone()).await?;
            db.check_invariants().await
        });
    }

    /// A test over an empty database.
    pub(crate) fn add_empty(
        &mut self,
        name: &'static str,
        test: impl AsyncFnOnce(Db) -> Result<()> + Send + 'static,
    ) {
        self.push(name, None, test);
    }

    fn push(
        &mut self,
        name: &'static str,
        template: Option<&'static str>,
        test: impl AsyncFnOnce(Db) -> Result<()> + Send + 'static,
    ) {
        let (handle, url) = (self.handle.clone(), self.url.clone());
        self.trials.push(Trial::test(name, move || {
            let url = url.ok_or("no server")?;
            handle
                .block_on(async move {
                    let db = Db::create(&url, name, template).await?;
                    test(db).await
                })
                .map_err(|error| Failed::from(explain(&error)))
        }));
    }

    pub(crate) fn into_trials(self) -> Vec<Trial> {
        self.trials
    }
}

/// The error and, where PostgreSQL sent one, its detail (which locks a deadlock was made of).
fn explain(error: &anyhow::Error) -> String {
    let db = error.chain().find_map(|it| it.downcast_ref::<tokio_postgres::error::DbError>());
    match db {
        Some(db) => format!(
            "{error:#}\n{}\n{}",
            db.detail().unwrap_or_default(),
            db.where_().unwrap_or_default()
        ),
        None => format!("{error:#}"),
    }
}

/// One database.
#[derive(Clone)]
pub(crate) struct Db {
    url: String,
}

impl Db {
    async fn create(url: &str, name: &str, template: Option<&str>) -> Result<Self> {
        let admin = connect(url).await?;
        let template = template.unwrap_or("template0");
        // A migrator's session may still be ending in the template.
        let mut tries = 0;
        while let Err(error) =
            admin.batch_execute(&format!("create database {name} template {template}")).await
        {
            tries += 1;
            ensure!(tries < 50, "create database: {error}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(Self { url: url_of(url, name) })
    }

    pub(crate) async fn connect(&self) -> Result<Client> {
        connect(&self.url).await
    }

    /// Runs `call` on `count` sessions that start together; the answers are in order.
    pub(crate) async fn at_once<T, R>(
        &self,
        count: usize,
        call: impl Fn(usize, Client) -> R + Clone + Send + 'static,
    ) -> Result<Vec<T>>
    where
        T: Send + 'static,
        R: Future<Output = Result<T>> + Send,
    {
        let clients = join_all((0..count).map(|_| self.connect())).await;
        let barrier = Arc::new(Barrier::new(count));
        let tasks = clients.into_iter().enumerate().map(|(index, client)| {
            let (barrier, call) = (Arc::clone(&barrier), call.clone());
            tokio::spawn(async move {
                let client = client?;
                barrier.wait().await;
                call(index, client).await
            })
        });
        join_all(tasks.collect::<Vec<_>>()).await.into_iter().map(|answer| answer?).collect()
    }

    /// A bucket whose policy is the least one, changed by `policy`.
    pub(crate) async fn bucket(&self, name: &str, owner: &str, policy: &str) -> Result<()> {
        let least = r#"{"visibility": "private", "writers": "authenticated", "readers": "owner"}"#;
        let sql = "insert into holdfast.bucket (name, owner, policy) values ($1, $2, $3::text::jsonb || $4::text::jsonb)";
        self.connect().await?.execute(sql, &[&name, &owner, &least, &policy]).await?;
        Ok(())
    }

    /// The one value of a query.
    pub(crate) async fn number(&self, sql: &str) -> Result<i64> {
        let client = self.connect().await?;
        let row = client
            .query_one(&format!("select ({sql})::int8"), &[])
            .await
            .with_context(|| sql.to_owned())?;
        Ok(row.get(0))
    }

    /// What holds at any moment, whatever was done (DESIGN, section 4).
    pub(crate) async fn check_invariants(&self) -> Result<()> {
        self.check_once().await?;
        // Folding may change nothing that anybody sees.
        self.number("holdfast.fold(1000000)").await?;
        self.number("holdfast.fold_batches(1000000, null)").await?;
        ensure!(
            self.number("select count(*) from holdfast.usage_delta").await? == 0,
            "deltas left"
        );
        self.check_once().await
    }

    async fn check_once(&self) -> Result<()> {
        let broken = [
            ("usage drifts", "select count(*) from holdfast.usage_drift()"),
            (
                "something negative is used",
                // Of totals and deltas together: which of an upload's deltas is folded first is nobody's affair.
                "select count(*) from ( \
                    select sum(live_bytes) a, sum(live_objects) b, sum(retained_bytes) c, sum(retained_objects) d, \
                           sum(pending_bytes) e, sum(pending_objects) f \
                    from (select bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects, \
                                 pending_bytes, pending_objects \
                          from holdfast.usage_total \
                          union all \
                          select bucket, coalesce(owner, ''), sum(live_bytes), sum(live_objects), sum(retained_bytes), \
                                 sum(retained_objects), sum(pending_bytes), sum(pending_objects) \
                          from holdfast.usage_delta group by grouping sets ((bucket, owner), (bucket))) all_of_it \
                    group by bucket, owner) used \
                 where least(a, b, c, d, e, f) < 0",
            ),
            (
                "a commit has no event, or two",
                "select count(*) from holdfast.version v where v.committed_at is not null and 1 <> (select count(*) from holdfast.outbox e where e.version = v.id and e.kind = 'object.created')",
            ),
            (
                // Of a bucket that is there: with a bucket its versions are forgotten, and its events stay.
                "an event has no commit",
                "select count(*) from holdfast.outbox e where e.kind like 'object.%' and exists (select from holdfast.bucket b where b.name = e.bucket) and not exists (select from holdfast.version v where v.id = e.version and v.committed_at is not null)",
            ),
            (
                "an object's events are not numbered",
                "select count(*) from holdfast.object o where o.sequence <> (select count(*) from holdfast.outbox e where e.object_id = o.id and e.sequence between 1 and o.sequence)",
            ),
            (
                "a template's events are not numbered",
                "select count(*) from holdfast.template t where t.revision <> (select count(*) from holdfast.outbox e where e.object_id = -t.number and e.sequence between 1 and t.revision and e.kind like 'template.%')",
            ),
            (
                "a live version belongs to somebody else",
                "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id where v.committed_at is not null and v.owner is distinct from o.owner",
            ),
            (
                "an object has no version",
                "select count(*) from holdfast.object o where not exists (select from holdfast.version v where v.object_id = o.id)",
            ),
            (
                "a batch counts what its records do not say",
                "select count(*) from holdfast.batch b \
                 cross join lateral holdfast.batch_counts(b) c \
                 cross join lateral (select count(*) filter (where r.state = 'rendering') rendering, \
                     count(*) filter (where r.state = 'complete') complete, \
                     count(*) filter (where r.state = 'failed') failed \
                     from holdfast.batch_record r where r.batch = b.id) r \
                 where (c.rendering, c.complete, c.failed) <> (r.rendering, r.complete, r.failed)",
            ),
            (
                "a record is complete without its card, or is not with it",
                "select count(*) from holdfast.batch b \
                 join holdfast.batch_record r on r.batch = b.id \
                 where b.deleted_at is null and (r.state = 'complete') <> exists (select from holdfast.object o \
                     join holdfast.version v on v.object_id = o.id and v.state = 'live' \
                     where o.bucket = 'batches' and o.key = b.id || '/' || r.record and o.owner = b.owner)",
            ),
            (
                "positions have gaps",
                "select count(*) from holdfast.outbox_position p where p.last <> (select count(position) from holdfast.outbox) or p.last <> (select coalesce(max(position), 0) from holdfast.outbox)",
            ),
        ];
        for (what, sql) in broken {
            let rows = self.number(sql).await?;
            ensure!(rows == 0, "{what}: {rows}");
        }
        Ok(())
    }
}

/// An outcome and the rule behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) outcome: String,
    pub(crate) rule: Option<String>,
}

impl Outcome {
    pub(crate) fn of(row: &Row) -> Self {
        Self { outcome: row.get("outcome"), rule: row.get("rule") }
    }

    /// Panics where the outcome is another one.
    #[track_caller]
    pub(crate) fn expect(&self, outcome: &str, rule: Option<&str>) {
        assert_eq!((self.outcome.as_str(), self.rule.as_deref()), (outcome, rule));
    }

    #[track_caller]
    pub(crate) fn ok(&self) {
        self.expect("ok", None);
    }
}

/// A write, from the outside. `after` moves the clock, in seconds.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) version: Uuid,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) sub: String,
    pub(crate) roles: Vec<String>,
    pub(crate) scopes: Option<Vec<String>>,
    /// Declared.
    pub(crate) size: Option<i64>,
    /// Declared.
    pub(crate) content_type: Option<String>,
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) lease_seconds: i32,
    pub(crate) etag: String,
    pub(crate) after: f64,
}

/// Ten bytes by alice at `key` of `documents`.
pub(crate) fn write(key: &str) -> Write {
    let version = Uuid::now_v7();
    Write {
        version,
        bucket: "documents".into(),
        key: key.into(),
        sub: "alice".into(),
        roles: Vec::new(),
        scopes: None,
        size: Some(10),
        content_type: Some("text/plain".into()),
        if_match: None,
        if_none_match: None,
        lease_seconds: 60,
        etag: version.simple().to_string(),
        after: 0.0,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) outcome: Outcome,
    pub(crate) created: Option<bool>,
    pub(crate) committed_at_us: Option<i64>,
    pub(crate) owner: Option<String>,
}

impl Write {
    pub(crate) async fn begin(&self, client: &Client) -> Result<Outcome> {
        let s3_key = format!("hf/2026/11/24/{}", self.version);
        let sql = "select * from holdfast.begin($1, $2, $3, $4, $5, $6, $7, $8, $9, '{\"a\": \"b\"}', $10, $11, $12, \
                   '192.0.2.1', 'request', clock_timestamp() + $13::float8 * interval '1 second')";
        let row = client
            .query_one(
                sql,
                &[
                    &self.version,
                    &self.bucket,
                    &self.key,
                    &s3_key,
                    &self.sub,
                    &self.roles,
                    &self.scopes,
                    &self.size,
                    &self.content_type,
                    &self.if_match,
                    &self.if_none_match,
                    &self.lease_seconds,
                    &self.after,
                ],
            )
            .await?;
        Ok(Outcome::of(&row))
    }

    /// Commits what was declared, or ten bytes.
    pub(crate) async fn commit(&self, client: &Client) -> Result<Committed> {
        let content_type = self.content_type.clone().unwrap_or_else(|| "text/plain".into());
        self.commit_as(client, self.size.unwrap_or(10), &content_type).await
    }

    pub(crate) async fn commit_as(
        &self,
        client: &Client,
        size: i64,
        content_type: &str,
    ) -> Result<Committed> {
        let sql = "select * from holdfast.commit($1, $2, $3, $4, $5, $6, null, $7, 'AAAAAAAAAAA=', '192.0.2.1', 'request', \
                   clock_timestamp() + $8::float8 * interval '1 second')";
        let row = client
            .query_one(
                sql,
                &[
                    &self.version,
                    &self.sub,
                    &self.roles,
                    &self.scopes,
                    &size,
                    &content_type,
                    &self.etag,
                    &self.after,
                ],
            )
            .await?;
        Ok(Committed {
            outcome: Outcome::of(&row),
            created: row.get("created"),
            committed_at_us: row.get("committed_at_us"),
            owner: row.get("owner"),
        })
    }

    pub(crate) async fn begin_and_commit(&self, client: &Client) -> Result<Committed> {
        self.begin(client).await?.ok();
        self.commit(client).await
    }

    /// Begins and commits, and both must be good.
    pub(crate) async fn store(&self, client: &Client) -> Result<()> {
        self.begin_and_commit(client).await?.outcome.ok();
        Ok(())
    }

    pub(crate) async fn renew(&self, client: &Client, charge: Option<i64>) -> Result<Outcome> {
        let sql = "select * from holdfast.renew($1, $2, $3, $4, clock_timestamp() + $5::float8 * interval '1 second')";
        let row = client
            .query_one(sql, &[&self.version, &self.sub, &charge, &self.lease_seconds, &self.after])
            .await?;
        Ok(Outcome::of(&row))
    }

    pub(crate) async fn abort(&self, client: &Client) -> Result<String> {
        let sql = "select outcome from holdfast.abort($1, $2, 'ClientGone', '192.0.2.1', 'request', null)";
        Ok(client.query_one(sql, &[&self.version, &self.sub]).await?.get(0))
    }

    pub(crate) async fn state(&self, client: &Client) -> Result<String> {
        let row = client
            .query_one("select state from holdfast.version where id = $1", &[&self.version])
            .await?;
        Ok(row.get(0))
    }
}

/// How many of `outcomes` are `outcome`.
pub(crate) fn count<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>, outcome: &str) -> usize {
    outcomes.into_iter().filter(|it| it.outcome == outcome).count()
}
