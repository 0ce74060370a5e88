//! The steps of uploads in parts on PostgreSQL, and S3's operations on them.

use holdfast_core::error::{Code, Error};
use holdfast_core::limits::{LEASE_SECONDS, TICK_BATCH};
use holdfast_core::names::VersionId;
use holdfast_core::parts::Plan;
use holdfast_core::ports::Caller;
use holdfast_core::principal::Principal;
use holdfast_core::session::{
    Completing, Concat, Created, NamedPart, NewUpload, Part, PartTarget, Protocol, Recorded,
    Resumption, Session, Sessions, State, Stream, Tail,
};
use serde_json::{Value, json};
use spin_sdk::pg::ParameterValue;

use crate::catalog::{PgCatalog, scopes, uuid};
use crate::content;
use crate::pg::{Row, bytes, opt_text, text, texts};

const CREATE: &str = "select outcome, rule, expires_at_us, version::text, part_size, size, allowed_types, image from \
    holdfast.create_session($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, null, $16, $17, $18, \
    $19, $20, $21::text::uuid, $22, $23, $24::text[]::uuid[], $25)";
const OPEN: &str = "select outcome, rule, upload_id from holdfast.open_session($1, $2, $3, null)";
const ATTACH: &str =
    "select outcome, rule from holdfast.attach_session($1, $2, $3, $4, $5, $6, null)";
const OPEN_STREAM: &str = "select outcome, rule, state, bucket, s3_key, upload_id, part_size, size, epoch, \
    expires_at_us, parts, part_bytes, tail, concat \
    from holdfast.open_stream($1, $2, $3, $4, $5::text::uuid, $6, $7, $8, null)";
const ADOPT: &str = "select outcome, rule from holdfast.record_part($1, $2, $3, $4, $5, true)";
const SESSION: &str = "select outcome, rule, state, bucket, key, s3_key, upload_id, part_size, size, epoch, \
    created_at_us, expires_at_us, signed, content_type, allowed_types, parts, committed, tail, protocol, concat, \
    sources::text[], described, image from holdfast.session($1, $2, $3, $4, $5, $6::text::uuid)";
const OPEN_PART: &str = "select outcome, rule, bucket, s3_key, upload_id, part_size, size \
    from holdfast.open_part($1, $2, $3, $4, $5, $6, $7, null)";
const RECORD: &str =
    "select outcome, rule, bytes, count, epoch from holdfast.record_part($1, $2, $3, $4, $5)";
const RESUME: &str =
    "select outcome, rule, epoch from holdfast.resume_session($1, $2, $3, $4, $5, null)";
const SIGN: &str = "select outcome, rule, seconds from holdfast.sign_parts(\
    $1, $2, $3, $4, $5, $6, $7, $8, null)";
const START: &str = "select outcome, rule, detail, attempt, parts from holdfast.start_complete(\
    $1, $2, $3, $4, $5, null)";
const REOPEN: &str = "select holdfast.reopen_session($1, $2, $3)";
const ABORT: &str = "select outcome from holdfast.abort($1, $2, $3, $4, $5, null, $6, $7)";
const DUE: &str =
    "select version, sub, roles, scopes, hopeless from holdfast.due_sessions($1, null)";
const LIST: &str = "select version, state, bucket, key, part_size, size, bytes, parts, epoch, \
    created_at_us, expires_at_us, protocol from holdfast.list_sessions($1, $2, $3, $4)";

