//! `POST /internal/reconcile`: one step through a day of a bucket. Parse, call the use case, render.

use holdfast_core::error::{Code, Error};
use holdfast_core::names::BucketName;
use holdfast_core::reconcile::{Asked, Batch, Cursor, Day, Drift, Reconciler, Verdict};
use holdfast_platform::app::App;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::log;
use holdfast_web::path::Query;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The longest body that is read, in bytes. A cursor has at most a few thousand.
const MAX_BODY_BYTES: usize = 16 * 1_024;

/// One step; the answer says how to go on.
pub(crate) async fn reconcile(app: &App, inbound: Inbound) -> Result<Value, Error> {
    let asked = parse(inbound).await?;
    let catalog = PgCatalog::new(&app.config.database_url);
    let store = app.blobs()?;
    let safe_age = app.config.orphan_age;
    let reconciler =
        Reconciler { rows: &catalog, store: &store, now: OffsetDateTime::now_utc(), safe_age };
    let batch = reconciler.batch(&asked).await?;
    for row in &batch.rows_without_blob {
        log::alarm("the bytes of a version are gone", &row.version);
    }
    Ok(render(&asked, &batch))
}

/// From a JSON body, or where there is none from the query.
async fn parse(inbound: Inbound) -> Result<Asked, Error> {
    let body = inbound.body.read_whole(MAX_BODY_BYTES).await?;
    let members = if body.is_empty() { from_query(&inbound.query)? } else { from_json(&body)? };
    asked(members)
}

fn from_json(body: &[u8]) -> Result<Map<String, Value>, Error> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(invalid("The body is a JSON object")),
    }
}

fn from_query(query: &str) -> Result<Map<String, Value>, Error> {
    let query = Query::parse(Some(query))?;
    let mut members = Map::new();
    for name in ["day", "bucket", "cursor", "apply", "force"] {
        let value = match (name, query.get(name)?) {
            (_, None) => continue,
            ("apply" | "force", Some("true")) => Value::Bool(true),
            ("apply" | "force", Some("false")) => Value::Bool(false),
            (_, Some(text)) => Value::from(text),
        };
        members.insert(name.to_owned(), value);
    }
    Ok(members)
}

fn asked(members: Map<String, Value>) -> Result<Asked, Error> {
    let (mut day, mut bucket, mut cursor) = (None, None, None);
    let (mut apply, mut force) = (false, false);
    for (name, value) in members {
        match (name.as_str(), value) {
            ("bucket" | "cursor", Value::Null) => {}
            ("day", Value::String(text)) => day = Some(Day::parse(&text)?),
            ("bucket", Value::String(text)) => bucket = Some(BucketName::parse(&text)?),
            ("cursor", Value::String(text)) => cursor = Some(Cursor::parse(&text)?),
            ("apply", Value::Bool(value)) => apply = value,
            ("force", Value::Bool(value)) => force = value,
            // A misspelt member must not turn into its default.
            _ => return Err(invalid(&format!("{name} is no member, or of another type"))),
        }
    }
    let day = day.ok_or_else(|| invalid("day is missing: 2026-11-24"))?;
    Ok(Asked { day, bucket, apply, force, cursor })
}

fn invalid(message: &str) -> Error {
    Error::new(Code::InvalidArgument, message)
}

fn render(asked: &Asked, batch: &Batch) -> Value {
    let count = |verdict| batch.blobs_without_row.iter().filter(|it| it.verdict == verdict).count();
    let orphans = batch.blobs_without_row.iter().map(|orphan| {
        json!({
            "key": orphan.blob.s3_key,
            "size": orphan.blob.size,
            "lastModified": orphan.blob.last_modified.and_then(|at| at.format(&Rfc3339).ok()),
            "verdict": orphan.verdict.as_str(),
        })
    });
    let rows = batch.rows_without_blob.iter().map(|row| {
        json!({
            "version": row.version.to_string(),
            "key": row.key,
            "s3Key": row.s3_key,
            "state": row.state,
            "size": row.size,
        })
    });
    let told = |count: usize| if asked.apply { count } else { 0 };
    json!({
        "day": asked.day.to_string(),
        "bucket": batch.bucket,
        "cursor": batch.next.as_ref().map(Cursor::encode),
        "dryRun": !asked.apply,
        "blobs": batch.blobs,
        "rows": batch.rows,
        "blobsWithoutRow": orphans.collect::<Vec<_>>(),
        "rowsWithoutBlob": rows.collect::<Vec<_>>(),
        "drift": batch.drift.iter().map(drift).collect::<Vec<_>>(),
        "applied": {
            "deleted": count(Verdict::Deleted),
            "failed": count(Verdict::Failed),
            "reported": told(batch.rows_without_blob.len()),
            "mended": told(batch.drift.len()),
        },
    })
}

fn drift(drift: &Drift) -> Value {
    json!({ "owner": drift.owner, "kept": usage(&drift.kept), "counted": usage(&drift.counted) })
}

/// The six numbers by their names.
fn usage(numbers: &str) -> Value {
    const NAMES: [&str; 6] = [
        "liveBytes",
        "liveObjects",
        "retainedBytes",
        "retainedObjects",
        "pendingBytes",
        "pendingObjects",
    ];
    let numbers: Vec<i64> = serde_json::from_str(numbers).unwrap_or_default();
    let named = NAMES.into_iter().zip(numbers);
    Value::Object(named.map(|(name, number)| (name.to_owned(), Value::from(number))).collect())
}
