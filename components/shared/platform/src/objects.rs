//! The steps on objects on PostgreSQL.

use holdfast_core::error::Error;
use holdfast_core::names::VersionId;
use holdfast_core::objects::{Delete, Deleted, ObjectCatalog};

use crate::catalog::{PgCatalog, scopes};
use crate::pg::{opt_text, text, texts};

const TRASH: &str = "select outcome, rule, version, deleted_at_us, purge_after_us from holdfast.trash(\
    $1, $2, $3, $4, $5, $6, $7, $8, null)";

impl ObjectCatalog for PgCatalog<'_> {
    async fn trash(&self, asked: &Delete) -> Result<Deleted, Error> {
        let principal = &asked.caller.principal;
        let parameters = vec![
            text(asked.bucket.as_str()),
            text(asked.key.as_str()),
            text(&principal.sub),
            texts(&principal.roles),
            scopes(principal),
            opt_text(asked.if_match.as_deref()),
            text(&asked.caller.ip),
            text(&asked.caller.request_id),
        ];
        let mut row = self.row(TRASH, parameters).await?;
        row.outcome(Some(1))?;
        Ok(Deleted {
            version: VersionId::parse(&row.required(2)?)?,
            deleted_at_us: row.integer(3)?.unwrap_or_default(),
            purge_after_us: row.integer(4)?.unwrap_or_default(),
        })
    }
}
