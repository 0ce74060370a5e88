//! PostgreSQL through Spin: one statement is one step, its values by position.

use std::time::Duration;

use holdfast_core::error::{Code, Error};
use spin_sdk::pg::{Connection, DbValue, Error as SdkError, ParameterValue, PgError, QueryError};

use crate::clock::within;

/// How long a connection from the pool may take: the pool itself waits for ever.
const OPEN_LIMIT: Duration = Duration::from_secs(5);

/// How long a statement may take as we see it; the server's own limit is in the connection string.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// What the client reads when the database is not there.
const DATABASE: &str = "The database";

/// Takes a connection from the pool of this component.
///
/// # Errors
/// [`Code::ServiceUnavailable`]: none within five seconds.
pub async fn open(url: &str) -> Result<Connection, Error> {
    match within(OPEN_LIMIT, Connection::open(url)).await {
        Some(Ok(connection)) => Ok(connection),
        Some(Err(error)) => Err(Error::unavailable(DATABASE, describe(&error))),
        None => Err(Error::unavailable(DATABASE, "no free connection within 5 s")),
    }
}

/// Why a statement has no result.
#[derive(Debug)]
pub enum Failure {
    /// The server refused it; it did not happen.
    Refused(String),
    /// The connection broke: whether it happened is not known, and the connection is of no more use.
    Broken(String),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(cause) => Self::internal(cause),
            Failure::Broken(cause) => Self::unavailable(DATABASE, cause),
        }
    }
}

/// SQLSTATE classes after which the same statement may well succeed: connection, resources, shutdown,
/// serialization and deadlock, and our own `statement_timeout`.
const TRANSIENT: [&str; 5] = ["08", "53", "57", "40", "58"];

/// Runs a statement to its very end: errors of its execution come only there.
///
/// # Errors
/// [`Failure`].
pub async fn rows(
    connection: &Connection,
    statement: &str,
    parameters: Vec<ParameterValue>,
) -> Result<Vec<Row>, Failure> {
    let run = async {
        let mut result = connection.query(statement, parameters).await?;
        let mut rows = Vec::new();
        while let Some(values) = result.rows().next().await {
            rows.push(Row(values));
        }
        result.result().await?;
        Ok(rows)
    };
    match within(STATEMENT_LIMIT, run).await {
        Some(Ok(rows)) => Ok(rows),
        Some(Err(error)) => Err(classify(&error)),
        None => Err(Failure::Broken("no answer within 30 s".to_owned())),
    }
}

/// Runs a statement that answers exactly one row, as every step does.
///
/// # Errors
/// [`Failure`].
pub async fn row(
    connection: &Connection,
    statement: &str,
    parameters: Vec<ParameterValue>,
) -> Result<Row, Failure> {
    only(rows(connection, statement, parameters).await?, statement)
}

/// One step on a connection from the pool, which goes back at once.
///
/// # Errors
/// As [`open`] and [`row`].
pub async fn call(
    url: &str,
    statement: &str,
    parameters: Vec<ParameterValue>,
) -> Result<Row, Error> {
    let connection = open(url).await?;
    Ok(row(&connection, statement, parameters).await?)
}

/// The row that a step answered.
///
/// # Errors
/// [`Failure::Refused`]: there is none.
pub(crate) fn only(mut rows: Vec<Row>, statement: &str) -> Result<Row, Failure> {
    rows.pop().ok_or_else(|| Failure::Refused(format!("no row from {statement}")))
}

fn classify(error: &SdkError) -> Failure {
    let text = describe(error);
    match error {
        SdkError::PgError(PgError::QueryFailed(QueryError::DbError(db)))
            if !TRANSIENT.iter().any(|class| db.code.starts_with(class)) =>
        {
            Failure::Refused(text)
        }
        SdkError::PgError(PgError::BadParameter(_) | PgError::ValueConversionFailed(_))
        | SdkError::Decode(_) => Failure::Refused(text),
        SdkError::PgError(_) => Failure::Broken(text),
    }
}

/// An error for the log. A connection error may carry the connection string, so it is not shown.
fn describe(error: &SdkError) -> String {
    match error {
        SdkError::PgError(PgError::ConnectionFailed(_)) => "connection failed".to_owned(),
        SdkError::PgError(PgError::QueryFailed(QueryError::DbError(db))) => {
            format!("{} {}", db.code, db.message)
        }
        other => other.to_string(),
    }
}

/// A row; values are taken out by position.
pub struct Row(Vec<DbValue>);

impl Row {
    fn take(&mut self, at: usize) -> DbValue {
        self.0
            .get_mut(at)
            .map_or(DbValue::DbNull, |value| std::mem::replace(value, DbValue::DbNull))
    }

    /// A text, uuid or JSON column; `None` where it is null.
    ///
    /// # Errors
    /// [`Code::InternalError`]: the column is of another type.
    pub fn text(&mut self, at: usize) -> Result<Option<String>, Error> {
        match self.take(at) {
            DbValue::Str(text) | DbValue::Uuid(text) => Ok(Some(text)),
            DbValue::Jsonb(bytes) => String::from_utf8(bytes).map(Some).map_err(Error::internal),
            DbValue::DbNull => Ok(None),
            other => Err(mismatch(at, &other)),
        }
    }

    /// A text column that is not null.
    ///
    /// # Errors
    /// [`Code::InternalError`]: null, or of another type.
    pub fn required(&mut self, at: usize) -> Result<String, Error> {
        self.text(at)?.ok_or_else(|| Error::internal(format!("column {at} is null")))
    }

