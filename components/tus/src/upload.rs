//! One upload: its bytes, what it is at, its end.

use holdfast_core::checksum::Checksum;
use holdfast_core::error::{Code, Error};
use holdfast_core::names::VersionId;
use holdfast_core::session::{Concat, Created, NewUpload, Protocol, Resumption, State};
use holdfast_core::stream::{Appended, Check};
use holdfast_platform::app::Context;
use holdfast_platform::body::Trailers;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_web::tus::{
    self, OFFSET_OCTET_STREAM, UPLOAD_CHECKSUM, UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH,
    UPLOAD_METADATA, UPLOAD_OFFSET,
};
use http::{HeaderMap, HeaderValue};
use wasip3::http::types::Response;

use crate::{Steps, render};

/// `PATCH /v1/tus/{id}`
pub(crate) async fn append(
    context: &Context,
    id: VersionId,
    mut inbound: Inbound,
) -> Result<Response, Error> {
    if !tus::has_bytes(&inbound.headers)? {
        let message = format!("Send the bytes with Content-Type: {OFFSET_OCTET_STREAM}");
        return Err(Error::new(Code::InvalidContentType, message).rule("tus.contentType"));
    }
    let offset = tus::bytes(&inbound.headers, &UPLOAD_OFFSET)?.ok_or_else(|| {
        Error::new(Code::InvalidArgument, "Upload-Offset says behind which byte these ones come")
    })?;
    let resumption = Resumption {
        offset: Some(offset),
        bytes: inbound.content_length()?,
        size: tus::bytes(&inbound.headers, &UPLOAD_LENGTH)?,
    };
    let trailing = Trailing(inbound.body.trailers());
    let compare = || trailing.checksum();
    let check = check(&inbound.headers, &compare)?;
    let steps = Steps::of(context)?;
    let appended =
        steps.streamer().append(&context.caller, id, resumption, &mut inbound.body, check).await?;
    let mut headers = context.no_store();
    render::appended(context, &mut headers, &appended)?;
    Ok(reply::empty(204, &headers))
}

/// The bytes that come with the creation.
pub(crate) async fn first_bytes(
    context: &Context,
    steps: &Steps<'_>,
    new: &NewUpload,
    created: &Created,
    mut inbound: Inbound,
) -> Result<Appended, Error> {
    let bytes = inbound.content_length()?;
    let trailing = Trailing(inbound.body.trailers());
    let compare = || trailing.checksum();
    let check = check(&inbound.headers, &compare)?;
    let streamer = steps.streamer();
    streamer.append_first(&context.caller, new, created, &mut inbound.body, bytes, check).await
}

/// `HEAD /v1/tus/{id}`
pub(crate) async fn status(context: &Context, id: VersionId) -> Result<Response, Error> {
    let steps = Steps::of(context)?;
    let session = steps.streamer().status(&context.caller, id).await?;
    let mut headers = context.no_store();
    let done = session.committed.as_ref();
    let offset = done.map_or_else(|| session.bytes(), |(commit, _)| commit.size);
    headers.insert(UPLOAD_OFFSET, HeaderValue::from(offset));
    match session.plan.size {
        Some(size) => headers.insert(UPLOAD_LENGTH, HeaderValue::from(size)),
        None => headers.insert(UPLOAD_DEFER_LENGTH, HeaderValue::from(1)),
    };
    if let Some(described) = &session.described {
        let described = HeaderValue::try_from(described).map_err(Error::internal)?;
        headers.insert(UPLOAD_METADATA, described);
    }
    let concat = match &session.protocol {
        Protocol::Tus(Concat::Partial) => Some("partial".to_owned()),
        Protocol::Tus(Concat::Final(pieces)) => {
            let urls: Vec<_> =
                pieces.iter().map(|piece| render::upload_url(context, *piece)).collect();
            Some(format!("final;{}", urls.join(" ")))
        }
        _ => None,
    };
    if let Some(concat) = concat {
        headers.insert(UPLOAD_CONCAT, HeaderValue::try_from(concat).map_err(Error::internal)?);
    }
    match done {
        Some((commit, _)) => render::object(context, &mut headers, &session, commit)?,
        None if session.state == State::Open => {
            render::expires(&mut headers, session.expires_at_us)?;
        }
        None => {}
    }
    Ok(reply::empty(200, &headers))
}

/// `DELETE /v1/tus/{id}`
pub(crate) async fn terminate(context: &Context, id: VersionId) -> Result<Response, Error> {
    let steps = Steps::of(context)?;
    steps.streamer().abort(&context.caller, id).await?;
    Ok(reply::empty(204, &context.no_store()))
}

/// What the body has to be.
pub(crate) fn check<'a>(
    headers: &HeaderMap,
    trailing: &'a dyn Fn() -> Result<Option<Checksum>, Error>,
) -> Result<Check<'a>, Error> {
    Ok(match tus::declared_checksum(headers)? {
        Some(checksum) => Check::Is(checksum),
        None if tus::checksum_trails(headers) => Check::Trailing(trailing),
        None => Check::Nothing,
    })
}

/// The trailers, in which a checksum may come.
struct Trailing(Trailers);

impl Trailing {
    fn checksum(&self) -> Result<Option<Checksum>, Error> {
        let value = self.0.get(UPLOAD_CHECKSUM.as_str()).pop();
        value.map(|value| tus::checksum(&String::from_utf8_lossy(&value))).transpose()
    }
}
