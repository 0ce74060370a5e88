//! URLs by which parts of an upload go to SeaweedFS and not through here.

use std::time::Duration;

use holdfast_core::error::{Code, Error};
use holdfast_core::ports::Caller;
use holdfast_core::session::{Session, Sessions, State};
use holdfast_s3::{Action as _, PartNumber, UploadPart};
use time::OffsetDateTime;

use crate::app::Context;

/// The signed URL of one part.
pub struct SignedPart {
    /// Its number.
    pub number: u16,
    /// Where it is put.
    pub url: String,
    /// What has to be sent with it.
    pub headers: Vec<(String, String)>,
}

/// Which URLs shall be signed.
pub struct Wanted<'a> {
    /// The parts' numbers, ascending.
    pub parts: &'a [u16],
    /// The session's epoch, where the client knows one.
    pub epoch: Option<i32>,
    /// How long they live, in seconds.
    pub seconds: i32,
}

/// Signs, and writes down before that S3 may have parts that SQL does not know. Answers the end of the URLs too.
///
/// # Errors
/// [`Code::NoSuchUpload`]: it is over. [`Code::InvalidArgument`]: a number is none of its parts'. What `sign_parts`
/// refuses.
pub async fn sign(
    context: &Context,
    sessions: &impl Sessions,
    session: &Session,
    wanted: Wanted<'_>,
) -> Result<(Vec<SignedPart>, OffsetDateTime), Error> {
    let Wanted { parts, epoch, seconds } = wanted;
    if matches!(session.state, State::Done | State::Aborted) {
        let message = "The upload is over; create another one";
        return Err(Error::new(Code::NoSuchUpload, message).rule("session.state"));
    }
    if let (Some(last), Some(count)) = (parts.last(), session.plan.count())
        && *last > count
    {
        let message = format!("A part of this upload has a number from 1 to {count}");
        return Err(Error::new(Code::InvalidArgument, message));
    }
    let caller: &Caller = &context.caller;
    let version = session.version;
    let seconds = sessions.sign_parts(caller, version, epoch, parts.len(), seconds).await?;
    let at = OffsetDateTime::now_utc();
    let lives = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let signed = parts.iter().map(|number| one(context, session, *number, at, lives));
    Ok((signed.collect::<Result<_, _>>()?, at + lives))
}

fn one(
    context: &Context,
    session: &Session,
    number: u16,
    at: OffsetDateTime,
    lives: Duration,
) -> Result<SignedPart, Error> {
    let part_number =
        PartNumber::new(number).ok_or_else(|| Error::internal(format!("part number {number}")))?;
    let action = UploadPart {
        bucket: &session.bucket,
        key: &session.s3_key,
        upload_id: &session.upload_id,
        part_number,
        content_length: session.plan.length_of(number),
        // SeaweedFS does not compare digests of presigned requests.
        checksum: None,
    };
    let url = context.app.public_signer()?.presign(&action, at, lives).map_err(Error::internal)?;
    let request = action.request();
    let headers = request.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(SignedPart { number, url, headers: headers.collect() })
}
