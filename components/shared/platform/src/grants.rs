//! Grants on PostgreSQL: signed URLs, and what is left of them to list and revoke.

use holdfast_core::complete::OpenPut;
use holdfast_core::error::{Code, Error};
use holdfast_core::names::VersionId;
use holdfast_core::ports::Caller;
use holdfast_core::principal::Principal;
use holdfast_core::timestamp::rfc3339;
use serde::Serialize;
use serde_json::Value;
use spin_sdk::pg::ParameterValue;

use crate::catalog::scopes;
use crate::content;
use crate::pg::{self, Row, opt_text, text, texts};

const PRESIGN: &str = "select place, outcome, rule, id, expires_s, version, s3_key, content_type, \
    content_disposition from holdfast.presign($1, $2, $3, $4, $5, $6, null)";
const LIST: &str = "select outcome, id, kind, created_by, bucket, key, version, direct, save_as, max_uses, \
    uses, max_bytes, types, created_at_us, expires_at_us, revoked_at_us from holdfast.list_grants(\
    $1, $2, $3::text::uuid, $4, $5, $6, $7, null)";
const REVOKE: &str = "select outcome, rule from holdfast.revoke_grant(\
    $1::text::uuid, $2, $3, $4, $5, $6, $7, null)";
const OPEN_PUT: &str = "select outcome, rule, sub, roles, scopes, bucket, key, s3_key, size_bytes, \
    content_type, allowed_types, repeated from holdfast.open_put($1, $2, $3, null)";

/// What SQL answers about one signed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The grant's id, a UUID.
    pub id: String,
    /// When it ends, in seconds of Unix time.
    pub expires: i64,
    /// The one version that it is for, if it is for one.
    pub version: Option<String>,
    /// Where its bytes lie, or will lie.
    pub s3_key: Option<String>,
    /// The stored content type of what is read.
    pub content_type: Option<String>,
    /// The Content-Disposition of its uploader.
    pub content_disposition: Option<String>,
}

/// Asks for many signed URLs in one call; an answer for each, in their order. `asked` is as `holdfast.presign` has it.
///
/// # Errors
/// The database's; each element has its own refusal.
pub async fn presign(
    database_url: &str,
    asked: &[Value],
    caller: &Caller,
) -> Result<Vec<Result<Granted, Error>>, Error> {
    let parameters = vec![
        ParameterValue::Jsonb(serde_json::to_vec(asked).map_err(Error::internal)?),
        text(&caller.principal.sub),
        texts(&caller.principal.roles),
        scopes(&caller.principal),
        text(&caller.ip),
        text(&caller.request_id),
    ];
    let connection = pg::open(database_url).await?;
    let rows = pg::rows(&connection, PRESIGN, parameters).await?;
    let mut answers: Vec<_> = asked.iter().map(|_| None).collect();
    for mut row in rows {
        let place = row.integer(0)?.and_then(|place| usize::try_from(place).ok());
        let place = place.and_then(|place| answers.get_mut(place));
        *place.ok_or_else(|| Error::internal("a place that was not asked for"))? =
            Some(granted(&mut row));
    }
    let missing = || Error::internal("no answer for an element");
    answers.into_iter().map(|answer| answer.ok_or_else(missing)).collect()
}

fn granted(row: &mut Row) -> Result<Granted, Error> {
    row.outcome_at(1, Some(2)).map_err(explain)?;
    Ok(Granted {
        id: row.required(3)?,
        expires: row.integer(4)?.unwrap_or_default(),
        version: row.text(5)?,
        s3_key: row.text(6)?,
        content_type: row.text(7)?,
        content_disposition: row.text(8)?,
    })
}

/// Says what to do about a refusal that only signed URLs have.
fn explain(mut error: Error) -> Error {
    let message = match error.rule.as_deref() {
        Some("policy.maxPresignSeconds") => {
            "The bucket's policy has a lower maxPresignSeconds; ask for a shorter expiresIn"
        }
        Some("policy.directAllowed") => {
            "The bucket's policy forbids URLs straight to the store; leave `direct` out, or upload through Holdfast"
        }
        Some("principal.openPuts") => {
            "Too many presigned PUTs of yours are open; complete some, or wait for their end"
        }
        _ => return error,
    };
    message.clone_into(&mut error.message);
    error
}

