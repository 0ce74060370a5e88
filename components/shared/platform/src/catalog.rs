//! The catalog on PostgreSQL: each step is one call of its SQL function.

use std::cell::RefCell;
use std::collections::BTreeMap;

use holdfast_core::error::Error;
use holdfast_core::limits::{FOLD_BATCH, LEASE_SECONDS, TICK_BATCH};
use holdfast_core::names::{BucketName, ObjectKey, VersionId};
use holdfast_core::ports::{
    Allowed, Begin, Begun, Caller, Catalog, Charge, Commit, Committed, Resolved,
};
use holdfast_core::principal::Principal;
use spin_sdk::pg::{Connection, ParameterValue};

use crate::content;
use crate::pg::{self, Failure, Row, bytes, opt_text, text, texts};

const BEGIN: &str = "select outcome, rule, max_bytes, allowed_types, repeated, \
    charged_bytes, image from holdfast.begin(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, null, $16, $17, $18, $19::text::uuid)";
const RENEW: &str =
    "select outcome, rule, charged_bytes from holdfast.renew($1, $2, $3, $4, null, $5)";
const COMMIT: &str = "select outcome, rule, created, committed_at_us from holdfast.commit(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, null, $12, $13)";
const ABORT: &str = "select outcome from holdfast.abort($1, $2, $3, $4, $5, null)";
const RESOLVE: &str = "select outcome, version, s3_key, size_bytes, etag, content_type, crc64nvme, \
    committed_at_us, user_metadata, visibility, cache_control, headers, digests, rule \
    from holdfast.resolve($1, $2, $3, $4, $5, $6, null, $7::text::uuid)";
const REAP: &str = "select version, bucket, s3_key, multipart, tails from holdfast.reap($1, null)";
const REAPED: &str = "select holdfast.reaped($1::text[]::uuid[], null)";
const PURGE: &str = "select version, bucket, s3_key, delete_blob from holdfast.purge($1, null)";
const PURGED: &str = "select holdfast.purged($1::text[]::uuid[], null)";

/// The SQL steps of one request, on a connection of its own.
pub struct PgCatalog<'a> {
    url: &'a str,
    /// Kept between two steps that follow closely; never for the time of a transfer.
    kept: RefCell<Option<Connection>>,
}

impl<'a> PgCatalog<'a> {
    /// Steps against the database at `url`.
    #[must_use]
    pub fn new(url: &'a str) -> Self {
        Self { url, kept: RefCell::new(None) }
    }

    pub(crate) async fn rows(
        &self,
        statement: &str,
        parameters: Vec<ParameterValue>,
    ) -> Result<Vec<Row>, Error> {
        let kept = self.kept.take();
        let connection = match kept {
            Some(connection) => connection,
            None => pg::open(self.url).await?,
        };
        let rows = pg::rows(&connection, statement, parameters).await;
        if !matches!(rows, Err(Failure::Broken(_))) {
            self.kept.replace(Some(connection));
        }
        Ok(rows?)
    }

    pub(crate) async fn row(
        &self,
        statement: &str,
        parameters: Vec<ParameterValue>,
    ) -> Result<Row, Error> {
        Ok(pg::only(self.rows(statement, parameters).await?, statement)?)
    }

    /// A worker's step that answers a count.
    ///
    /// # Errors
    /// The database's.
    pub async fn count(&self, step: CountStep) -> Result<i64, Error> {
        let mut row = self.row(step.statement(), vec![ParameterValue::Int32(step.limit())]).await?;
        Ok(row.integer(0)?.unwrap_or_default())
    }

    /// Claims versions whose blob shall go: `Sweep::Reap` or `Sweep::Purge`.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim(&self, sweep: Sweep) -> Result<Vec<Claimed>, Error> {
        let statement = match sweep {
            Sweep::Reap => REAP,
            Sweep::Purge => PURGE,
        };
        let rows = self.rows(statement, vec![ParameterValue::Int32(TICK_BATCH)]).await?;
        rows.into_iter()
            .map(|mut row| {
                Ok(Claimed {
                    version: row.required(0)?,
                    bucket: row.required(1)?,
                    s3_key: row.required(2)?,
                    multipart: sweep == Sweep::Reap && row.boolean(3)?,
                    delete_blob: sweep == Sweep::Reap || row.boolean(3)?,
                    tails: match sweep {
                        Sweep::Reap => row.texts(4)?.unwrap_or_default(),
                        Sweep::Purge => Vec::new(),
                    },
                })
            })
            .collect()
    }

    /// Says that the blobs of these claimed versions are gone.
    ///
    /// # Errors
    /// The database's.
    pub async fn swept(&self, sweep: Sweep, versions: &[String]) -> Result<i64, Error> {
        let statement = match sweep {
            Sweep::Reap => REAPED,
            Sweep::Purge => PURGED,
        };
        let mut row = self.row(statement, vec![texts(versions)]).await?;
        Ok(row.integer(0)?.unwrap_or_default())
    }
}

