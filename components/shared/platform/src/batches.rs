//! Batches on PostgreSQL.

use holdfast_core::batch::{Batch, BatchId, MAX_DATA_BYTES, RecordStatus, Report};
use holdfast_core::error::{Code, Error};
use holdfast_core::ports::{Caller, Idempotency};
use holdfast_web::batch_request::BatchRequest;
use spin_sdk::pg::{Connection, ParameterValue};

use crate::catalog::scopes;
use crate::pg::{self, Row, opt_text, text, texts};

const CREATE: &str = "select outcome, rule, id, repeated from holdfast.create_batch(\
    $1::text::uuid, $2, $3::text::uuid, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, null)";
const BATCH: &str = "select outcome, rule, owner, name, template_id, expected, created_at_us, ended_at_us, rendering, \
    complete, failed, status, data from holdfast.batch($1::text::uuid, $2, $3, $4)";
const LIST: &str = "select outcome, id, owner, name, template_id, expected, created_at_us, ended_at_us, rendering, \
    complete, failed, status from holdfast.list_batches($1, $2::text::uuid, $3, $4, $5, $6)";
const RECORDS: &str = "select outcome, rule, record, state, reason, failures, updated_at_us, version, size, etag, \
    content_type from holdfast.list_records($1::text::uuid, $2, $3, $4, $5, $6, $7, $8)";
const REPORT: &str = "select outcome, rule, changed, stay from holdfast.report_records(\
    $1::text::uuid, $2, $3, $4, $5, $6, $7, $8, $9, null)";
const OPEN: &str =
    "select outcome, rule from holdfast.open_record($1::text::uuid, $2, $3, $4, $5, $6, null)";
const DELETE: &str =
    "select outcome, rule from holdfast.delete_batch($1::text::uuid, $2, $3, $4, $5, $6, null)";

/// A record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub record: String,
    /// pending, rendering, complete or failed.
    pub status: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// How often it failed.
    pub failures: i64,
    /// When that changed last, in microseconds of Unix time.
    pub updated_at_us: i64,
    /// Its card, where it is complete.
    pub card: Option<Card>,
}

/// What is stored of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The version.
    pub version: String,
    /// Its length, in bytes.
    pub size: i64,
    /// Its ETag, bare.
    pub etag: String,
    /// Its content type.
    pub content_type: String,
}

/// Which records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Records<'a> {
    /// Of this status alone.
    pub status: Option<RecordStatus>,
    /// Behind this one.
    pub after: Option<&'a str>,
    /// This one alone.
    pub only: Option<&'a str>,
    /// So many at the most.
    pub limit: i32,
}

/// Steps on batches, on one connection.
pub struct Batches<'a> {
    connection: Connection,
    caller: &'a Caller,
}

impl<'a> Batches<'a> {
    /// Opens the database.
    ///
    /// # Errors
    /// [`holdfast_core::error::Code::ServiceUnavailable`].
    pub async fn open(database_url: &str, caller: &'a Caller) -> Result<Self, Error> {
        Ok(Self { connection: pg::open(database_url).await?, caller })
    }

    /// Makes a batch; its id, and whether an earlier request under the same key made it.
    ///
    /// # Errors
    /// [`holdfast_core::error::Code::AccessDenied`], [`holdfast_core::error::Code::IdempotencyKeyReused`].
    pub async fn create(
        &self,
        id: BatchId,
        asked: &BatchRequest,
        idempotency: Option<&Idempotency>,
    ) -> Result<(BatchId, bool), Error> {
        let records = asked.records.as_ref().map_or(ParameterValue::DbNull, |records| {
            ParameterValue::ArrayStr(
                records.iter().map(|it| Some(it.as_str().to_owned())).collect(),
            )
        });
        let data = serde_json::to_vec(&asked.data).map_err(Error::internal)?;
        let mut parameters = vec![
            text(&id.to_string()),
            opt_text(asked.name.as_deref()),
            opt_text(asked.template_id.as_deref()),
            ParameterValue::Int64(asked.expected),
            records,
            ParameterValue::Jsonb(data),
        ];
        parameters.extend(self.who());
        parameters.extend([
            opt_text(idempotency.map(|it| it.key.as_str())),
            opt_text(idempotency.map(|it| it.fingerprint.as_str())),
        ]);
        parameters.extend(self.whence());
        let mut row = pg::row(&self.connection, CREATE, parameters).await?;
        row.outcome(Some(1)).map_err(|mut error| {
            if error.code == Code::EntityTooLarge {
                error.message = format!(
                    "data has at most {MAX_DATA_BYTES} bytes, with all digits of its numbers"
                );
            }
            error
        })?;
        Ok((BatchId::parse(&row.required(2)?)?, row.boolean(3)?))
    }