impl Sessions for PgCatalog<'_> {
    async fn create_session(
        &self,
        caller: &Caller,
        version: VersionId,
        s3_key: &str,
        new: &NewUpload,
    ) -> Result<Created, Error> {
        let (concat, sources) = concat_words(&new.protocol);
        let metadata = serde_json::to_vec(&new.user_metadata).map_err(Error::internal)?;
        let parameters = vec![
            uuid(version),
            text(new.bucket.as_str()),
            text(new.key.as_str()),
            text(s3_key),
            text(&caller.principal.sub),
            texts(&caller.principal.roles),
            scopes(&caller.principal),
            bytes(new.plan.size)?,
            opt_text(new.content_type.as_deref()),
            ParameterValue::Jsonb(metadata),
            opt_text(new.if_match.as_deref()),
            opt_text(new.if_none_match.as_deref()),
            ParameterValue::Int32(LEASE_SECONDS),
            text(&caller.ip),
            text(&caller.request_id),
            ParameterValue::Jsonb(content::write_headers(&new.headers)?),
            bytes(Some(new.plan.part_size))?,
            ParameterValue::Int32(new.seconds),
            opt_text(new.idempotency.as_ref().map(|it| it.key.as_str())),
            opt_text(new.idempotency.as_ref().map(|it| it.fingerprint.as_str())),
            opt_text(caller.grant.as_deref()),
            text(new.protocol.as_str()),
            opt_text(concat),
            sources.as_deref().map_or(ParameterValue::DbNull, texts),
            opt_text(new.described.as_deref()),
        ];
        let mut row = self.row(CREATE, parameters).await?;
        outcome(&mut row, Some(1))?;
        let found = VersionId::parse(&row.required(3)?)?;
        Ok(Created {
            version: found,
            repeated: found != version,
            allowed_types: row.texts(6)?,
            image: content::read_limits(row.text(7)?.as_deref())?,
            plan: plan(&mut row, 4)?,
            expires_at_us: row.integer(2)?.unwrap_or_default(),
        })
    }

    async fn open_session(
        &self,
        caller: &Caller,
        version: VersionId,
        upload_id: &str,
    ) -> Result<String, Error> {
        let parameters = vec![uuid(version), text(&caller.principal.sub), text(upload_id)];
        let mut row = self.row(OPEN, parameters).await?;
        outcome(&mut row, Some(1))?;
        row.required(2)
    }

    async fn attach_session(
        &self,
        caller: &Caller,
        version: VersionId,
        part_size: u64,
        upload_id: Option<&str>,
    ) -> Result<(), Error> {
        let parameters = vec![
            uuid(version),
            text(&caller.principal.sub),
            texts(&caller.principal.roles),
            scopes(&caller.principal),
            bytes(Some(part_size))?,
            opt_text(upload_id),
        ];
        outcome(&mut self.row(ATTACH, parameters).await?, Some(1))
    }

    async fn open_stream(
        &self,
        caller: &Caller,
        version: VersionId,
        resumption: Resumption,
    ) -> Result<Stream, Error> {
        let parameters = vec![
            uuid(version),
            text(&caller.principal.sub),
            texts(&caller.principal.roles),
            scopes(&caller.principal),
            opt_text(caller.grant.as_deref()),
            bytes(resumption.offset)?,
            bytes(resumption.bytes)?,
            bytes(resumption.size)?,
        ];
        let mut row = self.row(OPEN_STREAM, parameters).await?;
        outcome(&mut row, Some(1))?;
        let partial = row.text(13)?.as_deref() == Some("partial");
        Ok(Stream {
            state: state(&mut row, 2)?,
            bucket: row.required(3)?,
            s3_key: row.required(4)?,
            upload_id: row.text(5)?.unwrap_or_default(),
            plan: plan(&mut row, 6)?,
            epoch: epoch(&mut row, 8)?,
            expires_at_us: row.integer(9)?.unwrap_or_default(),
            parts: u16::try_from(row.integer(10)?.unwrap_or_default()).map_err(Error::internal)?,
            part_bytes: unsigned(&mut row, 11)?,
            tail: tail(row.text(12)?.as_deref())?,
            partial,
        })
    }

    async fn adopt_tail(
        &self,
        caller: &Caller,
        version: VersionId,
        epoch: i32,
        tail: &Tail,
    ) -> Result<(), Error> {
        let parameters = recorded(caller, version, Some(epoch), &[], Some(tail));
        outcome(&mut self.row(ADOPT, parameters).await?, Some(1))
    }

    async fn session(
        &self,
        caller: &Caller,
        version: VersionId,
        with_parts: bool,
    ) -> Result<Session, Error> {
        let parameters = vec![
            uuid(version),
            text(&caller.principal.sub),
            texts(&caller.principal.roles),
            scopes(&caller.principal),
            ParameterValue::Boolean(with_parts),
            opt_text(caller.grant.as_deref()),
        ];
        let mut row = self.row(SESSION, parameters).await?;
        outcome(&mut row, Some(1))?;
        let protocol = protocol(&mut row, 18)?;
        let committed = row.text(16)?;
        Ok(Session {
            version,
            state: state(&mut row, 2)?,
            bucket: row.required(3)?,
            key: row.required(4)?,
            s3_key: row.required(5)?,
            upload_id: row.text(6)?.unwrap_or_default(),
            plan: plan(&mut row, 7)?,
            epoch: epoch(&mut row, 9)?,
            created_at_us: row.integer(10)?.unwrap_or_default(),
            expires_at_us: row.integer(11)?.unwrap_or_default(),
            signed: row.boolean(12)?,
            content_type: row.text(13)?,
            allowed_types: row.texts(14)?,
            image: content::read_limits(row.text(22)?.as_deref())?,
            parts: parts(row.text(15)?.as_deref())?,
            tail: tail(row.text(17)?.as_deref())?,
            protocol,
            described: row.text(21)?,
            committed: committed.map(|json| content::read_repeated(&json)).transpose()?,
        })
    }

    async fn open_part(
        &self,
        caller: &Caller,
        version: VersionId,
        epoch: Option<i32>,
        number: u16,
        size: u64,
    ) -> Result<PartTarget, Error> {
        let parameters = vec![
            uuid(version),
            text(&caller.principal.sub),
            texts(&caller.principal.roles),
            scopes(&caller.principal),
            opt_integer(epoch),
            ParameterValue::Int32(number.into()),
            bytes(Some(size))?,
        ];
        let mut row = self.row(OPEN_PART, parameters).await?;
        outcome(&mut row, Some(1))?;
        Ok(PartTarget {
            bucket: row.required(2)?,
            s3_key: row.required(3)?,
            upload_id: row.required(4)?,
            plan: plan(&mut row, 5)?,
        })
    }

    async fn record_parts(
        &self,
        caller: &Caller,
        version: VersionId,
        epoch: Option<i32>,
        parts: &[Part],
        tail: Option<&Tail>,
    ) -> Result<Recorded, Error> {
        let parameters = recorded(caller, version, epoch, parts, tail);
        let mut row = self.row(RECORD, parameters).await?;
        outcome(&mut row, Some(1))?;
        Ok(Recorded {
            bytes: unsigned(&mut row, 2)?,
            count: u32::try_from(row.integer(3)?.unwrap_or_default()).map_err(Error::internal)?,
            epoch: self::epoch(&mut row, 4)?,
        })
    }

    async fn resume_session(&self, caller: &Caller, version: VersionId) -> Result<i32, Error> {
        let parameters = vec![
            uuid(version),
            text(&caller.principal.sub),
            texts(&caller.principal.roles),
            text(&caller.ip),
            text(&caller.request_id),
        ];
        let mut row = self.row(RESUME, parameters).await?;
        outcome(&mut row, Some(1))?;
        epoch(&mut row, 2)
    }

    async fn sign_parts(
        &self,
        caller: &Caller,
        version: VersionId,
        epoch: Option<i32>,
        count: usize,
        seconds: i32,
    ) -> Result<i32, Error> {
        let parameters = vec![
            uuid(version),
            text(&caller.principal.sub),
            texts(&caller.principal.roles),
            opt_integer(epoch),
            ParameterValue::Int32(i32::try_from(count).map_err(Error::internal)?),
            ParameterValue::Int32(seconds),
            text(&caller.ip),
            text(&caller.request_id),
        ];
        let mut row = self.row(SIGN, parameters).await?;
        outcome(&mut row, Some(1))?;
        self::epoch(&mut row, 2)
    }

    async fn start_complete(
        &self,
        caller: &Caller,
        version: VersionId,
        epoch: Option<i32>,
        named: Option<&[NamedPart]>,
    ) -> Result<Completing, Error> {
        let named = named.map(|named| {
            let named: Vec<_> = named.iter().map(|it| json!([it.number, it.etag])).collect();
            ParameterValue::Jsonb(Value::from(named).to_string().into_bytes())
        });
        let parameters = vec![
            uuid(version),
            text(&caller.principal.sub),
            texts(&caller.principal.roles),
            opt_integer(epoch),
            named.unwrap_or(ParameterValue::DbNull),
        ];
        let mut row = self.row(START, parameters).await?;
        let detail = row.text(2)?;
        outcome(&mut row, Some(1)).map_err(|error| named_in(error, detail.as_deref()))?;
        match row.integer(3)? {
            None => Ok(Completing::Done),
            Some(_) => Ok(Completing::With(parts(row.text(4)?.as_deref())?)),
        }
    }

    async fn reopen_session(&self, caller: &Caller, version: VersionId) -> Result<bool, Error> {
        let parameters =
            vec![uuid(version), text(&caller.principal.sub), texts(&caller.principal.roles)];
        self.row(REOPEN, parameters).await?.boolean(0)
    }

    async fn abort_session(
        &self,
        caller: &Caller,
        version: VersionId,
        code: &str,
        completed: bool,
    ) -> Result<bool, Error> {
        let parameters = vec![
            uuid(version),
            text(&caller.principal.sub),
            text(code),
            text(&caller.ip),
            text(&caller.request_id),
            ParameterValue::Boolean(completed),
            texts(&caller.principal.roles),
        ];
        match self.row(ABORT, parameters).await?.required(0)?.as_str() {
            "ok" => Ok(true),
            "aborting" | "aborted" => Ok(false),
            "UploadCompleting" => Err(refused(Code::UploadCompleting)),
            _ => Err(refused(Code::NoSuchUpload)),
        }
    }
}

