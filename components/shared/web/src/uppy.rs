//! The paths, queries and bodies of `/v1/uppy/s3`: Companion's routes for S3, and the signer of `@uppy/aws-s3` 6.

pub mod check;

use std::collections::BTreeMap;

use holdfast_core::error::{Code, Error};
use holdfast_core::limits::{MAX_SESSION_SECONDS, SESSION_SECONDS, SIGNED_PART_SECONDS};
use holdfast_core::names::{BucketName, ObjectKey, VersionId};
use holdfast_core::parts::Plan;
use holdfast_core::ports::ContentHeaders;
use holdfast_core::session::{NamedPart, NewUpload, Protocol};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::json::object;
use crate::multipart::{named_parts, part_number};
use crate::path::{Query, Target};
use crate::{content_type, metadata};

/// What the paths begin with; Companion's client adds `/s3` to its endpoint.
pub const ROUTE: &str = "/v1/uppy/s3";

/// Behind it come a bucket and a key, as in S3's own URLs.
pub const OBJECTS: &str = "/v1/uppy/s3/objects/";

/// Longest body that describes a file or a request, in bytes.
pub const MAX_BODY_BYTES: usize = 16 * 1_024;

/// What a form of ours replaces in a key.
const FILENAME: &str = "${filename}";

/// Metadata of Uppy's own and of ours, which are none of the file.
const NO_METADATA: [&str; 7] =
    ["bucket", "key", "name", "type", "filename", "filetype", "relativePath"];

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/v1/uppy/s3/params`
    Params,
    /// `/v1/uppy/s3/multipart`
    Uploads,
    /// `/v1/uppy/s3/multipart/{id}`
    Upload(VersionId),
    /// `/v1/uppy/s3/multipart/{id}/{number}`
    Part(VersionId, u16),
    /// `/v1/uppy/s3/multipart/{id}/complete`
    Complete(VersionId),
    /// `/v1/uppy/s3/sign`
    Sign,
    /// `/v1/uppy/s3/check`
    Check,
    /// `/v1/uppy/s3/objects/{bucket}/{key...}`
    Object(BucketName, ObjectKey),
}

impl Resource {
    /// Reads a raw path.
    ///
    /// # Errors
    /// * [`Code::NoSuchRoute`]: none of these.
    /// * [`Code::NoSuchUpload`]: the id is none.
    /// * [`Code::InvalidArgument`] and those of names.
    pub fn parse(path: &str) -> Result<Self, Error> {
        if path.starts_with(OBJECTS) {
            let Target { bucket, key } = Target::parse(path, OBJECTS)?;
            return Ok(Self::Object(BucketName::parse(&bucket)?, ObjectKey::parse(&key)?));
        }
        let missing = || Error::new(Code::NoSuchRoute, "There is no such route");
        let rest = path.strip_prefix(ROUTE).ok_or_else(missing)?;
        let names: Vec<_> = rest.split('/').collect();
        Ok(match names.as_slice() {
            ["", "params"] => Self::Params,
            ["", "sign"] => Self::Sign,
            ["", "check"] => Self::Check,
            ["", "multipart"] => Self::Uploads,
            ["", "multipart", id] => Self::Upload(upload_id(id)?),
            ["", "multipart", id, "complete"] => Self::Complete(upload_id(id)?),
            ["", "multipart", id, number] => Self::Part(upload_id(id)?, part_number(number)?),
            _ => return Err(missing()),
        })
    }
}

fn upload_id(text: &str) -> Result<VersionId, Error> {
    VersionId::parse(text).map_err(|_| Error::new(Code::NoSuchUpload, "There is no such upload"))
}

/// What an upload token reaches: which names stand for others there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Within<'a> {
    /// The bucket where none is named.
    pub bucket: Option<&'a str>,
    /// What all keys begin with; it is put in front of one that does not.
    pub prefix: &'a str,
}

impl Within<'_> {
    fn bucket(&self, named: Option<&str>) -> Result<BucketName, Error> {
        let bucket = named.filter(|it| !it.is_empty()).or(self.bucket);
        BucketName::parse(bucket.ok_or_else(|| {
            invalid("Name the bucket: set the file's metadata `bucket`, or use an upload token")
        })?)
    }

    fn key(&self, name: &str) -> Result<ObjectKey, Error> {
        // A prefix alone is no name.
        if name.is_empty() || name.starts_with(self.prefix) {
            return ObjectKey::parse(name);
        }
        ObjectKey::parse(&format!("{}{name}", self.prefix))
    }
}

/// A file that shall be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Into which bucket.
    pub bucket: BucketName,
    /// Under which key.
    pub key: ObjectKey,
    /// Its type, as the browser says.
    pub content_type: Option<String>,
    /// Its metadata, names without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
}

impl NewFile {
    /// Reads the query of `GET params`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] and what names, types and metadata refuse.
    pub fn from_query(query: &Query, within: Within<'_>) -> Result<Self, Error> {
        let named = query
            .pairs()
            .filter_map(|(name, value)| {
                let name = name.strip_prefix("metadata[")?.strip_suffix(']')?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect();
        let name = query.get("filename")?.unwrap_or_default();
        let file = Self::of(name, query.get("type")?, named, within)?;
        if file.key.as_str().contains(FILENAME) {
            return Err(invalid(format!("A key of a form does not have {FILENAME} in it")));
        }
        Ok(file)
    }

    /// Reads the body of `POST multipart`.
    ///
    /// # Errors
    /// As [`NewFile::from_query`].
    pub fn from_body(body: &[u8], within: Within<'_>) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Body {
            filename: String,
            #[serde(rename = "type")]
            kind: Option<String>,
            metadata: Option<Map<String, Value>>,
        }
        let Body { filename, kind, metadata } = object(body)?;
        Self::of(&filename, kind.as_deref(), texts(metadata), within)
    }

    /// As the headers of an S3 request say it.
    ///
    /// # Errors
    /// What types and metadata refuse.
    pub fn from_headers(
        bucket: BucketName,
        key: ObjectKey,
        headers: &HeaderMap,
    ) -> Result<Self, Error> {
        Ok(Self {
            bucket,
            key,
            content_type: content_type::from_headers(headers)?.map(str::to_owned),
            metadata: metadata::from_headers(headers)?,
        })
    }

    fn of(
        name: &str,
        kind: Option<&str>,
        named: BTreeMap<String, String>,
        within: Within<'_>,
    ) -> Result<Self, Error> {
        let of_ours = |name: &str| named.get(name).map(String::as_str).filter(|it| !it.is_empty());
        let bucket = within.bucket(of_ours("bucket"))?;
        let key = within.key(of_ours("key").unwrap_or(name))?;
        Self::from_headers(bucket, key, &as_headers(kind, &named)?)
    }

    /// The fields of a form that stores it; the file comes behind them.
    #[must_use]
    pub fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("key".to_owned(), self.key.as_str().into());
        if let Some(kind) = &self.content_type {
            fields.insert("Content-Type".to_owned(), kind.as_str().into());
        }
        fields.extend(self.headers());
        fields
    }

    /// The headers of its metadata.
    #[must_use]
    pub fn headers(&self) -> Map<String, Value> {
        let header = |(name, value): (&String, &String)| {
            (format!("{}{name}", metadata::PREFIX), Value::from(value.as_str()))
        };
        self.metadata.iter().map(header).collect()
    }

    /// The upload in parts that it begins. Uppy does not tell the size.
    ///
    /// # Errors
    /// None that are the client's.
    pub fn upload(self) -> Result<NewUpload, Error> {
        Ok(NewUpload {
            bucket: self.bucket,
            key: self.key,
            plan: Plan::new(None, None)?,
            content_type: self.content_type,
            user_metadata: self.metadata,
            if_match: None,
            if_none_match: None,
            headers: ContentHeaders::default(),
            seconds: SESSION_SECONDS,
            protocol: Protocol::Parts,
            described: None,
            idempotency: None,
        })
    }
}

/// Read as the headers of a PUT, so that both take the same.
fn as_headers(kind: Option<&str>, named: &BTreeMap<String, String>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    let value = |name: &str, value: &str| {
        HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| invalid(format!("{name} is no value of a header")))
    };
    if let Some(kind) = kind.filter(|kind| !kind.is_empty()) {
        headers.insert(CONTENT_TYPE, value("type", kind)?);
    }
    for (name, text) in named.iter().filter(|(name, _)| !NO_METADATA.contains(&name.as_str())) {
        let header = HeaderName::try_from(format!("{}{name}", metadata::PREFIX)).map_err(|_| {
            invalid(format!("The metadata has a name that is none of a header: {name:?}"))
        })?;
        headers.append(header, value(name, text)?);
    }
    Ok(headers)
}

/// Metadata of any JSON as texts; what is null is not there.
fn texts(metadata: Option<Map<String, Value>>) -> BTreeMap<String, String> {
    let text = |(name, value): (String, Value)| match value {
        Value::Null => None,
        Value::String(text) => Some((name, text)),
        other => Some((name, other.to_string())),
    };
    metadata.into_iter().flatten().filter_map(text).collect()
}

/// Reads the body of `POST multipart/{id}/complete`.
///
/// # Errors
/// [`Code::InvalidArgument`].
pub fn complete(body: &[u8]) -> Result<Vec<NamedPart>, Error> {
    #[derive(Deserialize)]
    struct Body {
        parts: Vec<Part>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Part {
        part_number: u16,
        #[serde(rename = "ETag")]
        etag: String,
    }
    let Body { parts } = object(body)?;
    named_parts(parts.into_iter().map(|part| (part.part_number, part.etag)).collect())
}

/// What an S3 request with `?uploadId=` is about; `None` begins an upload.
///
/// # Errors
/// [`Code::NoSuchUpload`]: the id is none.
pub fn of_upload(query: &Query) -> Result<Option<VersionId>, Error> {
    query.get("uploadId")?.map(upload_id).transpose()
}

/// An operation of S3 that shall be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signing {
    /// PUT of a whole file.
    PutObject(NewFile),
    /// POST.
    CreateMultipartUpload(NewFile),
    /// PUT of a part.
    UploadPart(VersionId, u16),
    /// GET, POST or DELETE of what was begun.
    OfUpload(VersionId),
}

/// What the signer is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignRequest {
    /// Which operation.
    pub signing: Signing,
    /// The key, with what the token puts in front of it.
    pub key: ObjectKey,
    /// How long the URL lives, in seconds.
    pub seconds: i32,
}

impl SignRequest {
    /// Reads the body of `POST sign`: what Uppy gives to `signRequest`, and `bucket` or `metadata`, where the page
    /// adds them.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: it is none of the operations that Uppy has. As [`NewFile::from_query`].
    pub fn parse(body: &[u8], within: Within<'_>) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            method: String,
            key: String,
            upload_id: Option<String>,
            part_number: Option<u16>,
            content_type: Option<String>,
            bucket: Option<String>,
            metadata: Option<Map<String, Value>>,
            expires_in: Option<i32>,
        }
        let body: Body = object(body)?;
        let seconds = body.expires_in.unwrap_or(SIGNED_PART_SECONDS);
        if !(1..=MAX_SESSION_SECONDS).contains(&seconds) {
            return Err(invalid(format!(
                "expiresIn is a number of seconds from 1 to {MAX_SESSION_SECONDS}"
            )));
        }
        let mut named = texts(body.metadata);
        if let Some(bucket) = body.bucket {
            named.insert("bucket".to_owned(), bucket);
        }
        // Here the key has a member of its own.
        named.remove("key");
        let kind = body.content_type.as_deref();
        let file = || NewFile::of(&body.key, kind, named, within);
        let id = body.upload_id.as_deref().map(upload_id).transpose()?;
        let signing = match (body.method.as_str(), id, body.part_number) {
            ("PUT", None, None) => Signing::PutObject(file()?),
            ("POST", None, None) => Signing::CreateMultipartUpload(file()?),
            ("PUT", Some(id), Some(number)) => {
                Signing::UploadPart(id, part_number(&number.to_string())?)
            }
            ("GET" | "POST" | "DELETE", Some(id), None) => Signing::OfUpload(id),
            _ => {
                let message = "Signed are PutObject, CreateMultipartUpload, UploadPart, ListParts, \
                    CompleteMultipartUpload and AbortMultipartUpload, and nothing else";
                return Err(invalid(message));
            }
        };
        Ok(Self { signing, key: within.key(&body.key)?, seconds })
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ID: &str = "019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42";
    const ANYWHERE: Within<'_> = Within { bucket: None, prefix: "" };
    const INBOX: Within<'_> = Within { bucket: Some("documents"), prefix: "inbox/" };

    fn id() -> VersionId {
        VersionId::parse(ID).expect("an id")
    }

    fn query(text: &str, within: Within<'_>) -> Result<NewFile, Error> {
        NewFile::from_query(&Query::parse(Some(text)).expect("a query"), within)
    }

    #[test]
    fn paths() {
        let object = (BucketName::parse("documents"), ObjectKey::parse("a/b c"));
        let object = Resource::Object(object.0.expect("a bucket"), object.1.expect("a key"));
        for (path, resource) in [
            ("/params", Resource::Params),
            ("/sign", Resource::Sign),
            ("/check", Resource::Check),
            ("/multipart", Resource::Uploads),
            ("/multipart/ID", Resource::Upload(id())),
            ("/multipart/ID/complete", Resource::Complete(id())),
            ("/multipart/ID/10000", Resource::Part(id(), 10_000)),
            ("/objects/documents/a/b%20c", object),
        ] {
            let path = format!("{ROUTE}{}", path.replace("ID", ID));
            assert_eq!(Resource::parse(&path).expect(&path), resource);
        }
        for (path, code) in [
            ("", Code::NoSuchRoute),
            ("/", Code::NoSuchRoute),
            ("/params/", Code::NoSuchRoute),
            ("/multipart/ID/1/2", Code::NoSuchRoute),
            ("/multipart/x", Code::NoSuchUpload),
            ("/multipart/", Code::NoSuchUpload),
            ("/multipart/x/1", Code::NoSuchUpload),
            ("/multipart/ID/", Code::InvalidArgument),
            ("/multipart/ID/0", Code::InvalidArgument),
            ("/multipart/ID/10001", Code::InvalidArgument),
            ("/multipart/ID/+1", Code::InvalidArgument),
            ("/objects/B/k", Code::InvalidBucketName),
            ("/objects/documents/", Code::InvalidArgument),
            ("/objects/documents/a/../b", Code::InvalidArgument),
        ] {
            let path = format!("{ROUTE}{}", path.replace("ID", ID));
            assert_eq!(Resource::parse(&path).expect_err(&path).code, code, "{path}");
        }
    }

    #[test]
    fn a_file_as_companion_is_asked_for_it() {
        let file = query(
            "filename=a+b.txt&type=text%2Fplain&metadata%5Bbucket%5D=documents&metadata[name]=x\
             &metadata[relativePath]=null&metadata[Project]=reef",
            ANYWHERE,
        )
        .expect("a file");
        assert_eq!((file.bucket.as_str(), file.key.as_str()), ("documents", "a b.txt"));
        let fields =
            json!({"key": "a b.txt", "Content-Type": "text/plain", "x-amz-meta-project": "reef"});
        assert_eq!(Value::from(file.fields()), fields);

        let body = json!({"filename": "a", "type": "", "metadata": {
            "bucket": "documents", "key": "k", "year": 2026, "on": true, "relativePath": null, "none": null}});
        let file = NewFile::from_body(body.to_string().as_bytes(), ANYWHERE).expect("a file");
        assert_eq!((file.key.as_str(), file.content_type.as_deref()), ("k", None));
        let wanted = json!({"x-amz-meta-year": "2026", "x-amz-meta-on": "true"});
        assert_eq!(Value::from(file.headers()), wanted);
    }

    #[test]
    fn a_token_says_the_bucket_and_what_keys_begin_with() {
        for (name, key) in [("a", "inbox/a"), ("inbox/a", "inbox/a"), ("inbox", "inbox/inbox")] {
            let file = query(&format!("filename={name}"), INBOX).expect("a file");
            assert_eq!((file.bucket.as_str(), file.key.as_str()), ("documents", key));
        }
        // What it does not reach is refused by `begin`, which asks the token itself.
        let file =
            query("filename=a&metadata[bucket]=avatars&metadata[key]=b", INBOX).expect("a file");
        assert_eq!((file.bucket.as_str(), file.key.as_str()), ("avatars", "inbox/b"));
    }

    #[test]
    fn files_that_are_none() {
        for (text, within) in [
            ("filename=a", ANYWHERE),
            ("filename=a&metadata[bucket]=", ANYWHERE),
            ("filename=a&metadata[bucket]=B", ANYWHERE),
            ("", INBOX),
            ("filename=..%2Fa", INBOX),
            ("filename=a&filename=b", INBOX),
            ("filename=${filename}", INBOX),
            ("filename=a&type=nonsense", INBOX),
            ("filename=a&metadata[a b]=x", INBOX),
            ("filename=a&metadata[]=x", INBOX),
            ("filename=a&metadata[x]=%0A", INBOX),
        ] {
            assert!(query(text, within).is_err(), "{text}");
        }
        for body in ["", "[]", "{}", r#"{"filename": 1}"#, r#"{"filename": "a", "metadata": []}"#] {
            assert!(NewFile::from_body(body.as_bytes(), INBOX).is_err(), "{body}");
        }
    }

    #[test]
    fn the_requests_that_uppy_has_signed() {
        let sign = |body: Value| SignRequest::parse(body.to_string().as_bytes(), INBOX);
        let of = |body: Value| {
            let request = sign(body.clone()).unwrap_or_else(|error| panic!("{body}: {error:?}"));
            assert!(request.key.as_str() == "inbox/k" && request.seconds > 0);
            request.signing
        };
        let put = of(json!({"method": "PUT", "key": "k", "contentType": "text/plain"}));
        assert!(
            matches!(put, Signing::PutObject(file) if file.content_type.as_deref() == Some("text/plain"))
        );
        let create =
            of(json!({"method": "POST", "key": "inbox/k", "metadata": {"key": "other", "a": 1}}));
        assert!(
            matches!(create, Signing::CreateMultipartUpload(file) if file.metadata["a"] == "1")
        );
        let part =
            json!({"method": "PUT", "key": "k", "uploadId": ID, "partNumber": 7, "expiresIn": 60});
        assert_eq!(of(part), Signing::UploadPart(id(), 7));
        for method in ["GET", "POST", "DELETE"] {
            let body = json!({"method": method, "key": "k", "uploadId": ID});
            assert_eq!(of(body), Signing::OfUpload(id()));
        }
        for bad in [
            json!({"method": "DELETE", "key": "k"}),
            json!({"method": "GET", "key": "k"}),
            json!({"method": "PUT", "key": "k", "uploadId": ID}),
            json!({"method": "PUT", "key": "k", "partNumber": 1}),
            json!({"method": "POST", "key": "k", "uploadId": ID, "partNumber": 1}),
            json!({"method": "PUT", "key": "k", "uploadId": ID, "partNumber": 0}),
            json!({"method": "PUT", "key": "k", "uploadId": ID, "partNumber": 10_001}),
            json!({"method": "PUT", "key": "k", "expiresIn": 604_801}),
            json!({"method": "PUT"}),
            json!([]),
        ] {
            assert_eq!(sign(bad.clone()).expect_err("bad").code, Code::InvalidArgument, "{bad}");
        }
    }

    #[test]
    fn parts_as_companion_names_them() {
        let named = complete(br#"{"parts": [{"PartNumber": 1, "ETag": "\"aa\"", "Size": 5}]}"#);
        assert_eq!(named.expect("one"), [NamedPart { number: 1, etag: "aa".to_owned() }]);
        for bad in [
            json!({"parts": []}),
            json!({"parts": [{"PartNumber": 0, "ETag": "a"}]}),
            json!({"parts": [{"PartNumber": 1, "ETag": ""}]}),
            json!({"parts": [{"number": 1, "etag": "a"}]}),
            json!({}),
        ] {
            assert!(complete(bad.to_string().as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(
            bytes: Vec<u8>,
            path in ".*",
            text in "\\{\"(parts|key|filename)\": .*\\}",
            search in "(filename|type|metadata\\[.{0,9}\\])=.{0,20}(&metadata\\[bucket\\]=abc)?",
        ) {
            for body in [&bytes[..], text.as_bytes()] {
                let _ = NewFile::from_body(body, INBOX);
                let _ = SignRequest::parse(body, INBOX);
                let _ = complete(body);
            }
            let _ = Resource::parse(&format!("{ROUTE}{path}"));
            let _ = Resource::parse(&format!("{OBJECTS}{path}"));
            if let Ok(query) = Query::parse(Some(&search)) {
                let _ = NewFile::from_query(&query, ANYWHERE);
                let _ = of_upload(&query);
            }
        }

        /// What is answered is what a token of that prefix takes, whatever the name.
        #[test]
        fn a_key_begins_with_the_prefix_of_its_token(name in "[^/]{1,40}") {
            let body = json!({"method": "PUT", "key": name}).to_string();
            if let Ok(request) = SignRequest::parse(body.as_bytes(), INBOX) {
                prop_assert_eq!(request.key.as_str(), format!("inbox/{name}"));
            }
        }
    }
}