/// Which of the worker's two sweeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Uploads that were given up or whose lease ran out.
    Reap,
    /// Versions past their retention.
    Purge,
}

/// A version that this tick of the worker holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The version.
    pub version: String,
    /// Its bucket.
    pub bucket: String,
    /// Where its bytes lie.
    pub s3_key: String,
    /// False where another version names the same blob.
    pub delete_blob: bool,
    /// Whether S3 may hold parts of it too.
    pub multipart: bool,
    /// Where the ends of a stream lie that were too short for a part.
    pub tails: Vec<String>,
}

/// The worker's steps that only answer a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountStep {
    /// Folds usage deltas into their totals.
    Fold,
    /// Folds the counters of batches, and tells which are through.
    FoldBatches,
    /// Moves the cards of deleted batches to the trash.
    SweepBatches,
    /// Gives outbox rows their position.
    Sequence,
    /// Forgets rows that nothing needs any more.
    Retire,
}

impl CountStep {
    fn statement(self) -> &'static str {
        match self {
            Self::Fold => "select holdfast.fold($1)",
            Self::FoldBatches => "select holdfast.fold_batches($1, null)",
            Self::SweepBatches => "select holdfast.sweep_batches($1, null)",
            Self::Sequence => "select holdfast.sequence($1)",
            Self::Retire => "select holdfast.retire($1, null)",
        }
    }

    /// How many rows it takes, at the most.
    fn limit(self) -> i32 {
        match self {
            Self::FoldBatches => FOLD_BATCH,
            Self::Fold | Self::SweepBatches | Self::Sequence | Self::Retire => TICK_BATCH,
        }
    }
}

pub(crate) fn uuid(version: VersionId) -> ParameterValue {
    ParameterValue::Uuid(version.to_string())
}

pub(crate) fn scopes(principal: &Principal) -> ParameterValue {
    principal.scopes.as_deref().map_or(ParameterValue::DbNull, texts)
}

