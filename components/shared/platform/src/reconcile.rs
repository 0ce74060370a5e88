//! The two sides of the reconciler: rows by SQL, blobs by S3.

use std::collections::BTreeSet;

use holdfast_core::error::Error;
use holdfast_core::limits::RECONCILE_BATCH;
use holdfast_core::names::VersionId;
use holdfast_core::ports::{Blobs as _, Target};
use holdfast_core::reconcile::{Drift, KeptRow, Listed, Page, PageFrom, RowAt, Rows, Store};
use holdfast_s3::ListObjectsV2;
use spin_sdk::pg::ParameterValue;

use crate::blobs::S3Blobs;
use crate::catalog::PgCatalog;
use crate::pg::{opt_text, text, texts};

const NEXT_BUCKET: &str = "select min(name) from holdfast.bucket where name > $1";
const HAS_BUCKET: &str = "select exists (select from holdfast.bucket where name = $1)";
const UNNEEDED: &str = "select holdfast.blobs_without_row($1, $2)";
const CONDEMN: &str = "select holdfast.condemn_blobs($1, $2, null)";
const KEPT: &str = "select version, s3_key, key, state, size_bytes from holdfast.rows_with_blob(\
    $1, $2, $3, $4, $5)";
const LOST: &str = "select holdfast.report_lost($1::text[]::uuid[], $2, null)";
const DRIFT: &str = "select nullif(d.owner, ''), \
    to_jsonb(coalesce(d.kept, '{0,0,0,0,0,0}')), to_jsonb(coalesce(d.counted, '{0,0,0,0,0,0}')) \
    from holdfast.usage_drift($1) d order by d.owner limit $2::int4";
const MEND: &str = "select owner, kept, counted from holdfast.mend_usage($1, $2, null)";

fn page_size() -> ParameterValue {
    ParameterValue::Int32(i32::try_from(RECONCILE_BATCH).unwrap_or(i32::MAX))
}

impl PgCatalog<'_> {
    async fn keys(
        &self,
        statement: &str,
        bucket: &str,
        s3_keys: &[String],
    ) -> Result<BTreeSet<String>, Error> {
        let rows = self.rows(statement, vec![text(bucket), texts(s3_keys)]).await?;
        rows.into_iter().map(|mut row| row.required(0)).collect()
    }
}

impl Rows for PgCatalog<'_> {
    async fn next_bucket(&self, after: &str) -> Result<Option<String>, Error> {
        self.row(NEXT_BUCKET, vec![text(after)]).await?.text(0)
    }

    async fn has_bucket(&self, bucket: &str) -> Result<bool, Error> {
        self.row(HAS_BUCKET, vec![text(bucket)]).await?.boolean(0)
    }

    async fn unneeded(&self, bucket: &str, s3_keys: &[String]) -> Result<BTreeSet<String>, Error> {
        self.keys(UNNEEDED, bucket, s3_keys).await
    }

    async fn condemn(&self, bucket: &str, s3_keys: &[String]) -> Result<BTreeSet<String>, Error> {
        self.keys(CONDEMN, bucket, s3_keys).await
    }

    async fn kept(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&RowAt>,
    ) -> Result<Vec<KeptRow>, Error> {
        let parameters = vec![
            text(bucket),
            text(prefix),
            opt_text(after.map(|row| row.s3_key.as_str())),
            after.map_or(ParameterValue::DbNull, |row| {
                ParameterValue::Uuid(row.version.to_string())
            }),
            page_size(),
        ];
        let rows = self.rows(KEPT, parameters).await?;
        rows.into_iter()
            .map(|mut row| {
                Ok(KeptRow {
                    version: VersionId::parse(&row.required(0)?)?,
                    s3_key: row.required(1)?,
                    key: row.required(2)?,
                    state: row.required(3)?,
                    size: u64::try_from(row.integer(4)?.unwrap_or_default())
                        .map_err(Error::internal)?,
                })
            })
            .collect()
    }

    async fn lost(
        &self,
        versions: &[VersionId],
        write: bool,
    ) -> Result<BTreeSet<VersionId>, Error> {
        let ids: Vec<_> = versions.iter().map(ToString::to_string).collect();
        let rows = self.rows(LOST, vec![texts(&ids), ParameterValue::Boolean(write)]).await?;
        rows.into_iter().map(|mut row| VersionId::parse(&row.required(0)?)).collect()
    }

    async fn drift(&self, bucket: &str, mend: bool) -> Result<Vec<Drift>, Error> {
        let statement = if mend { MEND } else { DRIFT };
        let rows = self.rows(statement, vec![text(bucket), page_size()]).await?;
        rows.into_iter()
            .map(|mut row| {
                Ok(Drift { owner: row.text(0)?, kept: row.required(1)?, counted: row.required(2)? })
            })
            .collect()
    }
}

impl Store for S3Blobs<'_> {
    async fn list(&self, bucket: &str, prefix: &str, from: PageFrom<'_>) -> Result<Page, Error> {
        let (continuation_token, start_after) = match from {
            PageFrom::Start => (None, None),
            PageFrom::Token(token) => (Some(token), None),
            PageFrom::After(key) => (None, Some(key)),
        };
        let max_keys = Some(u16::try_from(RECONCILE_BATCH).unwrap_or(u16::MAX));
        let page = self
            .list(&ListObjectsV2 { bucket, prefix, continuation_token, start_after, max_keys })
            .await?;
        let listed = page.objects.into_iter().map(|object| Listed {
            s3_key: object.key,
            size: object.size,
            last_modified: object.last_modified,
        });
        Ok(Page { blobs: listed.collect(), next: page.next_continuation_token })
    }

    async fn has(&self, at: Target<'_>) -> Result<bool, Error> {
        Ok(self.head(at).await?.is_some())
    }

    async fn delete(&self, at: Target<'_>) -> Result<(), Error> {
        holdfast_core::ports::Blobs::delete(self, at).await
    }
}