/// A session that the worker has to end, and in whose name.
pub struct Due {
    /// The session.
    pub version: VersionId,
    /// Its creator.
    pub caller: Caller,
    /// Whether it may be given up.
    pub hopeless: bool,
}

/// A session in a list.
pub struct Listed {
    /// Its id.
    pub version: String,
    /// `open` or `completing`.
    pub state: String,
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// How it is cut.
    pub plan: Plan,
    /// What is written down.
    pub recorded: Recorded,
    /// In microseconds of Unix time.
    pub created_at_us: i64,
    /// In microseconds of Unix time.
    pub expires_at_us: i64,
    /// `parts` or `tus`.
    pub protocol: String,
}

impl PgCatalog<'_> {
    /// Claims sessions whose completing nobody ended.
    ///
    /// # Errors
    /// The database's.
    pub async fn due_sessions(&self, request_id: &str) -> Result<Vec<Due>, Error> {
        let rows = self.rows(DUE, vec![ParameterValue::Int32(TICK_BATCH)]).await?;
        rows.into_iter()
            .map(|mut row| {
                let principal = Principal {
                    sub: row.required(1)?,
                    roles: row.texts(2)?.unwrap_or_default(),
                    scopes: row.texts(3)?,
                };
                Ok(Due {
                    version: VersionId::parse(&row.required(0)?)?,
                    caller: Caller {
                        principal,
                        ip: String::new(),
                        request_id: request_id.to_owned(),
                        grant: None,
                    },
                    hopeless: row.boolean(4)?,
                })
            })
            .collect()
    }

    /// A principal's sessions that are not at their end, the newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_sessions(
        &self,
        sub: &str,
        bucket: Option<&str>,
        before: Option<VersionId>,
        limit: i32,
    ) -> Result<Vec<Listed>, Error> {
        let parameters = vec![
            text(sub),
            opt_text(bucket),
            before.map_or(ParameterValue::DbNull, uuid),
            ParameterValue::Int32(limit),
        ];
        let rows = self.rows(LIST, parameters).await?;
        rows.into_iter()
            .map(|mut row| {
                let count = row.integer(7)?.unwrap_or_default();
                Ok(Listed {
                    version: row.required(0)?,
                    state: row.required(1)?,
                    bucket: row.required(2)?,
                    key: row.required(3)?,
                    plan: plan(&mut row, 4)?,
                    recorded: Recorded {
                        bytes: unsigned(&mut row, 6)?,
                        count: u32::try_from(count).map_err(Error::internal)?,
                        epoch: epoch(&mut row, 8)?,
                    },
                    created_at_us: row.integer(9)?.unwrap_or_default(),
                    expires_at_us: row.integer(10)?.unwrap_or_default(),
                    protocol: row.required(11)?,
                })
            })
            .collect()
    }
}

