//! `POST /v1/tus`: a new upload, with its first bytes or without, or one made of others.

use std::collections::BTreeMap;

use holdfast_core::error::{Code, Error};
use holdfast_core::limits::SESSION_SECONDS;
use holdfast_core::names::{BucketName, ObjectKey};
use holdfast_core::parts::Plan;
use holdfast_core::ports::ContentHeaders;
use holdfast_core::session::{Concat, Created, NewUpload, Protocol, Sessions as _};
use holdfast_core::stream::{Appended, check_piece, part_size};
use holdfast_platform::app::Context;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::reply;
use holdfast_web::conditional::{EntityTags, Preconditions};
use holdfast_web::path::Query;
use holdfast_web::tus::{self, Metadata, UPLOAD_CONCAT, UPLOAD_METADATA};
use holdfast_web::{content_headers, content_type};
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue};
use wasip3::http::types::Response;

use crate::upload::first_bytes;
use crate::{Steps, render};

pub(crate) async fn create(context: &Context, inbound: Inbound) -> Result<Response, Error> {
    let concat = text(&inbound.headers, &UPLOAD_CONCAT)?.map(tus::Concat::parse).transpose()?;
    let described = text(&inbound.headers, &UPLOAD_METADATA)?;
    let metadata = Metadata::parse(described.unwrap_or_default())?;
    let steps = Steps::of(context)?;
    let (concat, size) = match concat {
        None => (Concat::Whole, tus::length(&inbound.headers)?),
        Some(tus::Concat::Partial) => (Concat::Partial, tus::length(&inbound.headers)?),
        Some(tus::Concat::Final(pieces)) => {
            let mut size = 0;
            for piece in &pieces {
                let session = steps.catalog.session(&context.caller, piece.id, true).await?;
                check_piece(&session)?;
                size += session.bytes();
            }
            (Concat::Final(pieces.into_iter().map(|piece| piece.id).collect()), Some(size))
        }
    };
    let described = described.map(str::to_owned);
    let new = new_upload(context, &inbound, metadata, described, concat, size)?;
    let streamer = steps.streamer();
    let created = streamer.create(&context.caller, &new).await?;
    let begun = match &new.protocol {
        Protocol::Tus(Concat::Final(_)) => {
            streamer.assemble(&context.caller, created.version).await.map(|done| {
                let (offset, expires_at_us) = (done.1.size, created.expires_at_us);
                Some(Appended { offset, expires_at_us, done: Some(done) })
            })
        }
        _ if size == Some(0) || tus::has_bytes(&inbound.headers)? => {
            first_bytes(context, &steps, &new, &created, inbound).await.map(Some)
        }
        _ => Ok(None),
    };
    let appended = match begun {
        Ok(appended) => appended,
        Err(error) => {
            // Its URL was told to nobody. What fails here ends by itself.
            if error.code != Code::ServiceUnavailable {
                let _ = streamer.abort(&context.caller, created.version).await;
            }
            return Err(error);
        }
    };
    respond(context, &created, appended.as_ref())
}

fn respond(
    context: &Context,
    created: &Created,
    appended: Option<&Appended>,
) -> Result<Response, Error> {
    let mut headers = context.no_store();
    let url = render::upload_url(context, created.version);
    headers.insert(LOCATION, HeaderValue::try_from(url).map_err(Error::internal)?);
    match appended {
        Some(appended) => render::appended(context, &mut headers, appended)?,
        None => render::expires(&mut headers, created.expires_at_us)?,
    }
    Ok(reply::empty(201, &headers))
}

/// Where it goes: to the bucket and key of its metadata, else where the token or the query says.
fn new_upload(
    context: &Context,
    inbound: &Inbound,
    metadata: Metadata,
    described: Option<String>,
    concat: Concat,
    size: Option<u64>,
) -> Result<NewUpload, Error> {
    let missing = |what: &str| {
        let message = format!("Upload-Metadata: the key {what} says where the upload goes");
        Error::new(Code::InvalidArgument, message)
    };
    let query = Query::parse(Some(&inbound.query))?;
    let reach = context.reach.as_ref();
    let bucket = match (metadata.bucket, query.get("bucket")?, reach) {
        (Some(bucket), ..) => bucket,
        (None, Some(bucket), _) => bucket.to_owned(),
        (None, None, Some(reach)) => reach.bucket.clone(),
        (None, None, None) => return Err(missing("bucket")),
    };
    let prefix = reach.map_or("", |reach| reach.prefix.as_str());
    let key = match (metadata.key, metadata.filename, &concat) {
        (Some(key), ..) => key,
        (None, Some(name), _) => format!("{prefix}{name}"),
        // A piece is no object; it only has to be where its client may write.
        (None, None, Concat::Partial) => format!("{prefix}partial"),
        (None, None, _) => return Err(missing("key (or filename)")),
    };
    let mut typed = HeaderMap::new();
    if let Some(filetype) = &metadata.filetype {
        let wrong = |_| Error::new(Code::InvalidArgument, "Upload-Metadata: filetype is none");
        typed.insert(CONTENT_TYPE, HeaderValue::from_str(filetype).map_err(wrong)?);
    }
    let conditions = Preconditions::from_headers(&inbound.headers)?;
    let partial = concat == Concat::Partial;
    Ok(NewUpload {
        bucket: BucketName::parse(&bucket)?,
        key: ObjectKey::parse(&key)?,
        plan: Plan { part_size: part_size(size), size },
        content_type: match partial {
            // Its bytes are those of no content yet.
            true => None,
            false => content_type::from_headers(&typed)?.map(str::to_owned),
        },
        user_metadata: if partial { BTreeMap::new() } else { metadata.rest },
        if_match: conditions.if_match.as_ref().map(EntityTags::canonical).transpose()?,
        if_none_match: conditions.if_none_match.as_ref().map(EntityTags::canonical).transpose()?,
        headers: match partial {
            true => ContentHeaders::default(),
            false => content_headers::from_headers(&inbound.headers)?,
        },
        seconds: SESSION_SECONDS,
        protocol: Protocol::Tus(concat),
        described,
        idempotency: None,
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Result<Option<&'a str>, Error> {
    let wrong = |_| Error::new(Code::InvalidArgument, format!("The header {name} is not ASCII"));
    headers.get(name).map(|value| value.to_str().map_err(wrong)).transpose()
}
