//! The invariants of the database, and the hands of its clock.

use anyhow::Result;
use tokio_postgres::Client;

use super::{Kind, Violation};

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
}

impl Row {
    /// Was it ever current?
    pub(crate) fn is_committed(&self) -> bool {
        self.size.is_some()
    }

    /// Must its bytes be there?
    pub(crate) fn has_bytes(&self) -> bool {
        matches!(self.state.as_str(), "live" | "superseded" | "trashed" | "purging" | "quarantined")
    }
}

pub(super) async fn rows(database: &Client) -> Result<Vec<Row>> {
    const ROWS: &str = "
        select v.id::text, o.bucket, o.key, v.s3_key, v.state, v.size_bytes, v.etag
        from holdfast.version v
             join holdfast.object o on o.id = v.object_id";
    let rows = database.query(ROWS, &[]).await?;
    let row = |row: &tokio_postgres::Row| Row {
        version: row.get(0),
        bucket: row.get(1),
        key: row.get(2),
        s3_key: row.get(3),
        state: row.get(4),
        size: row.get(5),
        etag: row.get(6),
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
    Ok(())
}

/// Has the worker nothing to do any more?
pub(super) async fn is_settled(database: &Client) -> Result<bool> {
    const LEFT: &str = "
        select (select count(*) from holdfast.version where state in ('pending', 'aborting'))
             + (select count(*) from holdfast.outbox where position is null)";
    let left: i64 = database.query_one(LEFT, &[]).await?.get(0);
    Ok(left == 0)
}

/// What must not be there: a name and a query that answers one text a row.
const NEVER: [(Kind, &str, &str); 8] = [
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
              left join holdfast.audit a on a.version = v.id and a.action = 'commit' and a.outcome = 'ok'
         where v.committed_at is not null
         group by v.id having count(a.version) <> 1",
    ),
];

pub(super) async fn check(database: &Client) -> Result<Vec<Violation>> {
    // Each is a join of all rows, which the planner does not know: these tables are young.
    database.batch_execute("set enable_nestloop = off").await?;
    let mut wrong = Vec::new();
    for (kind, what, query) in NEVER {
        for row in database.query(query, &[]).await? {
            let which: Option<String> = row.get(0);
            wrong.push(Violation { kind, text: format!("{what}: {}", which.unwrap_or_default()) });
        }
    }
    Ok(wrong)
}
