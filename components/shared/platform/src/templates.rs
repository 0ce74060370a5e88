//! The steps of templates on PostgreSQL.

use holdfast_core::error::{Code, Error};
use holdfast_core::names::VersionId;
use holdfast_core::ports::{Caller, Idempotency};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use spin_sdk::pg::ParameterValue;

use crate::catalog::{PgCatalog, scopes, uuid};
use crate::grants::{once, who};
use crate::pg::{Row, opt_text, text, texts};

const CREATE: &str = "select outcome, rule, template, repeated from holdfast.create_template(\
    $1, $2, $3, $4, $5, $6, $7, $8, null, $9, $10)";
const FIND: &str = "select outcome, rule, template from holdfast.find_template($1, $2, $3, $4, $5)";
const LIST: &str = "select outcome, rule, template from holdfast.list_templates(\
    $1, $2, $3::text::uuid, $4, $5, $6, $7)";
const UPDATE: &str = "select outcome, rule, template from holdfast.update_template(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, null)";
const DELETE: &str = "select outcome, rule, deleted_at_us, background, purge_after_us from holdfast.delete_template(\
    $1, $2, $3, $4, $5, $6, $7, null)";
const BACKGROUNDS: &str = "select outcome, rule, background from holdfast.list_backgrounds(\
    $1, $2::text::uuid, $3, $4, $5, $6)";
const RESTORE: &str = "select outcome, rule, template from holdfast.restore_background(\
    $1, $2, $3, $4, $5, $6, $7, null)";

/// A template.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// A UUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// The client's own, an object.
    pub data: Value,
    /// The number of its latest change, from 1.
    pub version: i64,
    /// In microseconds of Unix time.
    pub created_at_us: i64,
    /// In microseconds of Unix time.
    pub updated_at_us: i64,
    /// Its background as it is now.
    pub background: Option<Background>,
}

impl Template {
    /// The bare entity tag: another one after each change of what the record says.
    #[must_use]
    pub fn etag(&self) -> String {
        match &self.background {
            Some(background) => format!("{}.{}", self.version, background.version),
            None => self.version.to_string(),
        }
    }
}

/// A version of a template's background.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Background {
    /// A UUID.
    pub version: String,
    /// Its media type, by its content.
    pub format: String,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// In bytes.
    pub size: u64,
    /// The bare ETag of its bytes.
    pub etag: String,
    /// `live`, `superseded` or `trashed`.
    pub state: String,
    /// When it was uploaded, in microseconds of Unix time.
    pub created_at_us: i64,
}

/// What somebody wants to do with a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To see it.
    Read,
    /// To change it.
    Write,
}

/// Which templates are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// One's own.
    Mine,
    /// Those of this principal.
    Of(String),
    /// Whoever owns them.
    All,
}

/// A template that was deleted.
#[derive(Clone, Debug)]
pub struct DeletedTemplate {
    /// In microseconds of Unix time.
    pub deleted_at_us: i64,
    /// The version of its background that is in the trash now.
    pub background: Option<String>,
    /// Until when that may come back, in microseconds of Unix time.
    pub purge_after_us: Option<i64>,
}

