//! Archives as answers: each file is read from SeaweedFS, counted and handed on, chunk by chunk.

use std::rc::Rc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use holdfast_core::archive::{Archive, Entry, LEFT_OUT, LeftOut, MAX_ARCHIVE_FILES};
use holdfast_core::error::{Code, Error};
use holdfast_core::names::BucketName;
use holdfast_core::ports::{Blobs as _, Body as _, Caller, Clock as _, Target};
use holdfast_web::archive_request::{Selection, Slice};
use holdfast_web::disposition;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use spin_sdk::pg::ParameterValue;
use wasip3::http::types::{ErrorCode, Response};
use wasip3::wit_bindgen::StreamWriter;
use wasip3::{wit_future, wit_stream};

use crate::app::{App, Context};
use crate::blobs::S3Blobs;
use crate::body::InboundBody;
use crate::catalog::scopes;
use crate::clock::WasiClock;
use crate::pg::{self, opt_text, text, texts};
use crate::{log, reply};

const ENTRIES: &str = "select outcome, rule, key, s3_key, size, committed_at_us from holdfast.archive(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, null)";

/// Files that are opened before their turn: small ones take longer to open than to send.
const OPENED_AT_ONCE: usize = 8;

/// How often the rest of a file that broke off is asked for.
const ATTEMPTS: u32 = 4;

/// Says after which key the next archive goes on, percent-encoded.
const ARCHIVE_NEXT: HeaderName = HeaderName::from_static("archive-next");

/// What an archive takes of a bucket.
#[derive(Debug, Default)]
pub struct Contents {
    /// The files, in their order. Their names are their keys.
    pub entries: Vec<Entry>,
    /// What is not there, or not the caller's to read.
    pub left_out: Vec<LeftOut>,
    /// The key of the last file, where others follow it.
    pub next: Option<String>,
}

/// Asks SQL, once, what an archive takes.
///
/// # Errors
/// * [`Code::NoSuchBucket`], [`Code::AccessDenied`].
/// * [`Code::InvalidArgument`]: too many files, and no limit was asked for.
pub async fn contents(
    database_url: &str,
    bucket: &BucketName,
    selection: &Selection,
    caller: &Caller,
) -> Result<Contents, Error> {
    let (prefix, keys, slice) = match selection {
        Selection::Keys(keys) => (None, Some(keys), &Slice::default()),
        Selection::Prefix(prefix, slice) => (Some(prefix.as_str()), None, slice),
    };
    let keys = keys.map_or(ParameterValue::DbNull, |keys| {
        texts(&keys.iter().map(|key| key.as_str().to_owned()).collect::<Vec<_>>())
    });
    let limit = slice.limit.unwrap_or(MAX_ARCHIVE_FILES);
    let principal = &caller.principal;
    let parameters = vec![
        text(bucket.as_str()),
        opt_text(prefix),
        keys,
        opt_text(slice.after.as_deref()),
        ParameterValue::Int32(limit),
        text(&principal.sub),
        texts(&principal.roles),
        scopes(principal),
        text(&caller.ip),
        text(&caller.request_id),
    ];
    let connection = pg::open(database_url).await?;
    let rows = pg::rows(&connection, ENTRIES, parameters).await?;
    let limit = usize::try_from(limit).unwrap_or_default();
    let more = prefix.is_some() && rows.len() > limit;
    if more && slice.limit.is_none() {
        let message = format!(
            "There are more than {MAX_ARCHIVE_FILES} files; name a narrower prefix, or take them in several archives by limit and after"
        );
        return Err(Error::new(Code::InvalidArgument, message).rule("limits.archiveFiles"));
    }
    let mut contents = Contents::default();
    for mut row in rows {
        if prefix.is_some() && contents.entries.len() == limit {
            break;
        }
        let outcome = row.text(0)?.unwrap_or_default();
        let Some(key) = row.text(2)? else {
            return Err(pg::refusal(&outcome, row.text(1)?));
        };
        if outcome != "ok" {
            contents.left_out.push(LeftOut { key, reason: outcome });
            continue;
        }
        contents.entries.push(Entry {
            name: key,
            s3_key: row.required(3)?,
            size: u64::try_from(row.integer(4)?.unwrap_or_default()).unwrap_or_default(),
            committed_at_us: row.integer(5)?.unwrap_or_default(),
        });
    }
    contents.next = contents.entries.last().filter(|_| more).map(|entry| entry.name.clone());
    Ok(contents)
}

