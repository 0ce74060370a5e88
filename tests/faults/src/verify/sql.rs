//! The invariants of the database, and the hands of its clock.

use anyhow::Result;
use tokio_postgres::Client;

use super::{Kind, Violation};
use crate::history::PLACE;

/// A version as its row has it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) version: String,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) s3_key: String,
    pub(crate) state: String,
    pub(crate) size: Option<i64>,
    pub(crate) etag: Option<String>,
    /// The id of the request that committed it.
    pub(crate) request: Option<String>,
}

impl Row {
    /// Was it ever current?
    pub(crate) fn is_committed(&self) -> bool {
        self.size.is_some()
    }

    /// May it have been committed at another key?
    pub(crate) fn is_at_place(&self) -> bool {
        self.key.contains(PLACE)
    }

    /// Must its bytes be there?
    pub(crate) fn has_bytes(&self) -> bool {
        matches!(self.state.as_str(), "live" | "superseded" | "trashed" | "purging" | "quarantined")
    }
}

pub(super) async fn rows(database: &Client) -> Result<Vec<Row>> {
    // The planner does not know how many there are: these tables are young.
    database.batch_execute("set enable_nestloop = off").await?;
    const ROWS: &str = "
        select v.id::text, o.bucket, o.key, v.s3_key, v.state, v.size_bytes, v.etag, a.request_id
        from holdfast.version v
             join holdfast.object o on o.id = v.object_id
             left join holdfast.audit a
                  on a.version = v.id and a.outcome = 'ok' and a.action in ('commit', 'copy')";
    let rows = database.query(ROWS, &[]).await?;
    let row = |row: &tokio_postgres::Row| Row {
        version: row.get(0),
        bucket: row.get(1),
        key: row.get(2),
        s3_key: row.get(3),
        state: row.get(4),
        size: row.get(5),
        etag: row.get(6),
        request: row.get(7),
    };
    Ok(rows.iter().map(row).collect())
}

/// What of time is made to pass: an operator would wait for it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expire {
    /// Every lease ends now.
    Leases,
    /// Deletions are due now, the second ones too.
    Deletions,
}

pub(super) async fn expire(database: &Client, what: Expire) -> Result<()> {
    const LEASES: &str = "
        update holdfast.version set lease_until = clock_timestamp() - interval '1 second'
        where state = 'pending'";
    const DELETIONS: &str = "
        update holdfast.version
        set due_at     = clock_timestamp() - interval '1 second',
            deleted_at = deleted_at - interval '11 minutes'
        where state = 'aborting'";
    // A worker that was killed had claimed them.
    const PURGES: &str = "
        update holdfast.version set due_at = clock_timestamp() - interval '1 second'
        where state = 'purging'";
    // Who completes has left; what S3 does not have after this long, it never will.
    const SESSIONS: &str = "
        update holdfast.upload_session s
        set due_at        = clock_timestamp() - interval '1 second',
            completing_at = s.completing_at - interval '2 hours',
            expires_at    = clock_timestamp() - interval '1 second'
        from holdfast.version v
        where v.id = s.version and v.state = 'pending' and s.completing_at is not null";
    database.execute(SESSIONS, &[]).await?;
    if matches!(what, Expire::Leases) {
        database.execute(LEASES, &[]).await?;
    }
    database.execute(DELETIONS, &[]).await?;
    database.execute(PURGES, &[]).await?;
    Ok(())
}

/// Has the worker nothing to do any more?
pub(super) async fn is_settled(database: &Client) -> Result<bool> {
    const LEFT: &str = "
        select (select count(*) from holdfast.version
                where state in ('pending', 'aborting', 'purging') or due_at <= clock_timestamp())
             + (select count(*) from holdfast.batch_delta)
             + (select count(*) from holdfast.outbox where position is null)";
    let left: i64 = database.query_one(LEFT, &[]).await?.get(0);
    Ok(left == 0)
}