/// An outcome, with what to do about it in this protocol.
fn outcome(row: &mut Row, rule_at: Option<usize>) -> Result<(), Error> {
    row.outcome(rule_at).map_err(|error| {
        let message = refused(error.code).message;
        Error { message: if message.is_empty() { error.message } else { message }, ..error }
    })
}

fn refused(code: Code) -> Error {
    let message = match code {
        Code::NoSuchUpload => {
            "There is no such upload, it is over, or it is not yours; create another one"
        }
        Code::UploadCompleting => {
            "The upload is being completed; ask for its status, or complete it again"
        }
        Code::UploadTakenOver => {
            "Another client took the upload over; resume it to take it back, with a new epoch"
        }
        Code::UploadGone => "The upload was given up, or its time is over; create another one",
        Code::OffsetMismatch => "The upload is at another offset; ask for it with HEAD",
        _ => "",
    };
    Error::new(code, message)
}

/// Names the parts that are wrong.
fn named_in(error: Error, detail: Option<&str>) -> Error {
    let Some(numbers) = detail else { return error };
    let message = match (error.code, error.rule.as_deref()) {
        (Code::InvalidPartOrder, _) => {
            format!("Name the parts in ascending order, each once; out of order: {numbers}")
        }
        (Code::EntityTooSmall, _) => format!(
            "Every part but the last has 5 MiB or more; send these again, longer: {numbers}"
        ),
        (_, Some("parts.etag")) => {
            format!("These parts were not stored, or with another ETag: {numbers}")
        }
        (_, Some("parts.size")) => {
            format!("These parts have another size than was planned; send them again: {numbers}")
        }
        _ => format!("These parts are missing; send them and complete again: {numbers}"),
    };
    Error { message, ..error }
}