impl PgCatalog<'_> {
    /// Makes a template; true where an earlier request under the same key made it.
    ///
    /// # Errors
    /// [`Code::AccessDenied`], [`Code::NoSuchBucket`] and [`Code::BucketNotActive`] of the bucket templates,
    /// [`Code::EntityTooLarge`], [`Code::IdempotencyKeyReused`].
    pub async fn create_template(
        &self,
        id: VersionId,
        name: &str,
        data: &Value,
        idempotency: Option<&Idempotency>,
        caller: &Caller,
    ) -> Result<(Template, bool), Error> {
        let mut parameters = vec![uuid(id), text(name), jsonb(data)];
        parameters.extend(who(caller));
        parameters.extend(once(idempotency));
        let mut row = self.row(CREATE, parameters).await?;
        Ok((document(&mut row)?, row.boolean(3)?))
    }

    /// A template, for whoever may do this with it.
    ///
    /// # Errors
    /// [`Code::NoSuchTemplate`], [`Code::AccessDenied`], [`Code::NoSuchBucket`].
    pub async fn find_template(
        &self,
        id: VersionId,
        action: Action,
        caller: &Caller,
    ) -> Result<Template, Error> {
        let action = match action {
            Action::Read => "read",
            Action::Write => "write",
        };
        let mut parameters = vec![uuid(id), text(action)];
        parameters.extend(asker(caller));
        document(&mut self.row(FIND, parameters).await?)
    }

    /// A page of templates, the newest first.
    ///
    /// # Errors
    /// [`Code::AccessDenied`]: those of others are for who administers the bucket templates.
    pub async fn list_templates(
        &self,
        whose: &Whose,
        before: Option<&str>,
        limit: i32,
        caller: &Caller,
    ) -> Result<Vec<Template>, Error> {
        let (owner, all) = match whose {
            Whose::Mine => (None, false),
            Whose::Of(owner) => (Some(owner.as_str()), false),
            Whose::All => (None, true),
        };
        let mut parameters = vec![
            opt_text(owner),
            ParameterValue::Boolean(all),
            opt_text(before),
            ParameterValue::Int32(limit),
        ];
        parameters.extend(asker(caller));
        self.rows(LIST, parameters).await?.iter_mut().map(document).collect()
    }

    /// Changes the name, and merges `patch` into the data (RFC 7396).
    ///
    /// # Errors
    /// As [`Self::find_template`]; [`Code::PreconditionFailed`], [`Code::EntityTooLarge`].
    pub async fn update_template(
        &self,
        id: VersionId,
        name: Option<&str>,
        patch: Option<&Value>,
        if_match: Option<&str>,
        caller: &Caller,
    ) -> Result<Template, Error> {
        let patch = patch.map_or(ParameterValue::DbNull, jsonb);
        let mut parameters = vec![uuid(id), opt_text(name), patch, opt_text(if_match)];
        parameters.extend(who(caller));
        document(&mut self.row(UPDATE, parameters).await?)
    }

    /// Deletes a template softly, and its background with it.
    ///
    /// # Errors
    /// As [`Self::find_template`]; [`Code::PreconditionFailed`].
    pub async fn delete_template(
        &self,
        id: VersionId,
        if_match: Option<&str>,
        caller: &Caller,
    ) -> Result<DeletedTemplate, Error> {
        let mut parameters = vec![uuid(id), opt_text(if_match)];
        parameters.extend(who(caller));
        let mut row = self.row(DELETE, parameters).await?;
        row.outcome(Some(1)).map_err(explain)?;
        Ok(DeletedTemplate {
            deleted_at_us: row.integer(2)?.unwrap_or_default(),
            background: row.text(3)?,
            purge_after_us: row.integer(4)?,
        })
    }

    /// The backgrounds of a template that are current or may be again, the latest upload first.
    ///
    /// # Errors
    /// As [`Self::find_template`].
    pub async fn list_backgrounds(
        &self,
        id: VersionId,
        before: Option<&str>,
        limit: i32,
        caller: &Caller,
    ) -> Result<Vec<Background>, Error> {
        let mut parameters = vec![uuid(id), opt_text(before), ParameterValue::Int32(limit)];
        parameters.extend(asker(caller));
        self.rows(BACKGROUNDS, parameters).await?.iter_mut().map(document).collect()
    }

    /// Makes an earlier background current again.
    ///
    /// # Errors
    /// As [`Self::find_template`]; [`Code::NoSuchVersion`]: none of this template, or its bytes are gone.
    pub async fn restore_background(
        &self,
        id: VersionId,
        version: VersionId,
        caller: &Caller,
    ) -> Result<Template, Error> {
        let mut parameters = vec![uuid(id), uuid(version)];
        parameters.extend(who(caller));
        document(&mut self.row(RESTORE, parameters).await?)
    }
}

/// What a row carries behind its outcome.
fn document<T: DeserializeOwned>(row: &mut Row) -> Result<T, Error> {
    row.outcome(Some(1)).map_err(explain)?;
    serde_json::from_str(&row.required(2)?).map_err(Error::internal)
}

/// Says what a refusal means for a template.
fn explain(mut error: Error) -> Error {
    let message = match (error.code, error.rule.as_deref()) {
        (Code::PreconditionFailed, _) => {
            "The template is not in the state that the request names; read it again"
        }
        (Code::EntityTooLarge, _) => "The template's data would be larger than 64 KiB",
        (Code::NoSuchVersion, _) => "There is no such background of this template, or not any more",
        (Code::AccessDenied, Some("bucket.admin")) => {
            "Only who administers the bucket templates lists those of others"
        }
        _ => return error,
    };
    message.clone_into(&mut error.message);
    error
}

fn jsonb(value: &Value) -> ParameterValue {
    ParameterValue::Jsonb(value.to_string().into_bytes())
}

/// Who asks, as the steps that only read end.
fn asker(caller: &Caller) -> [ParameterValue; 3] {
    [text(&caller.principal.sub), texts(&caller.principal.roles), scopes(&caller.principal)]
}
