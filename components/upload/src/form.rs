//! `POST /v1/upload/{bucket}`: every file of a `multipart/form-data` becomes an object, as it comes in.
//!
//! Fields before a file are its `key` and its headers, by their names: `Cache-Control`, `x-amz-meta-*`, ...

use holdfast_core::error::{Code, Error};
use holdfast_core::limits::FORM_PARTS_ABOVE_BYTES;
use holdfast_core::names::{BucketName, ObjectKey};
use holdfast_core::sniff::OCTET_STREAM;
use holdfast_core::upload::{Upload, Uploaded};
use holdfast_platform::app::Context;
use holdfast_platform::body::UploadBody;
use holdfast_platform::form::Form;
use holdfast_platform::inbound::Inbound;
use holdfast_platform::{log, reply, stored};
use holdfast_web::form_data::{Boundary, Part};
use holdfast_web::idempotency::IdempotencyKey;
use holdfast_web::{digests, metadata, problem, upload_request};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use wasip3::http::types::Response;

use crate::store;

/// Longest value of a field, in bytes.
const MAX_FIELD_BYTES: usize = 4 * 1_024;

/// The field that names the object.
const KEY: &str = "key";

/// Stands for the file's own name in a key, as in S3's forms.
const FILENAME: &str = "${filename}";

/// Fields that are headers of their file, besides `x-amz-meta-*` and `x-amz-checksum-*`.
const HEADERS: [&str; 9] = [
    "content-type",
    "cache-control",
    "content-disposition",
    "content-language",
    "content-md5",
    "content-digest",
    "want-repr-digest",
    "if-match",
    "if-none-match",
];

const CHECKSUM_PREFIX: &str = "x-amz-checksum-";

/// 201 if every file was stored, 207 with the status of each if some were not. Of one file alone the refusal
/// is the answer.
pub(crate) async fn post(
    context: &Context,
    bucket: &BucketName,
    inbound: Inbound,
) -> Result<Response, Error> {
    let boundary = Boundary::from_content_type(&inbound.headers)?;
    if !digests::from_headers(&inbound.headers)?.is_empty() {
        let message = "A digest of a form is none of its files; send it as a field before the file";
        return Err(Error::new(Code::InvalidArgument, message));
    }
    let key = IdempotencyKey::from_headers(&inbound.headers)?;
    let length = inbound.content_length()?;
    let form = Form::new(inbound.body, &boundary);
    let mut done = Done::default();
    let ended = files(context, bucket, &form, key.as_ref(), length, &mut done).await;
    done.answer(context, ended)
}

/// Stores file after file; what breaks the form itself ends it.
async fn files(
    context: &Context,
    bucket: &BucketName,
    form: &Form,
    idempotency_key: Option<&IdempotencyKey>,
    length: Option<u64>,
    done: &mut Done,
) -> Result<(), Error> {
    let mut fields = Fields::default();
    while let Some(part) = form.next_part().await? {
        let Some(filename) = part.filename.as_deref() else {
            fields.take(&part.name, form).await?;
            continue;
        };
        // A form's file input without a file.
        if filename.is_empty() {
            continue;
        }
        let stored = async {
            let mut upload =
                std::mem::take(&mut fields).upload(context, bucket, &part, filename)?;
            // A file is no longer than what is left of its form.
            let left = length.map(|length| length.saturating_sub(form.taken()));
            upload.may_be_long = left.is_none_or(|left| left > FORM_PARTS_ABOVE_BYTES);
            // No client's own key has a space in it.
            upload.idempotency_key =
                idempotency_key.map(|key| format!("{} {}", key.as_str(), done.files.len()));
            let uploaded = store(context, &upload, UploadBody::File(form.file())).await?;
            let (bucket, key) = (upload.bucket.as_str(), upload.key.as_str());
            let Uploaded { commit, committed, .. } = &uploaded;
            let mut body = stored::body(context, bucket, key, commit, committed);
            body["status"] = stored::status(committed).into();
            Ok(body)
        };
        let stored = stored.await;
        let gone = stored.as_ref().err().is_some_and(ends_the_form);
        done.add(context, &part, filename, stored);
        if gone {
            break;
        }
    }
    Ok(())
}

/// Whether nothing more can be read behind this.
fn ends_the_form(error: &Error) -> bool {
    matches!(error.code, Code::IncompleteBody | Code::MalformedForm | Code::RequestTimeout)
}

/// The fields in front of a file.
#[derive(Default)]
struct Fields {
    key: Option<String>,
    headers: HeaderMap,
}

impl Fields {
    /// Reads a field; one that means nothing here is skipped.
    async fn take(&mut self, name: &str, form: &Form) -> Result<(), Error> {
        let name = name.to_ascii_lowercase();
        let is_header = HEADERS.contains(&name.as_str())
            || name.starts_with(metadata::PREFIX)
            || name.starts_with(CHECKSUM_PREFIX);
        if name != KEY && !is_header {
            return Ok(());
        }
        let value = form.field(MAX_FIELD_BYTES).await?;
        if name == KEY {
            self.key = Some(value);
            return Ok(());
        }
        let wrong = || {
            let message =
                format!("The field {name} is no value of a header; leave it out or mend it");
            Error::new(Code::InvalidArgument, message)
        };
        let header = HeaderName::try_from(&name).map_err(|_| wrong())?;
        self.headers
            .append(header, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?);
        Ok(())
    }

    fn upload(
        mut self,
        context: &Context,
        bucket: &BucketName,
        part: &Part,
        filename: &str,
    ) -> Result<Upload, Error> {
        // Some browsers send a path. Of a name that they do not know they say octet-stream.
        let name = filename.rsplit(['/', '\\']).next().unwrap_or(filename);
        let key = self.key.as_deref().unwrap_or(FILENAME).replace(FILENAME, name);
        if !self.headers.contains_key(CONTENT_TYPE)
            && let Some(declared) = part.content_type.as_deref().filter(|it| *it != OCTET_STREAM)
        {
            let declared = HeaderValue::try_from(declared).map_err(Error::internal)?;
            self.headers.insert(CONTENT_TYPE, declared);
        }
        upload_request::upload(
            &context.caller,
            bucket.clone(),
            ObjectKey::parse(&key)?,
            &self.headers,
        )
    }
}

/// The files so far.
#[derive(Default)]
struct Done {
    files: Vec<Value>,
    /// The last refusal.
    refused: Option<Error>,
}

impl Done {
    fn add(
        &mut self,
        context: &Context,
        part: &Part,
        filename: &str,
        stored: Result<Value, Error>,
    ) {
        let mut file = stored.unwrap_or_else(|error| {
            log::error(&context.caller.request_id, &error);
            let file = problem::part(&error);
            self.refused = Some(error);
            file
        });
        file["field"] = part.name.as_str().into();
        file["filename"] = filename.into();
        self.files.push(file);
    }

    fn answer(self, context: &Context, ended: Result<(), Error>) -> Result<Response, Error> {
        let (refused, error) = match (self.refused, ended) {
            (Some(error), _) if self.files.len() == 1 => return Err(error),
            (None, Err(error)) if self.files.is_empty() => return Err(error),
            (refused, ended) => (refused.is_some(), ended.err()),
        };
        if self.files.is_empty() {
            let message = "The form has no file; send one in a field with a filename";
            return Err(Error::new(Code::MalformedForm, message));
        }
        let mut body = json!({ "files": self.files });
        if let Some(error) = &error {
            log::error(&context.caller.request_id, error);
            body["error"] = problem::part(error);
        }
        let status = if refused || error.is_some() { 207 } else { 201 };
        Ok(reply::json(status, context.headers(), &body))
    }
}
