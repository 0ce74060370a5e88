//! The signer beside AWS's own for Rust: the same random requests, signed by both, letter by letter.
//!
//! Paths and queries are encoded by AWS's code too. The two differences are stated where they are
//! evened out: [`spaces`] and [`Operation::presigned_alike`].
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials as AwsCredentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_http::label::{EncodingStrategy, fmt_string as aws_path};
use aws_smithy_http::query::fmt_string as aws_query;
use holdfast_s3::{
    AbortMultipartUpload, Action, Checksum, ChecksumAlgorithm, CompleteMultipartUpload,
    CreateBucket, CreateMultipartUpload, Credentials, DeleteBucket, DeleteBucketCors, DeleteObject,
    Endpoint, GetBucketCors, GetObject, HeadBucket, HeadObject, ListMultipartUploads,
    ListObjectsV2, ListParts, PartNumber, PutBucketCors, PutObject, Signer, UploadPart,
};
use proptest::prelude::*;
use time::OffsetDateTime;

/// Each is signed twice, in headers and in the query.
const REQUESTS: u32 = 12_000;

type Pairs = Vec<(String, String)>;

/// One of the seventeen, with what it takes.
#[derive(Clone, Debug)]
enum Operation {
    CreateBucket,
    DeleteBucket,
    HeadBucket,
    PutBucketCors,
    GetBucketCors,
    DeleteBucketCors,
    DeleteObject {
        key: String,
    },
    HeadObject {
        key: String,
        checksum_mode: bool,
    },
    GetObject {
        key: String,
        range: Option<String>,
        kind: Option<String>,
        name: Option<String>,
    },
    ListObjectsV2 {
        prefix: String,
        token: Option<String>,
        after: Option<String>,
        most: Option<u16>,
    },
    PutObject {
        key: String,
        kind: String,
        length: Option<u64>,
        digest: Digest,
        headers: Pairs,
    },
    CreateMultipartUpload {
        key: String,
        kind: String,
    },
    UploadPart {
        key: String,
        upload: String,
        number: PartNumber,
        length: Option<u64>,
        digest: Digest,
    },
    CompleteMultipartUpload {
        key: String,
        upload: String,
    },
    AbortMultipartUpload {
        key: String,
        upload: String,
    },
    ListParts {
        key: String,
        upload: String,
        marker: Option<u16>,
        most: Option<u16>,
    },
    ListMultipartUploads {
        prefix: String,
    },
}

#[derive(Clone, Debug)]
enum Digest {
    None,
    Compute(ChecksumAlgorithm),
    Verify(ChecksumAlgorithm, String),
}

/// Who signs, where and when.
#[derive(Clone, Debug)]
struct Scene {
    origin: String,
    region: String,
    bucket: String,
    access_key_id: String,
    secret_access_key: String,
    at: i64,
    expires: u64,
}

/// The request in words that AWS's signer takes, written from the operation and not from our request.
struct Plain {
    method: &'static str,
    key: Option<String>,
    query: Pairs,
    headers: Pairs,
    has_body: bool,
}

impl Operation {
    /// AWS leaves `x-amz-checksum-mode` out of a presigned URL, so that a browser need not send it.
    /// We sign whatever an operation has.
    fn presigned_alike(&self) -> bool {
        !matches!(self, Self::HeadObject { checksum_mode: true, .. })
    }

