//! A body that may be long, and whose length nobody knows: it goes to the store in parts, one after the other.

use crate::digest::{Digests, Md5Sum, base64};
use crate::error::Error;
use crate::limits::STREAM_PART_BYTES;
use crate::multipart::Multipart;
use crate::ports::{Body, Catalog, Clock, Target};
use crate::session::{Part, PartStore, Sessions};
use crate::sniff::found_type;
use crate::stream::least_part;
use crate::upload::surely;
use crate::upload::{
    Meter, Pending, Sent, Uploader, check_content, check_digests, is_what_was_sent, torn,
};

impl<C: Catalog + Sessions, B: PartStore, K: Clock> Uploader<'_, C, B, K> {
    /// Through the gate, part by part. The bytes are joined at their end, once what they are is known to be fine: from
    /// then on only who is answered by the store gives them up.
    pub(crate) async fn store_in_parts(
        &self,
        pending: &Pending<'_>,
        first: Vec<u8>,
        body: B::Body,
    ) -> Result<Sent, Error> {
        let upload = pending.upload;
        let (caller, version, at) = (&upload.caller, pending.version, pending.at);
        // Before S3 is asked: the reaper has to know of it.
        self.catalog.attach_session(caller, version, STREAM_PART_BYTES, None).await?;
        let upload_id = self.blobs.create_upload(at).await?;
        let mut meter = self.meter(pending, first, body);
        let parts = self.leased(pending, self.put_parts(at, &upload_id, &mut meter)).await?;
        let Meter { size, hasher, head, .. } = meter;
        let digests = hasher.finish();
        check_digests(&upload.declared, &digests)?;
        let declared = upload.content_type.as_deref();
        check_content(pending.allowed.types.as_deref(), declared, found_type(&head))?;

        let record = async || {
            self.catalog
                .attach_session(caller, version, STREAM_PART_BYTES, Some(&upload_id))
                .await?;
            self.catalog.record_parts(caller, version, None, &parts, None).await
        };
        surely(self.clock, record).await?;
        let Self { catalog, blobs, clock } = self;
        let multipart = Multipart { catalog: *catalog, blobs: *blobs, clock: *clock };
        self.leased(pending, multipart.join_only(caller, version)).await?;
        pending.joined.set(true);
        let stored = self.blobs.head(at).await?.ok_or_else(|| torn("nothing"))?;
        is_what_was_sent(&stored, &stored, size)?;
        let ours = digests.crc64nvme.map(|crc| base64(&crc));
        if stored.crc64nvme.is_some() && stored.crc64nvme != ours {
            return Err(torn("a CRC-64/NVME that differs from what was sent"));
        }
        Ok(Sent { stored, size, head, digests: Digests { md5: None, ..digests } })
    }

    async fn put_parts(
        &self,
        at: Target<'_>,
        upload_id: &str,
        body: &mut impl Body,
    ) -> Result<Vec<Part>, Error> {
        let mut parts = Vec::new();
        let mut next = body.read().await?;
        let mut bytes = 0;
        while let Some(chunk) = next {
            let count = u16::try_from(parts.len()).map_err(Error::internal)?;
            let number = count + 1;
            let left = least_part(count, bytes, None).max(STREAM_PART_BYTES);
            let (size, md5) = (0, Md5Sum::default());
            let mut piece = Piece { body: &mut *body, next: Some(chunk), left, size, md5 };
            let etag = self.blobs.put_part_streamed(at, upload_id, number, &mut piece).await?;
            let Piece { next: rest, size, md5, .. } = piece;
            if etag != md5.to_hex() {
                return Err(torn("a part that differs from what was sent"));
            }
            parts.push(Part { number, size, etag });
            bytes += size;
            next = match rest {
                Some(rest) => Some(rest),
                None => body.read().await?,
            };
        }
        Ok(parts)
    }
}

/// A part: what was read before, and more of the body, up to so many bytes.
struct Piece<'a, B> {
    body: &'a mut B,
    /// Read, and not passed on: of this part, and at its end of the next one.
    next: Option<Vec<u8>>,
    left: u64,
    size: u64,
    md5: Md5Sum,
}

impl<B: Body> Body for Piece<'_, B> {
    async fn read_into(&mut self, buffer: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        let chunk = match self.next.take() {
            Some(chunk) => Some(chunk),
            None => self.body.read_into(buffer).await?,
        };
        let Some(mut chunk) = chunk else { return Ok(None) };
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        if chunk.len() > room {
            self.next = Some(chunk.split_off(room));
        }
        self.left -= chunk.len() as u64;
        self.size += chunk.len() as u64;
        self.md5.update(&chunk);
        Ok(Some(chunk))
    }
}
