//! What one request does with a stream: parts and a tail are made of its bytes, and written down.

use super::cut::{Cut, Held, Nothing, Start, hold};
use super::inflow::Inflow;
use super::{Check, Streamer, least_part, too_long, torn};
use crate::digest::Crc64Nvme;
use crate::error::{Code, Error};
use crate::limits::{CHARGE_STEP_BYTES, DEFERRED_PART_BYTES, MAX_OBJECT_BYTES, SNIFF_BYTES};
use crate::names::VersionId;
use crate::ports::{Body, Caller, Catalog, Charge, Clock, Looked, Stored, Target};
use crate::session::{Part, PartStore, Session, Sessions, Stream, Tail};
use crate::upload::surely;

/// One request's work on a stream.
pub(super) struct Run<'a, 'c, C, B, K> {
    streamer: &'a Streamer<'a, C, B, K>,
    caller: &'c Caller,
    version: VersionId,
    pub(super) stream: Stream,
    /// How many bytes are charged, where the length is not known.
    charged: u64,
    /// Parts, and a tail, that are stored and not written down.
    parts: Vec<Part>,
    has_new_tail: bool,
    /// Tails that others took the place of. SQL names them until that is written down; then they are deleted.
    replaced: Vec<String>,
}

impl<'a, 'c, C: Catalog + Sessions, B: PartStore, K: Clock> Run<'a, 'c, C, B, K> {
    pub(super) fn new(
        streamer: &'a Streamer<'a, C, B, K>,
        caller: &'c Caller,
        version: VersionId,
        stream: Stream,
    ) -> Self {
        let (parts, replaced) = (Vec::new(), Vec::new());
        Self { streamer, caller, version, stream, charged: 0, parts, has_new_tail: false, replaced }
    }

    pub(super) fn of_session(
        streamer: &'a Streamer<'a, C, B, K>,
        caller: &'c Caller,
        version: VersionId,
        session: &Session,
    ) -> Result<Self, Error> {
        let stream = Stream {
            state: session.state,
            bucket: session.bucket.clone(),
            s3_key: session.s3_key.clone(),
            upload_id: session.upload_id.clone(),
            plan: session.plan,
            epoch: session.epoch,
            expires_at_us: session.expires_at_us,
            parts: u16::try_from(session.parts.len()).map_err(Error::internal)?,
            part_bytes: session.parts.iter().map(|part| part.size).sum(),
            tail: session.tail.clone(),
            partial: false,
        };
        Ok(Self::new(streamer, caller, version, stream))
    }

    pub(super) fn left(&self) -> Option<u64> {
        self.stream.plan.size.map(|size| size.saturating_sub(self.stream.offset()))
    }

    /// Stores all that comes. Where `as_it_comes`, each part is written down when it is full. Answers what the tail is,
    /// where that is all of the stream and its bytes were seen here.
    pub(super) async fn all<I: Body>(
        &mut self,
        inflow: &mut Inflow<'_, I, K>,
        as_it_comes: bool,
    ) -> Result<Option<Looked>, Error> {
        self.streamer.catalog.release();
        loop {
            let allowed = match self.allowed().await {
                Ok(allowed) => allowed,
                Err(refused) if refused.code == Code::ServiceUnavailable => return Err(refused),
                Err(refused) => {
                    inflow.refuse(refused);
                    0
                }
            };
            let least =
                least_part(self.stream.parts, self.stream.part_bytes, self.stream.plan.size);
            let tail = self.stream.offset() - self.stream.part_bytes;
            let wanted = least.saturating_sub(tail).min(allowed);
            // No more than comes is asked of the budget.
            let room = self.streamer.budget.take(wanted.min(inflow.may_come()));
            let limit = self.stream.plan.part_size.max(least).min(tail.saturating_add(allowed));
            let held = match room {
                Some(room)
                    if (1..=DEFERRED_PART_BYTES).contains(&wanted) && inflow.brings(wanted) =>
                {
                    let start = Start::Copied { room, least };
                    if let Some(short) = self.put_part(inflow, start, limit).await? {
                        return self.keep_last(inflow, Some(short), false).await;
                    }
                    if as_it_comes {
                        self.record().await?;
                    }
                    continue;
                }
                Some(room) if wanted <= DEFERRED_PART_BYTES => {
                    Some(hold(inflow, wanted, room).await)
                }
                _ => {
                    drop(room);
                    self.put_tail(inflow, None, wanted).await?;
                    None
                }
            };
            let bytes = Held::count(held.as_ref());
            let offset = self.stream.offset() + bytes;
            let whole = self.stream.plan.size == Some(offset);
            if whole || inflow.is_over() {
                let seen = self.keep_last(inflow, held, whole).await?;
                // Behind the last byte comes the end of the body, or what is too much.
                while inflow.take(u64::MAX, Vec::new()).await.is_some() {}
                return Ok(seen);
            }
            if offset - self.stream.part_bytes < least {
                // No more was charged: for what comes next it is asked again.
                if let Some(held) = held.filter(|held| !held.bytes.is_empty()) {
                    self.put_tail(inflow, Some(held), 0).await?;
                }
                continue;
            }
            self.put_part(inflow, held.map_or(Start::Nothing, Start::Held), limit).await?;
            if as_it_comes {
                self.record().await?;
            }
        }
    }