fn opt_integer(value: Option<i32>) -> ParameterValue {
    value.map_or(ParameterValue::DbNull, ParameterValue::Int32)
}

fn unsigned(row: &mut Row, at: usize) -> Result<u64, Error> {
    u64::try_from(row.integer(at)?.unwrap_or_default()).map_err(Error::internal)
}

fn epoch(row: &mut Row, at: usize) -> Result<i32, Error> {
    i32::try_from(row.integer(at)?.unwrap_or_default()).map_err(Error::internal)
}

/// The part size and, behind it, the size of the whole.
fn plan(row: &mut Row, at: usize) -> Result<Plan, Error> {
    let part_size = unsigned(row, at)?;
    let size = row.integer(at + 1)?.map(u64::try_from).transpose().map_err(Error::internal)?;
    Ok(Plan { part_size, size })
}

fn state(row: &mut Row, at: usize) -> Result<State, Error> {
    let name = row.required(at)?;
    State::from_name(&name).ok_or_else(|| Error::internal(format!("unknown state {name}")))
}

/// The protocol and, behind it, what the upload is in a concatenation, and of what.
fn protocol(row: &mut Row, at: usize) -> Result<Protocol, Error> {
    let (name, concat) = (row.required(at)?, row.text(at + 1)?);
    let concat = match concat.as_deref() {
        None => Concat::Whole,
        Some("partial") => Concat::Partial,
        Some(_) => {
            let sources = row.texts(at + 2)?.unwrap_or_default();
            Concat::Final(sources.iter().map(|id| VersionId::parse(id)).collect::<Result<_, _>>()?)
        }
    };
    match name.as_str() {
        "parts" => Ok(Protocol::Parts),
        "form" => Ok(Protocol::Form),
        "tus" => Ok(Protocol::Tus(concat)),
        _ => Err(Error::internal(format!("unknown protocol {name}"))),
    }
}

/// What an upload is in a concatenation, and of what, as SQL has it.
fn concat_words(protocol: &Protocol) -> (Option<&'static str>, Option<Vec<String>>) {
    match protocol {
        Protocol::Tus(Concat::Partial) => (Some("partial"), None),
        Protocol::Tus(Concat::Final(sources)) => {
            (Some("final"), Some(sources.iter().map(VersionId::to_string).collect()))
        }
        Protocol::Tus(Concat::Whole) | Protocol::Parts | Protocol::Form => (None, None),
    }
}

/// The parameters of `record_part`.
fn recorded(
    caller: &Caller,
    version: VersionId,
    epoch: Option<i32>,
    parts: &[Part],
    tail: Option<&Tail>,
) -> Vec<ParameterValue> {
    let parts = parts.iter().map(|it| json!([it.number, it.size, it.etag]));
    let tail = tail.map(|it| json!([it.part.number, it.part.size, it.part.etag, it.s3_key]));
    let rows: Vec<_> = parts.chain(tail).collect();
    vec![
        uuid(version),
        text(&caller.principal.sub),
        texts(&caller.principal.roles),
        opt_integer(epoch),
        ParameterValue::Jsonb(Value::from(rows).to_string().into_bytes()),
    ]
}

/// `[number, size, etag, S3 key]`
fn tail(json: Option<&str>) -> Result<Option<Tail>, Error> {
    let Some(json) = json else { return Ok(None) };
    let tail: (u16, u64, String, String) = serde_json::from_str(json).map_err(Error::internal)?;
    let (number, size, etag, s3_key) = tail;
    Ok(Some(Tail { part: Part { number, size, etag }, s3_key }))
}

/// `[[number, size, etag], ...]`
fn parts(json: Option<&str>) -> Result<Vec<Part>, Error> {
    let Some(json) = json else { return Ok(Vec::new()) };
    let parts: Vec<(u16, u64, String)> = serde_json::from_str(json).map_err(Error::internal)?;
    Ok(parts.into_iter().map(|(number, size, etag)| Part { number, size, etag }).collect())
}