/// What must not be there: a name and a query that answers one text a row.
const NEVER: [(Kind, &str, &str); 15] = [
    (
        Kind::Database,
        "more than one live version",
        "select object_id::text from holdfast.version where state = 'live'
         group by object_id having count(*) > 1",
    ),
    (
        Kind::Drift,
        "usage differs from a recount",
        "select concat_ws(' ', bucket, owner, kept::text, counted::text) from holdfast.usage_drift()",
    ),
    (
        Kind::Database,
        "a commit without exactly one event",
        "select v.id::text
         from holdfast.version v
              left join holdfast.outbox e on e.version = v.id and e.kind = 'object.created'
         where v.committed_at is not null
         group by v.id having count(e.version) <> 1",
    ),
    (
        Kind::Database,
        "an event of a write that was never committed",
        "select e.version::text from holdfast.outbox e
         where e.kind = 'object.created'
           and not exists (select from holdfast.version v
                           where v.id = e.version and v.committed_at is not null)",
    ),
    (
        Kind::Database,
        "events of an object with a gap",
        "select o.id::text
         from holdfast.object o left join holdfast.outbox e on e.object_id = o.id
         group by o.id
         having o.sequence <> count(e.object_id) or o.sequence <> coalesce(max(e.sequence), 0)",
    ),
    (
        Kind::Database,
        "positions with a gap",
        "select max(position)::text from holdfast.outbox having max(position) <> count(position)",
    ),
    (
        Kind::Database,
        "an upload that is pending though its lease is over",
        "select id::text from holdfast.version where state = 'pending' and lease_until < clock_timestamp()",
    ),
    (
        Kind::Database,
        "a commit without exactly one audit row",
        "select v.id::text
         from holdfast.version v
              left join holdfast.audit a on a.version = v.id and a.outcome = 'ok'
                  and a.action in ('commit', 'copy', 'adopt')
         where v.committed_at is not null
         group by v.id having count(a.version) <> 1",
    ),
    (
        Kind::Database,
        "an object that is not listed as it is",
        "select o.id::text
         from holdfast.object o
              left join holdfast.version v on v.object_id = o.id and v.state = 'live'
         where o.live <> (v.id is not null)",
    ),
    (
        Kind::Database,
        "a version in another bucket than its object",
        "select v.id::text from holdfast.version v join holdfast.object o on o.id = v.object_id
         where v.bucket is distinct from o.bucket",
    ),
    (
        Kind::Database,
        "an object without any version",
        "select o.id::text from holdfast.object o
              left join holdfast.version v on v.object_id = o.id
         where v.id is null",
    ),
    (
        Kind::Database,
        "a version that somebody deleted for good and that is current or an earlier one",
        "select id::text from holdfast.version where erased and state in ('live', 'superseded')",
    ),
    (
        Kind::Drift,
        "a batch that counts what its records do not say",
        "select concat_ws(' ', b.id::text, c.rendering::text, c.complete::text, c.failed::text)
         from holdfast.batch b
              cross join lateral holdfast.batch_counts(b) c
              cross join lateral (
                  select count(*) filter (where r.state = 'rendering') as rendering,
                         count(*) filter (where r.state = 'complete') as complete,
                         count(*) filter (where r.state = 'failed') as failed
                  from holdfast.batch_record r
                  where r.batch = b.id) r
         where (c.rendering, c.complete, c.failed) <> (r.rendering, r.complete, r.failed)",
    ),
    (
        Kind::Database,
        "a record that is complete without its card, or is not with it",
        "select b.id || '/' || coalesce(r.record, card.record)
         from holdfast.batch b
              cross join lateral (
                  select substr(o.key, 38) as record
                  from holdfast.object o
                       join holdfast.version v on v.object_id = o.id and v.state = 'live'
                  where o.bucket = 'batches' and o.key like b.id || '/%' and o.owner = b.owner) card
              full join (select * from holdfast.batch_record where state = 'complete') r
                   on r.batch = b.id and r.record = card.record
         where r.record is null or card.record is null",
    ),
    (
        Kind::Drift,
        "something negative is used",
        "select concat_ws(' ', bucket, owner) from holdfast.usage_total
         where least(live_bytes, live_objects, retained_bytes, retained_objects, pending_bytes, pending_objects) < 0",
    ),
];

/// What the application's log of events has of these keys, in the order of each.
pub(super) async fn log(database: &Client, keys: &[String]) -> Result<Vec<Logged>> {
    // A call writes both with one time. An object that was moved away for good leaves its key to another row.
    const LOG: &str = "
        select e.bucket, e.key, e.kind, e.version::text, a.request_id
        from holdfast.outbox e
             left join holdfast.audit a
                  on a.version = e.version and a.at = e.occurred_at and a.bucket = e.bucket and a.outcome = 'ok'
                     and a.action in ('delete', 'erase', 'restore', 'move')
                     and e.kind <> 'object.created'
        where e.kind like 'object.%'
          and e.key = any ($1)
        order by e.bucket, e.key, e.object_id, e.sequence";
    let rows = database.query(LOG, &[&keys]).await?;
    let logged = |row: &tokio_postgres::Row| Logged {
        bucket: row.get(0),
        key: row.get(1),
        kind: row.get(2),
        version: row.get(3),
        request: row.get(4),
    };
    Ok(rows.iter().map(logged).collect())
}

/// An event of an object, with the request that it comes from where that is no write of a version.
#[derive(Clone, Debug)]
pub(super) struct Logged {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) kind: String,
    pub(super) version: String,
    pub(super) request: Option<String>,
}

pub(super) async fn check(database: &Client) -> Result<Vec<Violation>> {
    let mut wrong = Vec::new();
    for (kind, what, query) in NEVER {
        for row in database.query(query, &[]).await? {
            let which: Option<String> = row.get(0);
            wrong.push(Violation { kind, text: format!("{what}: {}", which.unwrap_or_default()) });
        }
    }
    Ok(wrong)
}
