//! The blob store on SeaweedFS: typed S3 operations, signed anew for each attempt.

use std::time::Duration;

use futures_util::future::join;
use holdfast_core::copy::CopyingStore;
use holdfast_core::digest::base64;
use holdfast_core::error::{Code, Error};
use holdfast_core::ports::{Blobs, Body, Looked, Stored, Target, Verify};
use holdfast_s3::{
    Action, Checksum, ChecksumAlgorithm, CopyObject, CreateBucket, DeleteObject, GetObject,
    HeadBucket, HeadObject, ListObjectsV2, ListObjectsV2Page, PutObject, Signer, parse_error,
};
use time::OffsetDateTime;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Response};
use wasip3::wit_bindgen::StreamWriter;
use wasip3::{wit_future, wit_stream};

use crate::body::{InboundBody, UploadBody};
use crate::clock::within;
use crate::outbound::{Answer, Failure, Head, Retry, header, retry};

/// What the client reads when SeaweedFS is not there.
pub(crate) const STORE: &str = "The object store";

/// For an answer that needs no body to be sent first.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A spliced body is given this long for its size, at the least: bytes a second.
pub(crate) const SPLICED_BYTES_PER_SECOND: u64 = 32 * 1_024;

/// A pumped body is watched chunk by chunk, so its whole has no limit of its own but a day.
const PUMP_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the store may refuse to take the next chunk.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// A copy within the store is given this long for its size, at the least: bytes a second.
const COPIED_BYTES_PER_SECOND: u64 = 4 * 1_024 * 1_024;

/// The most of a listing that is read, in bytes: a thousand entries whose keys have 1,024 bytes, each written as three, and
/// less than a kilobyte beside them. One that is cut off is an error and never a shorter page.
pub(crate) const LISTING_BYTES: usize = 4 * 1_024 * 1_024;

/// The most of an error body that is read, in bytes.
pub(crate) const ERROR_BODY_BYTES: usize = 16 * 1_024;

/// What the bytes are stored as: their real type is in our row, and SeaweedFS would sniff without one.
pub(crate) const STORED_TYPE: &str = "application/octet-stream";

/// SeaweedFS, by its S3 API.
pub struct S3Blobs<'a> {
    /// Signs each attempt.
    pub signer: &'a Signer,
}