    /// How many more bytes are charged.
    async fn allowed(&mut self) -> Result<u64, Error> {
        if self.stream.plan.size.is_some() {
            return Ok(u64::MAX);
        }
        let offset = self.stream.offset();
        if offset >= MAX_OBJECT_BYTES {
            return Err(too_long());
        }
        let wanted = (offset + self.stream.plan.part_size).next_multiple_of(CHARGE_STEP_BYTES);
        if self.charged < wanted {
            let charge = Charge { wanted, sent: offset + 1 };
            let catalog = self.streamer.catalog;
            self.charged = catalog.renew(self.caller, self.version, Some(charge)).await?;
        }
        Ok(self.charged.saturating_sub(offset))
    }

    /// What is left where nothing more comes.
    async fn keep_last<I: Body>(
        &mut self,
        inflow: &mut Inflow<'_, I, K>,
        held: Option<Held<'_>>,
        whole: bool,
    ) -> Result<Option<Looked>, Error> {
        let bytes = Held::count(held.as_ref());
        if whole && self.stream.parts > 0 && self.stream.offset() + bytes > self.stream.part_bytes {
            self.put_part(inflow, held.map_or(Start::Nothing, Start::Held), 0).await?;
            return Ok(None);
        }
        match held.filter(|held| !held.bytes.is_empty()) {
            Some(held) => self.put_tail(inflow, Some(held), 0).await,
            None => Ok(None),
        }
    }

    /// Makes the tail the last part, and writes it down.
    pub(super) async fn put_last(mut self) -> Result<(), Error> {
        let mut nothing = Nothing;
        let clock = self.streamer.clock;
        let mut inflow = Inflow::new(&mut nothing, clock, Some(0), Some(0), &Check::Nothing);
        self.put_part(&mut inflow, Start::Nothing, 0).await?;
        self.record().await
    }