/// The answer that is the archive. What can not be read of it in the middle breaks it off, so that no client takes it for
/// whole; what is not there at all is written into it.
///
/// # Errors
/// [`Code::ServiceUnavailable`]: this component is not given S3 keys.
pub fn reply(
    context: &Context,
    bucket: &BucketName,
    contents: Contents,
    save_as: &str,
) -> Result<Response, Error> {
    context.app.blobs()?;
    let headers = headers(context, &contents, save_as)?;
    if context.trace.is_head() {
        return Ok(reply::empty(200, &headers));
    }
    let (tx, rx) = wit_stream::new();
    // The default is an error: an archive that is cut must not look whole.
    let (end, end_rx) =
        wit_future::new(|| Err(ErrorCode::InternalError(Some("the archive stopped".to_owned()))));
    let response = reply::streamed(200, &headers, rx, end_rx);
    let (app, bucket) = (Rc::clone(&context.app), bucket.clone());
    wasip3::spawn(async move {
        match send(&app, &bucket, contents, tx).await {
            Ok(()) => {
                // A client that left does not ask for it.
                let _ = end.write(Ok(None)).await;
            }
            Err(error) => log::warn("an archive was broken off", &error),
        }
    });
    Ok(response)
}

fn headers(context: &Context, contents: &Contents, save_as: &str) -> Result<HeaderMap, Error> {
    let mut headers = context.headers();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(CONTENT_DISPOSITION, disposition::attachment(save_as));
    if let Some(next) = &contents.next {
        let next = utf8_percent_encode(next, NON_ALPHANUMERIC).to_string();
        headers.insert(ARCHIVE_NEXT, HeaderValue::try_from(next).map_err(Error::internal)?);
    }
    Ok(headers)
}

async fn send(
    app: &App,
    bucket: &BucketName,
    contents: Contents,
    mut tx: StreamWriter<u8>,
) -> Result<(), Error> {
    let Contents { entries, mut left_out, .. } = contents;
    let blobs = app.blobs()?;
    let mut archive = Archive::default();
    let mut opened = stream::iter(entries)
        .map(|entry| async {
            let body = blobs.read_from(at(bucket, &entry), 0).await;
            (entry, body)
        })
        .buffered(OPENED_AT_ONCE);
    let mut out = Vec::new();
    while let Some((entry, body)) = opened.next().await {
        let body = match body {
            Ok(body) => body,
            Err(error) if error.code == Code::NoSuchKey => {
                log::alarm("the bytes of a version are gone", &entry.s3_key);
                let reason = error.code.as_str().to_owned();
                left_out.push(LeftOut { key: entry.name, reason });
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut file = archive.file(&entry.name, entry.committed_at_us)?;
        let mut source = Source { blobs: &blobs, at: at(bucket, &entry), body, offset: 0 };
        let mut buffer = Vec::new();
        while let Some(chunk) = source.read(buffer, entry.size).await? {
            file.write(&chunk, &mut out)?;
            out = tx.write_all(out).await;
            if !out.is_empty() {
                // The client left.
                return Ok(());
            }
            buffer = chunk;
        }
        file.end()?;
    }
    if !left_out.is_empty() {
        let mut file = archive.file(LEFT_OUT, WasiClock.now().unix_timestamp() * 1_000_000)?;
        for LeftOut { key, reason } in &left_out {
            file.write(format!("{reason}\t{key}\n").as_bytes(), &mut out)?;
            out = tx.write_all(out).await;
        }
        file.end()?;
    }
    tx.write_all(archive.finish()?).await;
    Ok(())
}

fn at<'a>(bucket: &'a BucketName, entry: &'a Entry) -> Target<'a> {
    Target { bucket: bucket.as_str(), s3_key: &entry.s3_key }
}

/// The bytes of one file, asked for again where they break off.
struct Source<'a> {
    blobs: &'a S3Blobs<'a>,
    at: Target<'a>,
    body: InboundBody,
    offset: u64,
}

impl Source<'_> {
    /// The next bytes; `None` once all of `size` came.
    async fn read(&mut self, buffer: Vec<u8>, size: u64) -> Result<Option<Vec<u8>>, Error> {
        let mut buffer = buffer;
        let mut attempt = 1;
        loop {
            let error = match self.body.read_into(std::mem::take(&mut buffer)).await {
                Ok(Some(bytes)) => {
                    self.offset += bytes.len() as u64;
                    if self.offset <= size {
                        return Ok(Some(bytes));
                    }
                    return Err(Error::unavailable("The object store", "it holds more bytes"));
                }
                Ok(None) if self.offset == size => return Ok(None),
                Ok(None) => Error::unavailable("The object store", "it holds fewer bytes"),
                Err(error) => error,
            };
            if attempt == ATTEMPTS {
                return Err(error);
            }
            WasiClock.sleep(Duration::from_millis(100 << attempt)).await;
            attempt += 1;
            self.body = self.blobs.read_from(self.at, self.offset).await?;
        }
    }
}