impl S3Blobs<'_> {
    /// Sends an operation without a body, or with one that is held, once.
    async fn send(&self, action: &impl Action, body: Option<&[u8]>) -> Result<Response, Retry> {
        let signed = self.signer.sign(action, OffsetDateTime::now_utc());
        let sent = self.outgoing(&signed, ANSWER_LIMIT).send_bytes(body).await;
        sent.map_err(|failure| match failure {
            Failure::Ours(error) => Retry::Never(error),
            Failure::Transport(_) => Retry::MayHelp(failure.into_error(STORE)),
        })
    }

    /// The same, and reads the answer, but no more than `limit` bytes of its body; a broken one may be whole next
    /// time.
    pub(crate) async fn attempt(
        &self,
        action: &impl Action,
        body: Option<&[u8]>,
        limit: usize,
    ) -> Result<Answer, Retry> {
        let response = self.send(action, body).await?;
        finish(response, limit).await.map_err(Retry::MayHelp)
    }

    pub(crate) fn outgoing<'a>(
        &'a self,
        signed: &'a holdfast_s3::SignedRequest,
        first_byte_limit: Duration,
    ) -> Head<'a> {
        let endpoint = self.signer.endpoint();
        Head {
            method: signed.method,
            scheme: endpoint.scheme(),
            authority: endpoint.authority(),
            path_and_query: &signed.path_and_query,
            headers: &signed.headers,
            first_byte_limit,
        }
    }

    /// Sends an operation until it has an answer that is no passing fault, and reads that.
    pub(crate) async fn ask(
        &self,
        action: &impl Action,
        body: Option<&[u8]>,
    ) -> Result<Answer, Error> {
        retry(async || {
            let answer = self.attempt(action, body, ERROR_BODY_BYTES).await?;
            match answer.status {
                ..300 => Ok(answer),
                _ => match refusal(&answer) {
                    passing @ Retry::MayHelp(_) => Err(passing),
                    Retry::Never(_) => Ok(answer),
                },
            }
        })
        .await
    }

    /// Opens a stored version for reading, from `range` where one is given (`bytes=0-9`).
    ///
    /// The answer is 200 or 206 with its body unread.
    ///
    /// # Errors
    /// * [`Code::NoSuchKey`]: nothing is stored there.
    /// * [`Code::ServiceUnavailable`]: SeaweedFS does not answer as it should.
    pub async fn open(&self, at: Target<'_>, range: Option<&str>) -> Result<Response, Error> {
        let action = GetObject { bucket: at.bucket, key: at.s3_key, range, ..GetObject::default() };
        retry(async || {
            let response = self.send(&action, None).await?;
            match response.get_status_code() {
                200 | 206 => Ok(response),
                _ => {
                    let answer = finish(response, ERROR_BODY_BYTES).await;
                    Err(answer.map_or_else(Retry::MayHelp, |answer| refusal(&answer)))
                }
            }
        })
        .await
    }

    /// The bytes of `range`, held whole; at most `limit` of them.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn read(
        &self,
        at: Target<'_>,
        range: Option<&str>,
        limit: usize,
    ) -> Result<Vec<u8>, Error> {
        let action = GetObject { bucket: at.bucket, key: at.s3_key, range, ..GetObject::default() };
        retry(async || {
            let answer = self.attempt(&action, None, limit).await?;
            match (answer.status, range) {
                (200, None) | (206, Some(_)) => Ok(answer.body),
                (200 | 206, _) => {
                    Err(Retry::Never(Error::unavailable(STORE, "another range than asked for")))
                }
                _ => Err(refusal(&answer)),
            }
        })
        .await
    }

    /// Sends a body chunk by chunk, and reads the answer.
    ///
    /// # Errors
    /// What the body fails with; the store keeps nothing then.
    pub(crate) async fn pump(
        &self,
        action: &impl Action,
        body: &mut impl Body,
    ) -> Result<Answer, Error> {
        let signed = self.signer.sign(action, OffsetDateTime::now_utc());
        let (tx, rx) = wit_stream::new();
        // The default is an error: a body that is cut here must not become a whole object.
        let (end, end_rx) = wit_future::new(|| {
            Err(ErrorCode::InternalError(Some("the upload stopped".to_owned())))
        });
        let request = self.outgoing(&signed, PUMP_LIMIT).with_body(Some(rx), end_rx)?;
        let copy = async move {
            pump(body, tx).await?;
            let _ = end.write(Ok(None)).await;
            Ok::<_, Error>(())
        };
        let (copied, response) = join(copy, client::send(request)).await;
        match (copied, response) {
            (Ok(()), Ok(response)) => finish(response, ERROR_BODY_BYTES).await,
            (Ok(()), Err(code)) => Err(Failure::Transport(code).into_error(STORE)),
            // The store answered before the end: its reason counts, not our broken pipe.
            (Err(error), Ok(response)) if error.code == Code::ServiceUnavailable => {
                Err(refused(&finish(response, ERROR_BODY_BYTES).await?).because(error))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// A page of a bucket's listing, in the store's own order; empty where the store has no such bucket.
    ///
    /// # Errors
    /// [`Code::ServiceUnavailable`]: SeaweedFS does not answer, or with something that is no listing.
    pub async fn list(&self, action: &ListObjectsV2<'_>) -> Result<ListObjectsV2Page, Error> {
        retry(async || {
            let answer = self.attempt(action, None, LISTING_BYTES).await?;
            match answer.status {
                200 => ListObjectsV2::parse(&answer.body)
                    .map_err(|error| Retry::MayHelp(Error::unavailable(STORE, error))),
                404 => Ok(ListObjectsV2Page::default()),
                _ => Err(Retry::MayHelp(refused(&answer))),
            }
        })
        .await
    }

    /// Whether the bucket is there and ours to use.
    ///
    /// # Errors
    /// [`Code::ServiceUnavailable`]: SeaweedFS does not answer, or not for us.
    pub async fn head_bucket(&self, bucket: &str) -> Result<bool, Error> {
        let answer = self.ask(&HeadBucket { bucket }, None).await?;
        match answer.status {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(refused(&answer)),
        }
    }

    /// Creates the bucket; fine if it is there.
    ///
    /// # Errors
    /// [`Code::ServiceUnavailable`]: SeaweedFS does not answer, or not for us.
    pub async fn create_bucket(&self, bucket: &str) -> Result<(), Error> {
        let answer = self.ask(&CreateBucket { bucket }, None).await?;
        match answer.status {
            200 | 409 => Ok(()),
            _ => Err(refused(&answer)),
        }
    }
}

impl Blobs for S3Blobs<'_> {
    type Body = UploadBody;
    type Reader = InboundBody;

    async fn put_bytes(
        &self,
        at: Target<'_>,
        bytes: &[u8],
        crc64nvme: &str,
    ) -> Result<Stored, Error> {
        let checksum =
            Checksum::Verify { algorithm: ChecksumAlgorithm::Crc64Nvme, value_base64: crc64nvme };
        let action = put_object(at, Some(bytes.len() as u64), checksum);
        stored(&self.ask(&action, Some(bytes)).await?)
    }

    async fn put_spliced(
        &self,
        at: Target<'_>,
        body: UploadBody,
        length: u64,
        verify: Option<Verify>,
    ) -> Result<Stored, Error> {
        let (stream, end) = body.into_stream()?;
        let (algorithm, value) = match verify {
            None => (ChecksumAlgorithm::Crc64Nvme, None),
            Some(Verify::Crc64Nvme(crc)) => (ChecksumAlgorithm::Crc64Nvme, Some(base64(&crc))),
            Some(Verify::Crc32c(crc)) => (ChecksumAlgorithm::Crc32c, Some(base64(&crc))),
            Some(Verify::Sha256(digest)) => (ChecksumAlgorithm::Sha256, Some(base64(&digest))),
        };
        let checksum = match &value {
            Some(value_base64) => Checksum::Verify { algorithm, value_base64 },
            None => Checksum::Compute(algorithm),
        };
        let action = put_object(at, Some(length), checksum);
        let signed = self.signer.sign(&action, OffsetDateTime::now_utc());
        let limit = ANSWER_LIMIT + Duration::from_secs(length / SPLICED_BYTES_PER_SECOND);
        let request = self.outgoing(&signed, limit).with_body(Some(stream), end)?;
        // A client that left and a store that broke look alike here; the former never reads this.
        let response = client::send(request)
            .await
            .map_err(|code| Failure::Transport(code).into_error(STORE))?;
        stored(&finish(response, ERROR_BODY_BYTES).await?)
    }

    async fn put_streamed(&self, at: Target<'_>, body: &mut impl Body) -> Result<Stored, Error> {
        let action = put_object(at, None, Checksum::Compute(ChecksumAlgorithm::Crc64Nvme));
        stored(&self.pump(&action, body).await?)
    }

    async fn read_from(&self, at: Target<'_>, offset: u64) -> Result<InboundBody, Error> {
        let range = (offset > 0).then(|| format!("bytes={offset}-"));
        let response = self.open(at, range.as_deref()).await?;
        Ok(InboundBody::of_response(response, STORE))
    }

    async fn head(&self, at: Target<'_>) -> Result<Option<Stored>, Error> {
        let action = HeadObject { bucket: at.bucket, key: at.s3_key, checksum_mode: true };
        let answer = self.ask(&action, None).await?;
        match answer.status {
            404 => Ok(None),
            _ => stored(&answer).map(Some),
        }
    }

    async fn look(&self, at: Target<'_>, count: usize) -> Result<Option<Looked>, Error> {
        let range = format!("bytes=0-{}", count.saturating_sub(1));
        let action = GetObject {
            bucket: at.bucket,
            key: at.s3_key,
            range: Some(&range),
            ..GetObject::default()
        };
        retry(async || {
            let answer = self.attempt(&action, None, count).await?;
            match answer.status {
                404 => Ok(None),
                200 | 206 => looked(answer).map(Some).map_err(Retry::MayHelp),
                _ => Err(refusal(&answer)),
            }
        })
        .await
    }

    async fn delete(&self, at: Target<'_>) -> Result<(), Error> {
        let answer = self.ask(&DeleteObject { bucket: at.bucket, key: at.s3_key }, None).await?;
        match answer.status {
            200 | 204 | 404 => Ok(()),
            _ => Err(refused(&answer)),
        }
    }
}

impl CopyingStore for S3Blobs<'_> {
    async fn copy(&self, from: Target<'_>, to: Target<'_>, size: u64) -> Result<(), Error> {
        let action = CopyObject {
            bucket: to.bucket,
            key: to.s3_key,
            source_bucket: from.bucket,
            source_key: from.s3_key,
        };
        let limit = ANSWER_LIMIT + Duration::from_secs(size / COPIED_BYTES_PER_SECOND);
        retry(async || {
            let signed = self.signer.sign(&action, OffsetDateTime::now_utc());
            let sent = self.outgoing(&signed, limit).send_bytes(None).await;
            let response = sent.map_err(|failure| match failure {
                Failure::Ours(error) => Retry::Never(error),
                Failure::Transport(_) => Retry::MayHelp(failure.into_error(STORE)),
            })?;
            let answer = finish(response, ERROR_BODY_BYTES).await.map_err(Retry::MayHelp)?;
            match CopyObject::parse(answer.status, &answer.body) {
                Ok(_) => Ok(()),
                Err(error) if error.is_transient() => Err(Retry::MayHelp(refused(&answer))),
                Err(_) => Err(Retry::Never(refused(&answer))),
            }
        })
        .await
    }
}

