//! Grants on PostgreSQL: signed URLs, and what is left of them to list and revoke.

use holdfast_core::complete::OpenPut;
use holdfast_core::error::{Code, Error};
use holdfast_core::names::{BucketName, ObjectKey, VersionId};
use holdfast_core::ports::{Caller, Idempotency, Resolved};
use holdfast_core::principal::Principal;
use holdfast_core::timestamp::rfc3339;
use holdfast_web::grant_request::{ShareRequest, TokenRequest};
use holdfast_web::link::Secret;
use serde::Serialize;
use serde_json::Value;
use spin_sdk::pg::ParameterValue;
use time::OffsetDateTime;

use crate::catalog::{resolved, scopes};
use crate::content;
use crate::log;
use crate::pg::{self, Row, opt_text, text, texts};

const PRESIGN: &str = "select place, outcome, rule, id, expires_s, version, s3_key, content_type, \
    content_disposition, signed_s, repeated from holdfast.presign($1, $2, $3, $4, $5, $6, null, $7, $8, $9)";
const LIST: &str = "select outcome, id, kind, created_by, bucket, key, version, direct, save_as, max_uses, \
    uses, max_bytes, types, created_at_us, expires_at_us, revoked_at_us from holdfast.list_grants(\
    $1, $2, $3::text::uuid, $4, $5, $6, $7, null)";
const REVOKE: &str = "select outcome, rule from holdfast.revoke_grant(\
    $1::text::uuid, $2, $3, $4, $5, $6, $7, null)";
const OPEN_PUT: &str = "select outcome, rule, sub, roles, scopes, bucket, key, s3_key, size_bytes, \
    content_type, allowed_types, repeated, image from holdfast.open_put($1, $2, $3, null)";
const REFUSE_PUT: &str = "select outcome, rule from holdfast.open_put(null, $1, $2, null, $3)";
const CREATE_SHARE: &str = "select outcome, rule, created_at_us, expires_at_us, id, encode(hash, 'hex'), repeated \
    from holdfast.create_share($1::text::uuid, $2, $3, $4, $5::text::uuid, $6, $7, $8, $9, $10, $11, $12, $13, null, $14, $15)";
const USE_SHARE: &str = "select outcome, version, s3_key, size_bytes, etag, content_type, crc64nvme, \
    committed_at_us, user_metadata, visibility, cache_control, headers, digests, rule, bucket, key, save_as, grant_id \
    from holdfast.use_share($1, $2, $3, $4, null)";
const CREATE_TOKEN: &str = "select outcome, rule, created_at_us, expires_at_us, id, encode(hash, 'hex'), repeated \
    from holdfast.create_token($1::text::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, null, $14, $15)";
const AUTHENTICATE: &str = "select outcome, sub, roles, scopes, grant_id, bucket, prefix \
    from holdfast.authenticate_token($1, $2, $3, null)";

/// The place of a row that is about the whole request.
const NO_PLACE: i64 = -1;

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
    /// When it is signed, in seconds of Unix time: of a repeated request when the first one was.
    pub signed: i64,
    /// Whether this is the answer of an earlier request under the same Idempotency-Key.
    pub repeated: bool,
}

/// Asks for many signed URLs in one call; an answer for each, in their order. `asked` is as `holdfast.presign` has it,
/// `now` when they are signed.
///
/// # Errors
/// [`Code::IdempotencyKeyReused`], and the database's; each element has its own refusal.
pub async fn presign(
    database_url: &str,
    asked: &[Value],
    idempotency: Option<&Idempotency>,
    now: OffsetDateTime,
    caller: &Caller,
) -> Result<Vec<Result<Granted, Error>>, Error> {
    let mut parameters =
        vec![ParameterValue::Jsonb(serde_json::to_vec(asked).map_err(Error::internal)?)];
    parameters.extend(who(caller));
    parameters.extend(once(idempotency));
    parameters.push(ParameterValue::Int64(now.unix_timestamp()));
    let connection = pg::open(database_url).await?;
    let rows = pg::rows(&connection, PRESIGN, parameters).await?;
    let mut answers: Vec<_> = asked.iter().map(|_| None).collect();
    for mut row in rows {
        let place = row.integer(0)?;
        if place == Some(NO_PLACE) {
            row.outcome_at(1, Some(2))?;
        }
        let place = place.and_then(|place| usize::try_from(place).ok());
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
        signed: row.integer(9)?.unwrap_or_default(),
        repeated: row.boolean(10)?,
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
pub struct Grants<'a> {
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
    page: &Grants<'_>,
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
        image: content::read_limits(row.text(12)?.as_deref())?,
    })
}