    fn plain(&self) -> Plain {
        let plain = |method, key: Option<&String>| Plain {
            method,
            key: key.cloned(),
            query: Vec::new(),
            headers: Vec::new(),
            has_body: false,
        };
        match self {
            Self::CreateBucket => plain("PUT", None),
            Self::DeleteBucket => plain("DELETE", None),
            Self::HeadBucket => plain("HEAD", None),
            Self::PutBucketCors => Plain {
                query: vec![pair("cors", "")],
                headers: vec![pair("content-type", "application/xml")],
                has_body: true,
                ..plain("PUT", None)
            },
            Self::GetBucketCors => Plain { query: vec![pair("cors", "")], ..plain("GET", None) },
            Self::DeleteBucketCors => {
                Plain { query: vec![pair("cors", "")], ..plain("DELETE", None) }
            }
            Self::DeleteObject { key } => plain("DELETE", Some(key)),
            Self::HeadObject { key, checksum_mode } => {
                let mode = checksum_mode.then(|| pair("x-amz-checksum-mode", "ENABLED"));
                Plain { headers: mode.into_iter().collect(), ..plain("HEAD", Some(key)) }
            }
            Self::GetObject { key, range, kind, name } => Plain {
                headers: optional([("range", range)]),
                query: optional([
                    ("response-content-type", kind),
                    ("response-content-disposition", name),
                ]),
                ..plain("GET", Some(key))
            },
            Self::ListObjectsV2 { prefix, token, after, most } => {
                let mut query = vec![pair("list-type", "2"), pair("encoding-type", "url")];
                let prefix = Some(prefix.clone()).filter(|prefix| !prefix.is_empty());
                let most = most.map(|most| most.to_string());
                query.extend(optional([
                    ("prefix", &prefix),
                    ("continuation-token", token),
                    ("start-after", after),
                    ("max-keys", &most),
                ]));
                Plain { query, ..plain("GET", None) }
            }
            Self::PutObject { key, kind, length, digest, headers } => {
                let mut headers = headers.clone();
                headers.push(pair("content-type", kind));
                headers.extend(length.map(|bytes| pair("content-length", &bytes.to_string())));
                headers.extend(digest.plain());
                Plain { headers, has_body: true, ..plain("PUT", Some(key)) }
            }
            Self::CreateMultipartUpload { key, kind } => Plain {
                query: vec![pair("uploads", "")],
                headers: vec![pair("content-type", kind)],
                ..plain("POST", Some(key))
            },
            Self::UploadPart { key, upload, number, length, digest } => {
                let mut headers = Pairs::new();
                headers.extend(length.map(|bytes| pair("content-length", &bytes.to_string())));
                headers.extend(digest.plain());
                Plain {
                    query: vec![
                        pair("partNumber", &number.get().to_string()),
                        pair("uploadId", upload),
                    ],
                    headers,
                    has_body: true,
                    ..plain("PUT", Some(key))
                }
            }
            Self::CompleteMultipartUpload { key, upload } => Plain {
                query: vec![pair("uploadId", upload)],
                headers: vec![pair("content-type", "application/xml")],
                has_body: true,
                ..plain("POST", Some(key))
            },
            Self::AbortMultipartUpload { key, upload } => {
                Plain { query: vec![pair("uploadId", upload)], ..plain("DELETE", Some(key)) }
            }
            Self::ListParts { key, upload, marker, most } => {
                let [marker, most] = [marker, most].map(|it| it.map(|it| it.to_string()));
                let mut query = vec![pair("uploadId", upload)];
                query.extend(optional([("part-number-marker", &marker), ("max-parts", &most)]));
                Plain { query, ..plain("GET", Some(key)) }
            }
            Self::ListMultipartUploads { prefix } => {
                let prefix = Some(prefix.clone()).filter(|prefix| !prefix.is_empty());
                let mut query = vec![pair("uploads", "")];
                query.extend(optional([("prefix", &prefix)]));
                Plain { query, ..plain("GET", None) }
            }
        }
    }