fn put_object<'a>(
    at: Target<'a>,
    content_length: Option<u64>,
    checksum: Checksum<'a>,
) -> PutObject<'a> {
    PutObject {
        bucket: at.bucket,
        key: at.s3_key,
        content_type: STORED_TYPE,
        content_length,
        checksum: Some(checksum),
        headers: &[],
    }
}

/// Moves a body on, chunk by chunk.
async fn pump(body: &mut impl Body, mut tx: StreamWriter<u8>) -> Result<(), Error> {
    let mut buffer = Vec::new();
    while let Some(chunk) = body.read_into(buffer).await? {
        buffer = within(STALL_LIMIT, tx.write_all(chunk))
            .await
            .ok_or_else(|| Error::unavailable(STORE, "it takes no bytes"))?;
        if !buffer.is_empty() {
            return Err(Error::unavailable(STORE, "it stopped taking bytes"));
        }
    }
    Ok(())
}

/// Reads an answer, but no more than `limit` bytes of its body.
pub(crate) async fn finish(response: Response, limit: usize) -> Result<Answer, Error> {
    let answer = Answer::read(response, limit).await;
    answer.map_err(|code| Failure::Transport(code).into_error(STORE))
}

/// What a success says of the blob. Only an S3 success counts: 200 with an ETag.
pub(crate) fn stored(answer: &Answer) -> Result<Stored, Error> {
    let etag =
        answer.header("etag").filter(|_| answer.status == 200).ok_or_else(|| refused(answer))?;
    Ok(Stored {
        etag: etag.trim_matches('"').to_owned(),
        crc64nvme: answer.header(ChecksumAlgorithm::Crc64Nvme.header()),
        size: header(&answer.headers, "content-length").and_then(|length| length.parse().ok()),
    })
}