/// What may be shown of a grant.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The id, a UUID.
    pub id: String,
    /// get, put, share or token.
    #[serde(skip)]
    pub kind: String,
    /// Whose right it is.
    pub created_by: String,
    /// The bucket.
    pub bucket: String,
    /// The key; of an upload token the prefix of the keys.
    #[serde(skip)]
    pub key: String,
    /// The one version that it is for, if it is for one.
    pub version: Option<String>,
    /// Whether it is a URL straight to the store.
    #[serde(skip)]
    pub direct: bool,
    /// Of a share the name to save it under.
    #[serde(skip)]
    pub save_as: Option<String>,
    /// How often it may be used.
    #[serde(skip)]
    pub max_uses: Option<i64>,
    /// How often it was used.
    #[serde(skip)]
    pub uses: i64,
    /// Of a token the largest file, in bytes.
    #[serde(skip)]
    pub max_bytes: Option<i64>,
    /// Of a token the content types.
    #[serde(skip)]
    pub types: Option<Vec<String>>,
    /// RFC 3339, as the other times.
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: String,
    /// When it was ended, if it was.
    pub revoked_at: Option<String>,
}

/// A page of grants that is asked for.
#[derive(Debug)]
pub struct Page<'a> {
    /// Of these kinds.
    pub kinds: &'a [&'a str],
    /// Those of a bucket, for whoever administers it; `None` is one's own.
    pub bucket: Option<&'a str>,
    /// The last id of the page before.
    pub before: Option<&'a str>,
    /// At the most.
    pub limit: i32,
}

/// The grants, the newest first.
///
/// # Errors
/// [`Code::AccessDenied`], and the database's.
pub async fn list(
    database_url: &str,
    page: &Page<'_>,
    caller: &Caller,
) -> Result<Vec<Shown>, Error> {
    let parameters = vec![
        kinds(page.kinds),
        opt_text(page.bucket),
        opt_text(page.before),
        ParameterValue::Int32(page.limit),
        text(&caller.principal.sub),
        texts(&caller.principal.roles),
        scopes(&caller.principal),
    ];
    let connection = pg::open(database_url).await?;
    pg::rows(&connection, LIST, parameters).await?.into_iter().map(shown).collect()
}

fn shown(mut row: Row) -> Result<Shown, Error> {
    row.outcome(None)?;
    Ok(Shown {
        id: row.required(1)?,
        kind: row.required(2)?,
        created_by: row.required(3)?,
        bucket: row.required(4)?,
        key: row.required(5)?,
        version: row.text(6)?,
        direct: row.boolean(7)?,
        save_as: row.text(8)?,
        max_uses: row.integer(9)?,
        uses: row.integer(10)?.unwrap_or_default(),
        max_bytes: row.integer(11)?,
        types: row.texts(12)?,
        created_at: row.integer(13)?.and_then(rfc3339).unwrap_or_default(),
        expires_at: row.integer(14)?.and_then(rfc3339).unwrap_or_default(),
        revoked_at: row.integer(15)?.and_then(rfc3339),
    })
}

/// Calls a grant of these kinds back; again is fine.
///
/// # Errors
/// [`Code::NoSuchGrant`], [`Code::NotRevocable`], and the database's.
pub async fn revoke(
    database_url: &str,
    id: &str,
    of: &[&str],
    caller: &Caller,
) -> Result<(), Error> {
    if uuid::Uuid::try_parse(id).is_err() {
        let message = "There is nothing of this id that is yours to see";
        return Err(Error::new(Code::NoSuchGrant, message));
    }
    let parameters = vec![
        text(id),
        kinds(of),
        text(&caller.principal.sub),
        texts(&caller.principal.roles),
        scopes(&caller.principal),
        text(&caller.ip),
        text(&caller.request_id),
    ];
    pg::call(database_url, REVOKE, parameters).await?.outcome(Some(1))
}

fn kinds(kinds: &[&str]) -> ParameterValue {
    ParameterValue::ArrayStr(kinds.iter().map(|kind| Some((*kind).to_owned())).collect())
}

/// A presigned PUT that shall be completed.
///
/// # Errors
/// [`Code::NoSuchUpload`], and the database's.
pub async fn open_put(
    database_url: &str,
    version: VersionId,
    caller: &Caller,
) -> Result<OpenPut, Error> {
    let parameters =
        vec![ParameterValue::Uuid(version.to_string()), text(&caller.ip), text(&caller.request_id)];
    let mut row = pg::call(database_url, OPEN_PUT, parameters).await?;
    row.outcome(Some(1))?;
    Ok(OpenPut {
        version,
        creator: Principal {
            sub: row.required(2)?,
            roles: row.texts(3)?.unwrap_or_default(),
            scopes: row.texts(4)?,
        },
        bucket: row.required(5)?,
        key: row.required(6)?,
        s3_key: row.required(7)?,
        size: u64::try_from(row.integer(8)?.unwrap_or_default()).map_err(Error::internal)?,
        content_type: row.text(9)?,
        allowed_types: row.texts(10)?,
        repeated: row.text(11)?.map(|json| content::read_repeated(&json)).transpose()?,
    })
}