    /// What we sign: in headers (the path and `authorization`), and as a URL.
    fn ours(&self, scene: &Scene) -> (String, String, String) {
        let bucket = scene.bucket.as_str();
        match self {
            Self::CreateBucket => scene.ours(&CreateBucket { bucket }),
            Self::DeleteBucket => scene.ours(&DeleteBucket { bucket }),
            Self::HeadBucket => scene.ours(&HeadBucket { bucket }),
            Self::PutBucketCors => scene.ours(&PutBucketCors { bucket }),
            Self::GetBucketCors => scene.ours(&GetBucketCors { bucket }),
            Self::DeleteBucketCors => scene.ours(&DeleteBucketCors { bucket }),
            Self::DeleteObject { key } => scene.ours(&DeleteObject { bucket, key }),
            Self::HeadObject { key, checksum_mode } => {
                scene.ours(&HeadObject { bucket, key, checksum_mode: *checksum_mode })
            }
            Self::GetObject { key, range, kind, name } => scene.ours(&GetObject {
                bucket,
                key,
                range: range.as_deref(),
                response_content_type: kind.as_deref(),
                response_content_disposition: name.as_deref(),
            }),
            Self::ListObjectsV2 { prefix, token, after, most } => scene.ours(&ListObjectsV2 {
                bucket,
                prefix,
                continuation_token: token.as_deref(),
                start_after: after.as_deref(),
                max_keys: *most,
            }),
            Self::PutObject { key, kind, length, digest, headers } => {
                let headers: Vec<_> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                scene.ours(&PutObject {
                    bucket,
                    key,
                    content_type: kind,
                    content_length: *length,
                    checksum: digest.ours(),
                    headers: &headers,
                })
            }
            Self::CreateMultipartUpload { key, kind } => {
                scene.ours(&CreateMultipartUpload { bucket, key, content_type: kind })
            }
            Self::UploadPart { key, upload, number, length, digest } => scene.ours(&UploadPart {
                bucket,
                key,
                upload_id: upload,
                part_number: *number,
                content_length: *length,
                checksum: digest.ours(),
            }),
            Self::CompleteMultipartUpload { key, upload } => {
                scene.ours(&CompleteMultipartUpload { bucket, key, upload_id: upload })
            }
            Self::AbortMultipartUpload { key, upload } => {
                scene.ours(&AbortMultipartUpload { bucket, key, upload_id: upload })
            }
            Self::ListParts { key, upload, marker, most } => scene.ours(&ListParts {
                bucket,
                key,
                upload_id: upload,
                part_number_marker: *marker,
                max_parts: *most,
            }),
            Self::ListMultipartUploads { prefix } => {
                scene.ours(&ListMultipartUploads { bucket, prefix })
            }
        }
    }
}

impl Digest {
    /// Its header.
    fn plain(&self) -> Option<(String, String)> {
        match self {
            Self::None => None,
            Self::Compute(algorithm) => {
                Some(pair("x-amz-sdk-checksum-algorithm", algorithm.name()))
            }
            Self::Verify(algorithm, value) => Some(pair(algorithm.header(), value)),
        }
    }

    fn ours(&self) -> Option<Checksum<'_>> {
        match self {
            Self::None => None,
            Self::Compute(algorithm) => Some(Checksum::Compute(*algorithm)),
            Self::Verify(algorithm, value) => {
                Some(Checksum::Verify { algorithm: *algorithm, value_base64: value })
            }
        }
    }
}

impl Scene {
    fn ours(&self, action: &impl Action) -> (String, String, String) {
        let at = OffsetDateTime::from_unix_timestamp(self.at).unwrap();
        let endpoint = Endpoint::parse(&self.origin, &self.region).unwrap();
        let credentials = Credentials::new(&self.access_key_id, &self.secret_access_key);
        let expires = Duration::from_secs(self.expires);

        let mut signed = action.sign(&endpoint, &credentials, at);
        // A signer of another day has to derive a key of this one.
        let other_day = at - Duration::from_secs(86_400);
        let signer = Signer::new(endpoint.clone(), credentials.clone(), other_day);
        assert_eq!(signer.sign(action, at), signed);

        let (name, authorization) = signed.headers.remove(0);
        assert_eq!(name, "authorization");
        let url = action.presign(&endpoint, &credentials, at, expires).unwrap();
        (signed.path_and_query, authorization, url)
    }

    /// The same by AWS: `authorization`, and the parameters that make a URL a presigned one.
    fn aws(&self, plain: &Plain, location: SignatureLocation) -> (Option<String>, Pairs) {
        let mut settings = SigningSettings::default();
        // What S3 wants, unlike every other service: the path is signed as it is sent.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.signature_location = location;
        let in_query = location == SignatureLocation::QueryParams;
        settings.expires_in = in_query.then(|| Duration::from_secs(self.expires));
        let (id, secret) = (&self.access_key_id, &self.secret_access_key);
        let identity = AwsCredentials::new(id, secret, None, None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(self.at.unsigned_abs()))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let body = match in_query || plain.has_body {
            true => SignableBody::UnsignedPayload,
            false => SignableBody::Bytes(b""),
        };
        let headers: Pairs =
            plain.headers.iter().map(|(name, value)| (name.clone(), spaces(value))).collect();
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let url = format!("{}{}", self.origin, self.path_and_query(plain));
        let request = SignableRequest::new(plain.method, url, headers, body).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let authorization = instructions
            .headers()
            .find(|(name, _)| *name == "authorization")
            .map(|(_, value)| value.to_owned());
        let params = instructions.params().iter().map(|(name, value)| pair(name, value)).collect();
        (authorization, params)
    }