/// What the answer to a ranged GET says of the whole.
fn looked(answer: Answer) -> Result<Looked, Error> {
    let text = |name| answer.header(name);
    let whole = match answer.status {
        206 => text("content-range").and_then(|range| range.rsplit('/').next()?.parse().ok()),
        _ => text("content-length").and_then(|length| length.parse().ok()),
    };
    let etag =
        text("etag").ok_or_else(|| Error::unavailable(STORE, "it answers without an ETag"))?;
    let stored = Stored { etag: etag.trim_matches('"').to_owned(), crc64nvme: None, size: whole };
    Ok(Looked { stored, head: answer.body })
}

/// A refusal, and whether the same request may be answered otherwise a moment later.
fn refusal(answer: &Answer) -> Retry {
    if parse_error(answer.status, &answer.body).is_transient() {
        Retry::MayHelp(refused(answer))
    } else {
        Retry::Never(refused(answer))
    }
}

/// What a refusal of the store means for the client, who made no S3 request.
pub(crate) fn refused(answer: &Answer) -> Error {
    let error = parse_error(answer.status, &answer.body);
    match error.code.as_str() {
        "BadDigest" | "InvalidDigest" => {
            let message =
                "The content is not what its digest says; nothing was stored, send it again";
            Error::new(Code::BadDigest, message)
        }
        "ClientDisconnected" => {
            Error::new(Code::IncompleteBody, "The body ended early; send it again")
        }
        "NoSuchKey" | "NotFound" => Error::new(Code::NoSuchKey, "There is no such object"),
        _ => Error::unavailable(STORE, "it refused"),
    }
    .because(error)
}
