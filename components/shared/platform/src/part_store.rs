//! S3's operations on uploads in parts, on SeaweedFS.

use std::time::Duration;

use holdfast_core::digest::base64;
use holdfast_core::error::{Code, Error};
use holdfast_core::ports::{Body, Target, Verify};
use holdfast_core::session::{Joined, ListedPart, Part, PartStore};
use holdfast_s3::{
    AbortMultipartUpload, Checksum, ChecksumAlgorithm, CompleteMultipartUpload,
    CreateMultipartUpload, ListMultipartUploads, ListParts, PartNumber, S3Error, UploadPart,
};
use time::OffsetDateTime;
use wasip3::http::client;

use crate::blobs::{
    ANSWER_LIMIT, ERROR_BODY_BYTES, LISTING_BYTES, S3Blobs, SPLICED_BYTES_PER_SECOND, STORE,
    STORED_TYPE, finish, refused, stored,
};
use crate::body::UploadBody;
use crate::outbound::{Answer, Failure, Retry, retry};

/// How long a Complete may take: SeaweedFS writes one entry for each 8 MiB or so.
const JOIN_LIMIT: Duration = Duration::from_secs(60);

impl PartStore for S3Blobs<'_> {
    async fn create_upload(&self, at: Target<'_>) -> Result<String, Error> {
        let action =
            CreateMultipartUpload { bucket: at.bucket, key: at.s3_key, content_type: STORED_TYPE };
        let answer = self.ask(&action, None).await?;
        if answer.status != 200 {
            return Err(refused(&answer));
        }
        CreateMultipartUpload::parse(&answer.body).map_err(|error| Error::unavailable(STORE, error))
    }

    async fn put_part(
        &self,
        at: Target<'_>,
        upload_id: &str,
        number: u16,
        length: u64,
        body: UploadBody,
        verify: Option<Verify>,
    ) -> Result<String, Error> {
        let part_number = PartNumber::new(number)
            .ok_or_else(|| Error::internal(format!("part number {number}")))?;
        let (stream, end) = body.into_stream()?;
        let verify = verify.map(|verify| match verify {
            Verify::Crc64Nvme(crc) => (ChecksumAlgorithm::Crc64Nvme, base64(&crc)),
            Verify::Crc32c(crc) => (ChecksumAlgorithm::Crc32c, base64(&crc)),
            Verify::Sha256(digest) => (ChecksumAlgorithm::Sha256, base64(&digest)),
        });
        let checksum = verify.as_ref().map(|(algorithm, value)| Checksum::Verify {
            algorithm: *algorithm,
            value_base64: value,
        });
        let action = UploadPart {
            bucket: at.bucket,
            key: at.s3_key,
            upload_id,
            part_number,
            content_length: Some(length),
            checksum,
        };
        let signed = self.signer.sign(&action, OffsetDateTime::now_utc());
        let limit = ANSWER_LIMIT + Duration::from_secs(length / SPLICED_BYTES_PER_SECOND);
        let request = self.outgoing(&signed, limit).with_body(Some(stream), end)?;
        let response = client::send(request)
            .await
            .map_err(|code| Failure::Transport(code).into_error(STORE))?;
        part_etag(&finish(response, ERROR_BODY_BYTES).await?)
    }

    async fn put_part_streamed(
        &self,
        at: Target<'_>,
        upload_id: &str,
        number: u16,
        body: &mut impl Body,
    ) -> Result<String, Error> {
        let part_number = PartNumber::new(number)
            .ok_or_else(|| Error::internal(format!("part number {number}")))?;
        let (bucket, key) = (at.bucket, at.s3_key);
        let action = UploadPart {
            bucket,
            key,
            upload_id,
            part_number,
            content_length: None,
            checksum: None,
        };
        part_etag(&self.pump(&action, body).await?)
    }

    async fn list_parts(&self, at: Target<'_>, upload_id: &str) -> Result<Vec<ListedPart>, Error> {
        let mut all = Vec::new();
        let mut marker = None;
        loop {
            let action = ListParts {
                bucket: at.bucket,
                key: at.s3_key,
                upload_id,
                part_number_marker: marker,
                max_parts: Some(1_000),
            };
            let page = retry(async || {
                let answer = self.attempt(&action, None, LISTING_BYTES).await?;
                match answer.status {
                    200 => ListParts::parse(&answer.body)
                        .map_err(|error| Retry::MayHelp(Error::unavailable(STORE, error))),
                    404 => Err(Retry::Never(Error::new(
                        Code::NoSuchUpload,
                        "The upload is over; create another one",
                    ))),
                    _ => Err(Retry::MayHelp(refused(&answer))),
                }
            })
            .await?;
            all.extend(page.parts.into_iter().map(|entry| ListedPart {
                part: Part { number: entry.part_number.get(), size: entry.size, etag: entry.etag },
                stored_at: entry.last_modified,
            }));
            match page.next_part_number_marker {
                // A page that does not go on must not go on for ever.
                Some(next) if marker < Some(next) => marker = Some(next),
                _ => return Ok(all),
            }
        }
    }

    async fn join(&self, at: Target<'_>, upload_id: &str, parts: &[Part]) -> Joined {
        let numbered = parts
            .iter()
            .filter_map(|part| Some((PartNumber::new(part.number)?, part.etag.as_str())));
        let body = CompleteMultipartUpload::body(numbered);
        let action = CompleteMultipartUpload { bucket: at.bucket, key: at.s3_key, upload_id };
        let signed = self.signer.sign(&action, OffsetDateTime::now_utc());
        // Once: whether another one may be sent is the caller's to decide.
        let response =
            match self.outgoing(&signed, JOIN_LIMIT).send_bytes(Some(body.as_bytes())).await {
                Ok(response) => response,
                Err(failure) => return Joined::Unknown(failure.into_error(STORE)),
            };
        let answer = match finish(response, ERROR_BODY_BYTES).await {
            Ok(answer) => answer,
            Err(error) => return Joined::Unknown(error),
        };
        match CompleteMultipartUpload::parse(answer.status, &answer.body) {
            Ok(etag) => Joined::Yes(etag),
            Err(error) if error.is_transient() => Joined::Unknown(Error::unavailable(STORE, error)),
            Err(error) => unjoined(error),
        }
    }

    async fn abort_upload(&self, at: Target<'_>, upload_id: &str) -> Result<(), Error> {
        let action = AbortMultipartUpload { bucket: at.bucket, key: at.s3_key, upload_id };
        let answer = self.ask(&action, None).await?;
        match answer.status {
            200 | 204 | 404 => Ok(()),
            _ => Err(refused(&answer)),
        }
    }

    async fn abort_uploads(&self, at: Target<'_>) -> Result<(), Error> {
        let action = ListMultipartUploads { bucket: at.bucket, prefix: at.s3_key };
        let uploads = retry(async || {
            let answer = self.attempt(&action, None, LISTING_BYTES).await?;
            match answer.status {
                200 => ListMultipartUploads::parse(&answer.body)
                    .map_err(|error| Retry::MayHelp(Error::unavailable(STORE, error))),
                404 => Ok(Vec::new()),
                _ => Err(Retry::MayHelp(refused(&answer))),
            }
        })
        .await?;
        for upload in uploads.iter().filter(|upload| upload.key == at.s3_key) {
            self.abort_upload(at, &upload.upload_id).await?;
        }
        Ok(())
    }
}

/// The ETag of a part that was stored.
fn part_etag(answer: &Answer) -> Result<String, Error> {
    if answer.status == 404 {
        return Err(Error::new(Code::NoSuchUpload, "The upload is over; create another one"));
    }
    Ok(stored(answer)?.etag)
}

/// What a refused Complete means.
fn unjoined(error: S3Error) -> Joined {
    let code = match error.code.as_str() {
        "NoSuchUpload" | "NoSuchKey" | "NotFound" => return Joined::NoSuchUpload,
        "EntityTooSmall" => Code::EntityTooSmall,
        "InvalidPartOrder" => Code::InvalidPartOrder,
        "InvalidPart" => Code::InvalidPart,
        // Not about the parts: nothing that this client could mend.
        _ => return Joined::Unknown(Error::unavailable(STORE, error)),
    };
    let message = "The object store does not have these parts as they were sent; send them again";
    Joined::Refused(Error::new(code, message).because(error))
}