    /// Makes the tail, what is held and what comes, up to `limit` bytes in all, a part. Answers what came where that was
    /// too little for one; the tail is then what it was.
    async fn put_part<'h, I: Body>(
        &mut self,
        inflow: &mut Inflow<'_, I, K>,
        start: Start<'h>,
        limit: u64,
    ) -> Result<Option<Held<'h>>, Error>
    where
        'a: 'h,
    {
        self.open_upload().await?;
        let streamer = self.streamer;
        let tail = self.stream.tail.take();
        let mut cut =
            Cut::new(streamer, &self.stream.bucket, tail.as_ref(), start, inflow, limit).await?;
        let number = self.stream.parts + 1;
        let at = self.stream.at();
        let put = streamer.blobs.put_part_streamed(at, &self.stream.upload_id, number, &mut cut);
        let etag = match put.await {
            Ok(etag) => etag,
            Err(error) => {
                let short = cut.too_short();
                self.stream.tail = tail;
                return short.map(Some).ok_or(error);
            }
        };
        let (size, md5) = cut.ended();
        if etag != md5 {
            return Err(torn("a part that differs from what was sent"));
        }
        self.replaced.extend(tail.map(|tail| tail.s3_key));
        self.has_new_tail = false;
        self.parts.push(Part { number, size, etag });
        self.stream.parts = number;
        self.stream.part_bytes += size;
        Ok(None)
    }

    /// Makes the tail, what is held and `more` bytes of what comes, a tail.
    async fn put_tail<I: Body>(
        &mut self,
        inflow: &mut Inflow<'_, I, K>,
        held: Option<Held<'_>>,
        more: u64,
    ) -> Result<Option<Looked>, Error> {
        let streamer = self.streamer;
        let now = streamer.clock.now();
        let s3_key = VersionId::generate(now, &streamer.clock.random()).s3_key(now);
        let at = Target { bucket: &self.stream.bucket, s3_key: &s3_key };
        let number = self.stream.parts + 1;
        let old = self.stream.tail.take();
        let (stored, size, head) = match (&old, held) {
            (None, Some(held)) if more == 0 => {
                let mut bytes = held.bytes;
                let stored = streamer.blobs.put_bytes(at, &bytes, &Crc64Nvme::of(&bytes)).await?;
                let size = bytes.len() as u64;
                bytes.truncate(SNIFF_BYTES);
                (stored, size, Some(bytes))
            }
            (old, held) => {
                let before = old.as_ref().map_or(0, |tail| tail.part.size);
                let limit = before + Held::count(held.as_ref()) + more;
                let bucket = &self.stream.bucket;
                let start = held.map_or(Start::Nothing, Start::Held);
                let mut cut =
                    Cut::new(streamer, bucket, old.as_ref(), start, inflow, limit).await?;
                let stored = streamer.blobs.put_streamed(at, &mut cut).await?;
                let (size, md5) = cut.ended();
                if stored.etag != md5 {
                    return Err(torn("an object that differs from what was sent"));
                }
                if size == before {
                    // Nothing came.
                    streamer.delete(bucket, &s3_key).await;
                    self.stream.tail = old.clone();
                    return Ok(None);
                }
                (stored, size, None)
            }
        };
        self.replaced.extend(old.map(|tail| tail.s3_key));
        self.has_new_tail = true;
        let etag = stored.etag.clone();
        self.stream.tail = Some(Tail { part: Part { number, size, etag }, s3_key });
        let stored = Stored { size: Some(size), ..stored };
        Ok(head.map(|head| Looked { stored, head }))
    }

    /// S3's id of the upload, once there is a part.
    async fn open_upload(&mut self) -> Result<(), Error> {
        if !self.stream.upload_id.is_empty() {
            return Ok(());
        }
        let Streamer { catalog, blobs, clock, .. } = self.streamer;
        let made = blobs.create_upload(self.stream.at()).await?;
        let opened =
            surely(*clock, async || catalog.open_session(self.caller, self.version, &made).await);
        self.stream.upload_id = opened.await?;
        if self.stream.upload_id != made {
            // Another writer was here first; what fails here is SeaweedFS's to forget.
            let _ = blobs.abort_upload(self.stream.at(), &made).await;
        }
        Ok(())
    }

    /// Writes down what is stored.
    pub(super) async fn record(&mut self) -> Result<(), Error> {
        let tail = self.stream.tail.as_ref().filter(|_| self.has_new_tail);
        if self.parts.is_empty() && tail.is_none() {
            return Ok(());
        }
        let Streamer { catalog, clock, .. } = self.streamer;
        let epoch = Some(self.stream.epoch);
        let record = async || {
            catalog.record_parts(self.caller, self.version, epoch, &self.parts, tail).await
        };
        surely(*clock, record).await?;
        catalog.release();
        self.parts.clear();
        self.has_new_tail = false;
        self.delete_replaced().await;
        Ok(())
    }

    /// Deletes the tails that nothing needs any more.
    pub(super) async fn delete_replaced(&mut self) {
        for s3_key in std::mem::take(&mut self.replaced) {
            self.streamer.delete(&self.stream.bucket, &s3_key).await;
        }
    }

    /// Deletes what was stored and shall not be written down. Parts of S3 that nobody names are freed with the upload.
    pub(super) async fn forget(&mut self) {
        if let Some(tail) = self.stream.tail.take().filter(|_| self.has_new_tail) {
            self.streamer.delete(&self.stream.bucket, &tail.s3_key).await;
        }
    }
}