/// Writes down that the URL which completes a presigned PUT was refused, and why.
pub async fn refuse_put(database_url: &str, error: &Error, caller: &Caller) {
    let parameters = vec![
        text(&caller.ip),
        text(&caller.request_id),
        text(error.rule.as_deref().unwrap_or(error.code.as_str())),
    ];
    if let Err(error) = pg::call(database_url, REFUSE_PUT, parameters).await {
        log::warn("a refused URL is not in the audit log", &error);
    }
}

/// What a share link or an upload token is made of.
#[derive(Debug)]
pub struct Making<'a> {
    /// Its id.
    pub id: VersionId,
    /// What opens it.
    pub secret: Secret,
    /// Under which key the request may be repeated.
    pub idempotency: Option<&'a Idempotency>,
}

/// A share link or an upload token that was made.
#[derive(Debug)]
pub struct Made {
    /// It, as it was then.
    pub shown: Shown,
    /// SHA-256 of what opens it, in hexadecimal.
    pub hash: String,
    /// Whether an earlier request under the same Idempotency-Key made it; the secret is then another one than was given.
    pub repeated: bool,
}

/// Makes a share link of an id and a secret.
///
/// # Errors
/// What `resolve` refuses, [`Code::InvalidArgument`] by the bucket's policy, [`Code::IdempotencyKeyReused`], and the
/// database's.
pub async fn create_share(
    database_url: &str,
    making: &Making<'_>,
    asked: &ShareRequest,
    caller: &Caller,
) -> Result<Made, Error> {
    let version = asked.version.map(|version| version.to_string());
    let mut parameters = vec![
        text(&making.id.to_string()),
        ParameterValue::Binary(making.secret.hash.to_vec()),
        text(asked.bucket.as_str()),
        text(asked.key.as_str()),
        opt_text(version.as_deref()),
        ParameterValue::Int64(asked.seconds),
        opt_integer(asked.max_downloads),
        opt_text(asked.download.as_deref()),
    ];
    parameters.extend(who(caller));
    parameters.extend(once(making.idempotency));
    let made = pg::call(database_url, CREATE_SHARE, parameters).await?;
    let made = created(made, asked.bucket.as_str(), caller)?;
    Ok(Made {
        shown: Shown {
            kind: "share".to_owned(),
            key: asked.key.to_string(),
            version,
            save_as: asked.download.clone(),
            max_uses: asked.max_downloads,
            ..made.shown
        },
        ..made
    })
}

/// Makes an upload token of an id and a secret.
///
/// # Errors
/// [`Code::AccessDenied`], [`Code::NoSuchBucket`], [`Code::BucketNotActive`], [`Code::InvalidArgument`] by the
/// bucket's policy, [`Code::IdempotencyKeyReused`], and the database's.
pub async fn create_token(
    database_url: &str,
    making: &Making<'_>,
    asked: &TokenRequest,
    caller: &Caller,
) -> Result<Made, Error> {
    let mut parameters = vec![
        text(&making.id.to_string()),
        ParameterValue::Binary(making.secret.hash.to_vec()),
        text(asked.bucket.as_str()),
        text(&asked.prefix),
        ParameterValue::Int64(asked.seconds),
        opt_integer(asked.max_uploads),
        opt_integer(asked.max_bytes),
        asked.types.as_deref().map_or(ParameterValue::DbNull, texts),
    ];
    parameters.extend(who(caller));
    parameters.extend(once(making.idempotency));
    let made = pg::call(database_url, CREATE_TOKEN, parameters).await?;
    let made = created(made, asked.bucket.as_str(), caller)?;
    Ok(Made {
        shown: Shown {
            kind: "token".to_owned(),
            key: asked.prefix.clone(),
            max_uses: asked.max_uploads,
            max_bytes: asked.max_bytes,
            types: asked.types.clone(),
            ..made.shown
        },
        ..made
    })
}