    /// As AWS's SDK sends it, but that a query is sorted.
    fn path_and_query(&self, plain: &Plain) -> String {
        let bucket = aws_path(&self.bucket, EncodingStrategy::Default);
        let key = plain.key.as_ref().map(|key| aws_path(key, EncodingStrategy::Greedy));
        let path = key.map_or(format!("/{bucket}"), |key| format!("/{bucket}/{key}"));
        match encoded(&plain.query) {
            query if query.is_empty() => path,
            query => format!("{path}?{query}"),
        }
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn optional<const N: usize>(pairs: [(&str, &Option<String>); N]) -> Pairs {
    pairs.into_iter().filter_map(|(name, value)| Some(pair(name, value.as_ref()?))).collect()
}

fn encoded(query: &Pairs) -> String {
    let mut pairs: Vec<_> = query.iter().map(|(n, v)| (aws_query(n), aws_query(v))).collect();
    pairs.sort();
    pairs.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("&")
}

/// Makes a space of every other character that is one: AWS folds and trims U+0020 alone, SeaweedFS all of
/// them, and with SeaweedFS we have to agree.
fn spaces(value: &str) -> String {
    value.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect()
}

/// Text of any script with what is special in a path or a query.
fn texts() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        " ",
        "+",
        "%",
        "%2F",
        "%zz",
        "/",
        "//",
        "?",
        "#",
        "&",
        "=",
        ";",
        ":",
        "@",
        "!",
        "$",
        "'",
        "(",
        ")",
        "*",
        ",",
        "[",
        "]",
        "\\",
        "\"",
        "<",
        ">",
        "^",
        "`",
        "{",
        "|",
        "}",
        "~",
        "-",
        "_",
        ".",
        "..",
        "/./",
        "\0",
        "\n",
        "\u{7f}",
        "é",
        "e\u{301}",
        "ß",
        "日本",
        "עב",
        "😀",
        "\u{feff}",
        "\u{10ffff}",
    ]);
    let part = prop_oneof![special.prop_map(str::to_owned), any::<String>(), "[ -~]{1,12}"];
    prop::collection::vec(part, 1..6).prop_map(|parts| parts.concat())
}

fn keys() -> impl Strategy<Value = String> {
    texts().prop_filter("an empty key is nobody's", |key| !key.is_empty())
}

/// A header's value, with white space where it does not belong.
fn values() -> impl Strategy<Value = String> {
    "[ \t]{0,3}[!-~é日\u{a0}\u{3000}]{0,9}[ \t\u{2003}]{0,4}[!-~]{0,9}[ \t]{0,3}"
}

/// Metadata and conditions, each name once whatever its case.
fn headers() -> impl Strategy<Value = Pairs> {
    let metadata = ("[xX]-[aA]mz-[mM]eta-[a-zA-Z0-9_.!~-]{1,12}", values());
    let one = prop_oneof![
        4 => metadata,
        1 => (Just("If-None-Match".to_owned()), Just("*".to_owned())),
        1 => (Just("if-match".to_owned()), values()),
        1 => (Just("Cache-Control".to_owned()), values()),
        1 => (Just("content-MD5".to_owned()), "[A-Za-z0-9+/]{22}=="),
    ];
    prop::collection::vec(one, 0..8).prop_map(|mut pairs| {
        let mut seen = std::collections::BTreeSet::new();
        pairs.retain(|(name, _)| seen.insert(name.to_ascii_lowercase()));
        pairs
    })
}