    /// An int4 or int8 column; `None` where it is null.
    ///
    /// # Errors
    /// [`Code::InternalError`]: the column is of another type.
    pub fn integer(&mut self, at: usize) -> Result<Option<i64>, Error> {
        match self.take(at) {
            DbValue::Int64(number) => Ok(Some(number)),
            DbValue::Int32(number) => Ok(Some(number.into())),
            DbValue::DbNull => Ok(None),
            other => Err(mismatch(at, &other)),
        }
    }

    /// A boolean column; null is false.
    ///
    /// # Errors
    /// [`Code::InternalError`]: the column is of another type.
    pub fn boolean(&mut self, at: usize) -> Result<bool, Error> {
        match self.take(at) {
            DbValue::Boolean(value) => Ok(value),
            DbValue::DbNull => Ok(false),
            other => Err(mismatch(at, &other)),
        }
    }

    /// A text[] column; `None` where it is null.
    ///
    /// # Errors
    /// [`Code::InternalError`]: the column is of another type.
    pub fn texts(&mut self, at: usize) -> Result<Option<Vec<String>>, Error> {
        match self.take(at) {
            DbValue::ArrayStr(values) => Ok(Some(values.into_iter().flatten().collect())),
            DbValue::DbNull => Ok(None),
            other => Err(mismatch(at, &other)),
        }
    }

    /// The outcome of a step in column 0: nothing where it is `ok`, else the refusal with its rule.
    ///
    /// # Errors
    /// What the step refused.
    pub fn outcome(&mut self, rule_at: Option<usize>) -> Result<(), Error> {
        self.outcome_at(0, rule_at)
    }

    /// The same, where the outcome is in another column.
    pub(crate) fn outcome_at(&mut self, at: usize, rule_at: Option<usize>) -> Result<(), Error> {
        let outcome = self.required(at)?;
        if outcome == "ok" {
            return Ok(());
        }
        let rule = rule_at.map(|at| self.text(at)).transpose()?.flatten();
        Err(refusal(&outcome, rule))
    }
}

fn mismatch(at: usize, value: &DbValue) -> Error {
    Error::internal(format!("column {at} has an unexpected type: {value:?}"))
}

/// The error that a refusing step stands for.
pub(crate) fn refusal(outcome: &str, rule: Option<String>) -> Error {
    let Some(code) = Code::from_name(outcome) else {
        return Error::internal(format!("unknown outcome {outcome}"));
    };
    let message = match code {
        Code::AccessDenied => "You may not do this here; ask the owner for access",
        Code::BucketAlreadyExists => "There is a bucket of this name already; choose another name",
        Code::BucketNotActive => "The bucket is being made or deleted; try again in a while",
        Code::BucketNotEmpty => {
            "The bucket is not empty; delete what it holds, and wait until it is purged"
        }
        Code::EntityTooLarge => "The content is larger than the bucket takes",
        Code::IdempotencyKeyInUse => {
            "The first request under this key is still under way; try again"
        }
        Code::IdempotencyKeyReused => {
            "The Idempotency-Key belongs to a request that asked for something else; send a new key"
        }
        Code::InvalidContentType => "The bucket does not take this content type",
        Code::InvalidImage => "The image is larger or smaller than the bucket takes",
        Code::MissingAuthentication => "Send a bearer token in the Authorization header",
        Code::NoSuchApiKey => "There is no such API key, or it is not yours to see",
        Code::NoSuchBatch => "There is no such batch, or it is not yours",
        Code::NoSuchBucket => "There is no such bucket",
        Code::NoSuchGrant => "There is nothing of this id that is yours to see",
        Code::NoSuchKey => "There is no such object, or it is not yours to see",
        Code::NoSuchTemplate => "There is no such template, or it is not yours to see",
        Code::NoSuchUpload => "The upload was given up before it was whole; send it again",
        Code::NoSuchVersion => "There is no such version of this object",
        Code::NotRevocable => {
            "A URL straight to the store works without asking anybody; it ends when its time is over"
        }
        Code::PreconditionFailed => "The object is not in the state that the request names",
        Code::QuotaExceeded => "There is not enough quota left; delete something first",
        _ => code.title(),
    };
    let error = Error::new(code, message);
    match rule {
        Some(rule) => error.rule(rule),
        None => error,
    }
}

/// Text, or null.
#[must_use]
pub fn opt_text(value: Option<&str>) -> ParameterValue {
    value.map_or(ParameterValue::DbNull, |text| ParameterValue::Str(text.to_owned()))
}

/// Text.
#[must_use]
pub fn text(value: &str) -> ParameterValue {
    ParameterValue::Str(value.to_owned())
}

/// An int8 from a byte count, or null.
///
/// # Errors
/// [`Code::InvalidArgument`]: above 2^63 - 1.
pub fn bytes(value: Option<u64>) -> Result<ParameterValue, Error> {
    value.map_or(Ok(ParameterValue::DbNull), |count| {
        i64::try_from(count)
            .map(ParameterValue::Int64)
            .map_err(|_| Error::new(Code::InvalidArgument, "The length is above 2^63 - 1 bytes"))
    })
}

/// A text[].
#[must_use]
pub fn texts(values: &[String]) -> ParameterValue {
    ParameterValue::ArrayStr(values.iter().cloned().map(Some).collect())
}
