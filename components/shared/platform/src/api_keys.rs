//! API keys on PostgreSQL: each step is one call of its SQL function.

use holdfast_core::error::{Code, Error};
use holdfast_core::ports::Caller;
use holdfast_core::principal::Principal;
use holdfast_core::timestamp::rfc3339;
use holdfast_web::api_key::{self, ApiKey};
use serde::Serialize;
use spin_sdk::pg::ParameterValue;

use crate::catalog::scopes;
use crate::pg::{self, Row, opt_text, text, texts};

const AUTHENTICATE: &str = "select outcome, sub, roles, scopes from holdfast.authenticate_key(\
    $1::text::uuid, $2, $3, $4, null)";
const CREATE: &str = "select outcome, rule, created_at_us, expires_at_us from holdfast.create_key(\
    $1::text::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, null)";
const LIST: &str = "select outcome, id, name, owner, roles, scopes, created_by, created_at_us, \
    expires_at_us, revoked_at_us, last_used_on from holdfast.list_keys(\
    $1, $2::text::uuid, $3, $4, $5, $6)";
const REVOKE: &str =
    "select outcome from holdfast.revoke_key($1::text::uuid, $2, $3, $4, $5, $6, null)";

/// What may be shown of a key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The id, a UUID.
    pub id: String,
    /// What the key begins with; its secret follows.
    pub prefix: String,
    /// What its maker calls it.
    pub name: String,
    /// Whom it stands for.
    pub owner: String,
    /// The roles that it has.
    pub roles: Vec<String>,
    /// The scopes that it is narrowed to.
    pub scopes: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// RFC 3339, as the other times.
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: String,
    /// When it was ended, if it was.
    pub revoked_at: Option<String>,
    /// The day of its last use in UTC, if there was one.
    pub last_used_on: Option<String>,
}

/// A key that shall be made.
#[derive(Debug)]
pub struct NewKey<'a> {
    /// What its maker calls it.
    pub name: &'a str,
    /// Whom it shall stand for.
    pub owner: &'a str,
    /// Its roles.
    pub roles: &'a [String],
    /// Its scopes.
    pub scopes: &'a [String],
    /// How long it lives, in seconds.
    pub seconds: i64,
}

/// The principal that a key stands for.
///
/// # Errors
/// * [`Code::InvalidToken`]: unknown or revoked. [`Code::ExpiredToken`]: past its end.
/// * The database's.
pub async fn authenticate(
    database_url: &str,
    key: &ApiKey,
    caller: &Caller,
) -> Result<Principal, Error> {
    let parameters = vec![
        text(&id_text(key.id)),
        ParameterValue::Binary(key.hash.to_vec()),
        text(&caller.ip),
        text(&caller.request_id),
    ];
    let mut row = pg::call(database_url, AUTHENTICATE, parameters).await?;
    match row.required(0)?.as_str() {
        "ok" => Ok(Principal {
            sub: row.required(1)?,
            roles: row.texts(2)?.unwrap_or_default(),
            scopes: Some(row.texts(3)?.unwrap_or_default()),
        }),
        "ExpiredToken" => {
            Err(Error::new(Code::ExpiredToken, "The API key has expired; make a new one"))
        }
        "InvalidToken" => Err(Error::new(Code::InvalidToken, "There is no such API key")),
        other => Err(Error::internal(format!("unknown outcome {other}"))),
    }
}

/// Makes a key.
///
/// # Errors
/// [`Code::AccessDenied`], [`Code::QuotaExceeded`], and the database's.
pub async fn create(
    database_url: &str,
    key: &ApiKey,
    new: &NewKey<'_>,
    caller: &Caller,
) -> Result<Shown, Error> {
    let parameters = vec![
        text(&id_text(key.id)),
        ParameterValue::Binary(key.hash.to_vec()),
        text(new.name),
        text(new.owner),
        texts(new.roles),
        texts(new.scopes),
        ParameterValue::Int64(new.seconds),
        text(&caller.principal.sub),
        texts(&caller.principal.roles),
        scopes(&caller.principal),
        text(&caller.ip),
        text(&caller.request_id),
    ];
    let mut row = pg::call(database_url, CREATE, parameters).await?;
    row.outcome(Some(1))?;
    Ok(Shown {
        id: id_text(key.id),
        prefix: api_key::shown(key.id),
        name: new.name.to_owned(),
        owner: new.owner.to_owned(),
        roles: new.roles.to_vec(),
        scopes: new.scopes.to_vec(),
        created_by: caller.principal.sub.clone(),
        created_at: moment(&mut row, 2)?.unwrap_or_default(),
        expires_at: moment(&mut row, 3)?.unwrap_or_default(),
        revoked_at: None,
        last_used_on: None,
    })
}

/// The keys of an owner, the newest first, from below `before`.
///
/// # Errors
/// [`Code::AccessDenied`], and the database's.
pub async fn list(
    database_url: &str,
    owner: &str,
    before: Option<&str>,
    limit: i32,
    caller: &Caller,
) -> Result<Vec<Shown>, Error> {
    let parameters = vec![
        text(owner),
        opt_text(before),
        ParameterValue::Int32(limit),
        text(&caller.principal.sub),
        texts(&caller.principal.roles),
        scopes(&caller.principal),
    ];
    let connection = pg::open(database_url).await?;
    pg::rows(&connection, LIST, parameters).await?.into_iter().map(shown).collect()
}

/// Ends a key; again is fine.
///
/// # Errors
/// [`Code::NoSuchApiKey`], and the database's.
pub async fn revoke(database_url: &str, id: &str, caller: &Caller) -> Result<(), Error> {
    let parameters = vec![
        text(id),
        text(&caller.principal.sub),
        texts(&caller.principal.roles),
        scopes(&caller.principal),
        text(&caller.ip),
        text(&caller.request_id),
    ];
    pg::call(database_url, REVOKE, parameters).await?.outcome(None)
}

fn shown(mut row: Row) -> Result<Shown, Error> {
    row.outcome(None)?;
    let id = row.required(1)?;
    let bytes = id.parse::<uuid::Uuid>().map_err(Error::internal)?.into_bytes();
    Ok(Shown {
        id,
        prefix: api_key::shown(bytes),
        name: row.required(2)?,
        owner: row.required(3)?,
        roles: row.texts(4)?.unwrap_or_default(),
        scopes: row.texts(5)?.unwrap_or_default(),
        created_by: row.required(6)?,
        created_at: moment(&mut row, 7)?.unwrap_or_default(),
        expires_at: moment(&mut row, 8)?.unwrap_or_default(),
        revoked_at: moment(&mut row, 9)?,
        last_used_on: row.text(10)?,
    })
}

fn id_text(id: [u8; 16]) -> String {
    uuid::Uuid::from_bytes(id).to_string()
}

/// A column of microseconds of Unix time, as RFC 3339.
fn moment(row: &mut Row, at: usize) -> Result<Option<String>, Error> {
    Ok(row.integer(at)?.and_then(rfc3339))
}
