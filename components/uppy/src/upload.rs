//! An upload in parts, by whichever of Uppy's ways: the steps of `/v1/multipart`.

use holdfast_core::error::{Code, Error};
use holdfast_core::multipart::Multipart;
use holdfast_core::names::VersionId;
use holdfast_core::ports::{Commit, Committed};
use holdfast_core::session::{NamedPart, Session, Sessions as _};
use holdfast_platform::app::Context;
use holdfast_platform::blobs::S3Blobs;
use holdfast_platform::catalog::PgCatalog;
use holdfast_platform::clock::WasiClock;
use holdfast_platform::signed_parts::{self, Wanted};
use holdfast_web::uppy::NewFile;

/// The steps of one request.
pub(crate) struct Steps<'a> {
    context: &'a Context,
    catalog: PgCatalog<'a>,
    blobs: S3Blobs<'a>,
}

impl<'a> Steps<'a> {
    pub(crate) fn of(context: &'a Context) -> Result<Self, Error> {
        let catalog = PgCatalog::new(&context.app.config.database_url);
        Ok(Self { context, catalog, blobs: context.app.blobs()? })
    }

    fn multipart(&self) -> Multipart<'_, PgCatalog<'a>, S3Blobs<'a>, WasiClock> {
        Multipart { catalog: &self.catalog, blobs: &self.blobs, clock: &WasiClock }
    }

    /// Begins one; answers its id.
    pub(crate) async fn create(&self, file: NewFile) -> Result<VersionId, Error> {
        let created = self.multipart().create(&self.context.caller, &file.upload()?).await?;
        Ok(created.version)
    }

    /// The one of this id, if it is of this key: who names another one is mistaken in one of the two.
    pub(crate) async fn find(&self, id: VersionId, key: &str) -> Result<Session, Error> {
        let session = self.catalog.session(&self.context.caller, id, false).await?;
        if session.key != key {
            let message = "There is no such upload of this key";
            return Err(Error::new(Code::NoSuchUpload, message).rule("session.key"));
        }
        Ok(session)
    }

    /// With the parts that SeaweedFS has.
    pub(crate) async fn parts(&self, id: VersionId, key: &str) -> Result<Session, Error> {
        self.find(id, key).await?;
        self.multipart().status(&self.context.caller, id).await
    }

    /// The URL by which a part goes straight to SeaweedFS, and for how many seconds.
    pub(crate) async fn sign(
        &self,
        (id, number): (VersionId, u16),
        key: &str,
        seconds: i32,
    ) -> Result<(String, i64), Error> {
        let session = self.find(id, key).await?;
        let wanted = Wanted { parts: &[number], epoch: None, seconds };
        let (signed, ends) =
            signed_parts::sign(self.context, &self.catalog, &session, wanted).await?;
        let signed = signed.into_iter().next().ok_or_else(|| Error::internal("no URL"))?;
        Ok((signed.url, (ends - time::OffsetDateTime::now_utc()).whole_seconds()))
    }

    /// Makes it the object.
    pub(crate) async fn complete(
        &self,
        id: VersionId,
        key: &str,
        parts: &[NamedPart],
    ) -> Result<(Session, Commit, Committed), Error> {
        self.find(id, key).await?;
        self.multipart().complete(&self.context.caller, id, None, Some(parts)).await
    }

    /// Gives it up.
    pub(crate) async fn abort(&self, id: VersionId, key: &str) -> Result<(), Error> {
        self.find(id, key).await?;
        self.multipart().abort(&self.context.caller, id).await
    }
}