    /// A batch with its counters.
    ///
    /// # Errors
    /// [`holdfast_core::error::Code::NoSuchBatch`], [`holdfast_core::error::Code::AccessDenied`].
    pub async fn get(&self, id: BatchId) -> Result<Batch, Error> {
        let id = id.to_string();
        let mut parameters = vec![text(&id)];
        parameters.extend(self.who());
        let mut row = pg::row(&self.connection, BATCH, parameters).await?;
        row.outcome(Some(1))?;
        let data = row.text(12)?;
        batch(id, data, &mut row)
    }

    /// Batches, the newest first, behind the last one of the page before; of the caller unless said otherwise.
    ///
    /// # Errors
    /// [`holdfast_core::error::Code::AccessDenied`].
    pub async fn list(
        &self,
        owner: Option<&str>,
        before: Option<&str>,
        limit: i32,
    ) -> Result<Vec<Batch>, Error> {
        let mut parameters = vec![opt_text(owner), opt_text(before), ParameterValue::Int32(limit)];
        parameters.extend(self.who());
        let rows = pg::rows(&self.connection, LIST, parameters).await?;
        rows.into_iter()
            .map(|mut row| {
                row.outcome(None)?;
                let id = row.required(1)?;
                batch(id, None, &mut row)
            })
            .collect()
    }

    /// Records of a batch, by their ids.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn records(&self, id: BatchId, asked: &Records<'_>) -> Result<Vec<Record>, Error> {
        let mut parameters = vec![
            text(&id.to_string()),
            opt_text(asked.status.map(RecordStatus::as_str)),
            opt_text(asked.after),
            ParameterValue::Int32(asked.limit),
            opt_text(asked.only),
        ];
        parameters.extend(self.who());
        let rows = pg::rows(&self.connection, RECORDS, parameters).await?;
        rows.into_iter().map(record).collect()
    }

    /// Writes down what render workers say; how many records changed, and which stay complete.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn report(
        &self,
        id: BatchId,
        reports: &[Report],
    ) -> Result<(i64, Vec<String>), Error> {
        let all = |value: fn(&Report) -> Option<String>| {
            ParameterValue::ArrayStr(reports.iter().map(value).collect())
        };
        let mut parameters = vec![
            text(&id.to_string()),
            all(|it| Some(it.record.as_str().to_owned())),
            all(|it| Some(it.status.as_str().to_owned())),
            all(|it| it.reason.clone()),
        ];
        parameters.extend(self.who());
        parameters.extend(self.whence());
        let mut row = pg::row(&self.connection, REPORT, parameters).await?;
        row.outcome(Some(1))?;
        Ok((row.integer(2)?.unwrap_or_default(), row.texts(3)?.unwrap_or_default()))
    }

    /// Whether the caller may store cards in it.
    ///
    /// # Errors
    /// [`holdfast_core::error::Code::NoSuchBatch`].
    pub async fn open_record(&self, id: BatchId) -> Result<(), Error> {
        self.step(OPEN, id).await
    }

    /// Deletes a batch; its cards follow into the trash.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn delete(&self, id: BatchId) -> Result<(), Error> {
        self.step(DELETE, id).await
    }

    async fn step(&self, statement: &str, id: BatchId) -> Result<(), Error> {
        let mut parameters = vec![text(&id.to_string())];
        parameters.extend(self.who());
        parameters.extend(self.whence());
        pg::row(&self.connection, statement, parameters).await?.outcome(Some(1))
    }

    fn who(&self) -> [ParameterValue; 3] {
        let principal = &self.caller.principal;
        [text(&principal.sub), texts(&principal.roles), scopes(principal)]
    }

    fn whence(&self) -> [ParameterValue; 2] {
        [text(&self.caller.ip), text(&self.caller.request_id)]
    }
}

fn batch(id: String, data: Option<String>, row: &mut Row) -> Result<Batch, Error> {
    Ok(Batch {
        id,
        owner: row.required(2)?,
        name: row.text(3)?,
        template_id: row.text(4)?,
        expected: row.integer(5)?.unwrap_or_default(),
        created_at_us: row.integer(6)?.unwrap_or_default(),
        ended_at_us: row.integer(7)?,
        rendering: row.integer(8)?.unwrap_or_default(),
        complete: row.integer(9)?.unwrap_or_default(),
        failed: row.integer(10)?.unwrap_or_default(),
        status: row.required(11)?,
        data,
    })
}

fn record(mut row: Row) -> Result<Record, Error> {
    row.outcome(Some(1))?;
    let card = match row.text(7)? {
        Some(version) => Some(Card {
            version,
            size: row.integer(8)?.unwrap_or_default(),
            etag: row.required(9)?,
            content_type: row.required(10)?,
        }),
        None => None,
    };
    Ok(Record {
        record: row.required(2)?,
        status: row.required(3)?,
        reason: row.text(4)?,
        failures: row.integer(5)?.unwrap_or_default(),
        updated_at_us: row.integer(6)?.unwrap_or_default(),
        card,
    })
}