fn created(mut row: Row, bucket: &str, caller: &Caller) -> Result<Made, Error> {
    row.outcome(Some(1)).map_err(explain)?;
    let shown = Shown {
        id: row.required(4)?,
        kind: String::new(),
        created_by: caller.principal.sub.clone(),
        bucket: bucket.to_owned(),
        key: String::new(),
        version: None,
        direct: false,
        save_as: None,
        max_uses: None,
        uses: 0,
        max_bytes: None,
        types: None,
        created_at: row.integer(2)?.and_then(rfc3339).unwrap_or_default(),
        expires_at: row.integer(3)?.and_then(rfc3339).unwrap_or_default(),
        revoked_at: None,
    };
    Ok(Made { shown, hash: row.required(5)?, repeated: row.boolean(6)? })
}

/// Under which key a request may be repeated, as the steps take it.
pub(crate) fn once(idempotency: Option<&Idempotency>) -> [ParameterValue; 2] {
    [
        opt_text(idempotency.map(|it| it.key.as_str())),
        opt_text(idempotency.map(|it| it.fingerprint.as_str())),
    ]
}

/// Who asks, as the steps that make grants end.
pub(crate) fn who(caller: &Caller) -> [ParameterValue; 5] {
    [
        text(&caller.principal.sub),
        texts(&caller.principal.roles),
        scopes(&caller.principal),
        text(&caller.ip),
        text(&caller.request_id),
    ]
}

fn opt_integer(value: Option<i64>) -> ParameterValue {
    value.map_or(ParameterValue::DbNull, ParameterValue::Int64)
}

/// What a share link gives.
#[derive(Debug)]
pub struct Shared {
    /// The version.
    pub file: Resolved,
    /// Its bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: ObjectKey,
    /// The name to save it under; empty for its own.
    pub save_as: Option<String>,
    /// The grant's id, a UUID.
    pub grant: String,
}

/// Uses a share link; `counts` unless somebody only looks.
///
/// # Errors
/// [`Code::NoSuchKey`], whatever is wrong with the link; the database's.
pub async fn use_share(
    database_url: &str,
    secret: Secret,
    counts: bool,
    caller: &Caller,
) -> Result<Shared, Error> {
    let parameters = vec![
        ParameterValue::Binary(secret.hash.to_vec()),
        ParameterValue::Boolean(counts),
        text(&caller.ip),
        text(&caller.request_id),
    ];
    let mut row = pg::call(database_url, USE_SHARE, parameters).await?;
    Ok(Shared {
        file: resolved(&mut row)?,
        bucket: BucketName::parse(&row.required(14)?)?,
        key: ObjectKey::parse(&row.required(15)?)?,
        save_as: row.text(16)?,
        grant: row.required(17)?,
    })
}

/// What an upload token reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The one bucket.
    pub bucket: String,
    /// What the keys begin with; perhaps empty.
    pub prefix: String,
    /// The token, which stands in the URLs that its holder is answered.
    pub token: String,
}

/// The caller of an upload token: its creator, within what the token says.
///
/// # Errors
/// * [`Code::InvalidToken`]: malformed, unknown or revoked. [`Code::ExpiredToken`]: past its end.
/// * The database's.
pub(crate) async fn authenticate(
    database_url: &str,
    token: &str,
    caller: Caller,
) -> Result<(Caller, Reach), Error> {
    let unknown =
        || Error::new(Code::InvalidToken, "There is no such upload token; ask for a new one");
    let secret = Secret::parse(token).ok_or_else(unknown)?;
    let parameters = vec![
        ParameterValue::Binary(secret.hash.to_vec()),
        text(&caller.ip),
        text(&caller.request_id),
    ];
    let mut row = pg::call(database_url, AUTHENTICATE, parameters).await?;
    match row.required(0)?.as_str() {
        "ok" => {
            let principal = Principal {
                sub: row.required(1)?,
                roles: row.texts(2)?.unwrap_or_default(),
                scopes: Some(row.texts(3)?.unwrap_or_default()),
            };
            let caller = Caller { principal, grant: Some(row.required(4)?), ..caller };
            let (bucket, prefix) = (row.required(5)?, row.required(6)?);
            Ok((caller, Reach { bucket, prefix, token: token.to_owned() }))
        }
        "ExpiredToken" => {
            Err(Error::new(Code::ExpiredToken, "The upload token has expired; ask for a new one"))
        }
        "InvalidToken" => Err(unknown()),
        other => Err(Error::internal(format!("unknown outcome {other}"))),
    }
}