fn digests() -> impl Strategy<Value = Digest> {
    use ChecksumAlgorithm::{Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
    let algorithms = || prop::sample::select(vec![Crc32, Crc32c, Crc64Nvme, Sha1, Sha256]);
    prop_oneof![
        Just(Digest::None),
        algorithms().prop_map(Digest::Compute),
        (algorithms(), "[A-Za-z0-9+/]{1,43}=")
            .prop_map(|(algorithm, value)| Digest::Verify(algorithm, value)),
    ]
}

fn operations() -> impl Strategy<Value = Operation> {
    let maybe = || prop::option::of(texts());
    prop_oneof![
        1 => Just(Operation::CreateBucket),
        1 => Just(Operation::DeleteBucket),
        1 => Just(Operation::HeadBucket),
        1 => Just(Operation::PutBucketCors),
        1 => Just(Operation::GetBucketCors),
        1 => Just(Operation::DeleteBucketCors),
        2 => keys().prop_map(|key| Operation::DeleteObject { key }),
        2 => (keys(), any::<bool>())
            .prop_map(|(key, checksum_mode)| Operation::HeadObject { key, checksum_mode }),
        4 => (keys(), prop::option::of(values()), maybe(), maybe())
            .prop_map(|(key, range, kind, name)| Operation::GetObject { key, range, kind, name }),
        4 => (prop_oneof![Just(String::new()), texts()], maybe(), maybe(), any::<Option<u16>>())
            .prop_map(|(prefix, token, after, most)| Operation::ListObjectsV2 { prefix, token, after, most }),
        6 => (keys(), values(), any::<Option<u64>>(), digests(), headers())
            .prop_map(|(key, kind, length, digest, headers)| Operation::PutObject { key, kind, length, digest, headers }),
        2 => (keys(), values())
            .prop_map(|(key, kind)| Operation::CreateMultipartUpload { key, kind }),
        6 => (keys(), keys(), part_numbers(), any::<Option<u64>>(), digests())
            .prop_map(|(key, upload, number, length, digest)| Operation::UploadPart { key, upload, number, length, digest }),
        2 => (keys(), keys())
            .prop_map(|(key, upload)| Operation::CompleteMultipartUpload { key, upload }),
        2 => (keys(), keys())
            .prop_map(|(key, upload)| Operation::AbortMultipartUpload { key, upload }),
        3 => (keys(), keys(), any::<Option<u16>>(), any::<Option<u16>>())
            .prop_map(|(key, upload, marker, most)| Operation::ListParts { key, upload, marker, most }),
        2 => prop_oneof![Just(String::new()), texts()]
            .prop_map(|prefix| Operation::ListMultipartUploads { prefix }),
    ]
}

fn part_numbers() -> impl Strategy<Value = PartNumber> {
    (1..=10_000_u16).prop_map(|number| PartNumber::new(number).unwrap())
}

fn scenes() -> impl Strategy<Value = Scene> {
    let origins = prop_oneof![
        Just("http://127.0.0.1:8333"),
        // Ports of a scheme's own are not in `host`.
        Just("http://s3.test:80"),
        Just("https://s3.test:443"),
        Just("https://s3.test:80"),
        Just("http://seaweed-s3:1"),
        Just("http://[::1]:8333"),
        Just("https://s3.eu-central-1.amazonaws.com"),
    ];
    (
        origins,
        "[a-z0-9-]{1,20}",
        prop_oneof!["[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", texts()],
        "[A-Za-z0-9_.=-]{1,40}",
        "\\PC{1,80}",
        // Seconds from 1970 up to 2100.
        0_i64..4_102_444_800,
        1_u64..=604_800,
    )
        .prop_map(|(origin, region, bucket, access_key_id, secret_access_key, at, expires)| {
            Scene {
                origin: origin.to_owned(),
                region,
                bucket,
                access_key_id,
                secret_access_key,
                at,
                expires,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(REQUESTS))]

    #[test]
    fn signs_as_aws_does(operation in operations(), scene in scenes()) {
        let plain = operation.plain();
        let (path_and_query, authorization, url) = operation.ours(&scene);
        prop_assert_eq!(&path_and_query, &scene.path_and_query(&plain));

        let (expected, _) = scene.aws(&plain, SignatureLocation::Headers);
        // Both forms are AWS's: its documentation has no space behind these commas, its code has one.
        let expected = expected.unwrap().replace(", SignedHeaders=", ",SignedHeaders=");
        prop_assert_eq!(authorization, expected.replace(", Signature=", ",Signature="));

        if operation.presigned_alike() {
            let (_, mut query) = scene.aws(&plain, SignatureLocation::QueryParams);
            let at = query.iter().position(|(name, _)| name == "X-Amz-Signature").unwrap();
            let (_, signature) = query.remove(at);
            query.extend(plain.query.clone());
            let (_, found) = url.split_once('?').unwrap();
            prop_assert_eq!(found, format!("{}&X-Amz-Signature={signature}", encoded(&query)));
        }
    }
}