impl Catalog for PgCatalog<'_> {
    async fn begin(&self, caller: &Caller, begin: &Begin<'_>) -> Result<Begun, Error> {
        let metadata = serde_json::to_vec(begin.user_metadata).map_err(Error::internal)?;
        let parameters = vec![
            uuid(begin.version),
            text(begin.bucket.as_str()),
            text(begin.key.as_str()),
            text(begin.s3_key),
            text(&caller.principal.sub),
            texts(&caller.principal.roles),
            scopes(&caller.principal),
            bytes(begin.size)?,
            opt_text(begin.content_type),
            ParameterValue::Jsonb(metadata),
            opt_text(begin.if_match),
            opt_text(begin.if_none_match),
            ParameterValue::Int32(LEASE_SECONDS),
            text(&caller.ip),
            text(&caller.request_id),
            ParameterValue::Jsonb(content::write_headers(begin.headers)?),
            opt_text(begin.idempotency.map(|it| it.key.as_str())),
            opt_text(begin.idempotency.map(|it| it.fingerprint.as_str())),
            opt_text(caller.grant.as_deref()),
        ];
        let mut row = self.row(BEGIN, parameters).await?;
        row.outcome(Some(1))?;
        if let Some(repeated) = row.text(4)? {
            let (commit, committed) = content::read_repeated(&repeated)?;
            return Ok(Begun::Repeated(Box::new(commit), committed));
        }
        let max_bytes = row.integer(2)?.and_then(|limit| u64::try_from(limit).ok());
        let charged = row.integer(5)?.and_then(|bytes| u64::try_from(bytes).ok());
        let types = row.texts(3)?;
        let image = content::read_limits(row.text(6)?.as_deref())?;
        Ok(Begun::New(Allowed { charged: charged.unwrap_or_default(), max_bytes, types, image }))
    }

    async fn renew(
        &self,
        caller: &Caller,
        version: VersionId,
        charge: Option<Charge>,
    ) -> Result<u64, Error> {
        let parameters = vec![
            uuid(version),
            text(&caller.principal.sub),
            bytes(charge.map(|charge| charge.wanted))?,
            ParameterValue::Int32(LEASE_SECONDS),
            bytes(charge.map(|charge| charge.sent))?,
        ];
        let renewed = self.row(RENEW, parameters).await;
        self.release();
        let mut row = renewed?;
        row.outcome(Some(1))?;
        let charged = row.integer(2)?.and_then(|bytes| u64::try_from(bytes).ok());
        Ok(charged.unwrap_or_default())
    }

    async fn commit(&self, caller: &Caller, commit: &Commit) -> Result<Committed, Error> {
        let parameters = vec![
            uuid(commit.version),
            text(&caller.principal.sub),
            texts(&caller.principal.roles),
            scopes(&caller.principal),
            bytes(Some(commit.size))?,
            text(&commit.content_type),
            opt_text(commit.found_type.as_deref()),
            text(&commit.etag),
            opt_text(commit.crc64nvme.as_deref()),
            text(&caller.ip),
            text(&caller.request_id),
            ParameterValue::Jsonb(content::write_digests(&commit.digests)?),
            content::write_image(commit.image)?
                .map_or(ParameterValue::DbNull, ParameterValue::Jsonb),
        ];
        let mut row = self.row(COMMIT, parameters).await?;
        row.outcome(Some(1))?;
        Ok(Committed {
            created: row.boolean(2)?,
            committed_at_us: row.integer(3)?.unwrap_or_default(),
        })
    }

    async fn abort(&self, caller: &Caller, version: VersionId, code: &str) -> Result<bool, Error> {
        let parameters = vec![
            uuid(version),
            text(&caller.principal.sub),
            text(code),
            text(&caller.ip),
            text(&caller.request_id),
        ];
        let mut row = self.row(ABORT, parameters).await?;
        Ok(row.required(0)? == "ok")
    }

    fn release(&self) {
        self.kept.take();
    }
}

/// Which version of which object is asked for.
pub struct Wanted<'a> {
    /// The bucket.
    pub bucket: &'a BucketName,
    /// The key.
    pub key: &'a ObjectKey,
    /// A version, or `None` for the current one.
    pub version: Option<VersionId>,
    /// The grant of a signed URL, whose signature was verified: its creator reads.
    pub grant: Option<&'a str>,
}

/// Finds the version that a principal may read.
///
/// # Errors
/// `NoSuchKey`, `NoSuchBucket` or `NoSuchVersion`; a forbidden object looks like a missing one.
pub async fn resolve(
    connection: &Connection,
    principal: &Principal,
    wanted: &Wanted<'_>,
) -> Result<Result<Resolved, Error>, Failure> {
    let parameters = vec![
        text(wanted.bucket.as_str()),
        text(wanted.key.as_str()),
        wanted.version.map_or(ParameterValue::DbNull, uuid),
        text(&principal.sub),
        texts(&principal.roles),
        scopes(principal),
        opt_text(wanted.grant),
    ];
    Ok(resolved(&mut pg::row(connection, RESOLVE, parameters).await?))
}

pub(crate) fn resolved(row: &mut Row) -> Result<Resolved, Error> {
    row.outcome(Some(13))?;
    let metadata: BTreeMap<String, String> = match row.text(8)? {
        Some(json) => serde_json::from_str(&json).map_err(Error::internal)?,
        None => BTreeMap::new(),
    };
    let size = row.integer(3)?.unwrap_or_default();
    Ok(Resolved {
        version: VersionId::parse(&row.required(1)?)?,
        s3_key: row.required(2)?,
        size: u64::try_from(size).map_err(Error::internal)?,
        etag: row.required(4)?,
        content_type: row.required(5)?,
        crc64nvme: row.text(6)?,
        committed_at_us: row.integer(7)?.unwrap_or_default(),
        user_metadata: metadata,
        public: row.required(9)? == "public-read",
        cache_control: row.text(10)?,
        headers: content::read_headers(row.text(11)?.as_deref())?,
        digests: content::read_digests(row.text(12)?.as_deref())?,
    })
}
