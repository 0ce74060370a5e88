//! A server's side of Signature Version 4, written apart from the crate's: it rebuilds the canonical
//! request from what went over the wire, decoding first as SeaweedFS does.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use holdfast_s3::{
    AbortMultipartUpload, Action, Checksum, ChecksumAlgorithm, CompleteMultipartUpload,
    CreateMultipartUpload, Credentials, DeleteObject, Endpoint, GetObject, HeadObject,
    ListMultipartUploads, ListObjectsV2, ListParts, PartNumber, PutObject, SignedRequest,
    UploadPart,
};
use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

type Pairs = Vec<(String, String)>;

fn endpoint() -> Endpoint {
    Endpoint::parse("http://s3.test:8333", "eu-central-1").unwrap()
}

fn credentials() -> Credentials {
    Credentials::new("AKIDEXAMPLE", SECRET)
}

fn encode(text: &str, keep: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric()
            || "-._~".contains(byte as char)
            || keep.contains(byte as char)
        {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn signature(
    method: &str,
    path: &str,
    query: &Pairs,
    headers: &Pairs,
    payload: &str,
    date: &str,
) -> String {
    let mut query: Vec<_> =
        query.iter().map(|(n, v)| format!("{}={}", encode(n, ""), encode(v, ""))).collect();
    query.sort();
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let lines: String = headers
        .iter()
        .map(|(name, value)| {
            format!("{name}:{}\n", value.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect();
    let canonical = format!(
        "{method}\n{}\n{}\n{lines}\n{}\n{payload}",
        encode(path, "/"),
        query.join("&"),
        names.join(";")
    );
    let scope = format!("{}/eu-central-1/s3/aws4_request", &date[..8]);
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in [&date[..8], "eu-central-1", "s3", "aws4_request"] {
        key = hmac(&key, part);
    }
    hex(&hmac(&key, &to_sign))
}

fn split(path_and_query: &str) -> (String, Pairs) {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let pairs = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    (decode(path), pairs)
}

fn value<'a>(pairs: &'a Pairs, name: &str) -> &'a str {
    pairs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

/// Whether a server would let the request in.
fn accepts(request: &SignedRequest) -> bool {
    let (path, query) = split(&request.path_and_query);
    let authorization = value(&request.headers, "authorization");
    let (_, names) = authorization.split_once("SignedHeaders=").unwrap();
    let (names, expected) = names.split_once(",Signature=").unwrap();
    let mut all = request.headers.clone();
    all.push(("host".to_owned(), endpoint().authority().to_owned()));
    let signed: Pairs =
        names.split(';').map(|name| (name.to_owned(), value(&all, name).to_owned())).collect();
    let found = signature(
        request.method,
        &path,
        &query,
        &signed,
        value(&all, "x-amz-content-sha256"),
        value(&all, "x-amz-date"),
    );
    // `authorization` itself is the one header that is not signed.
    signed.len() == all.len() - 1 && found == expected
}

fn accepts_url(method: &str, url: &str, headers: &Pairs) -> bool {
    let rest = url.strip_prefix(&endpoint().to_string()).unwrap();
    let (path, mut query) = split(rest);
    let (_, expected) = query.pop().filter(|(name, _)| name == "X-Amz-Signature").unwrap();
    let mut all = headers.clone();
    all.push(("host".to_owned(), endpoint().authority().to_owned()));
    all.sort();
    let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    let date = value(&query, "X-Amz-Date");
    value(&query, "X-Amz-SignedHeaders") == names.join(";")
        && signature(method, &path, &query, &all, "UNSIGNED-PAYLOAD", date) == expected
}

fn own_headers(action: &impl Action) -> Pairs {
    action.request().headers().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

/// Any moment that a clock will show.
fn moments() -> impl Strategy<Value = OffsetDateTime> {
    (0_i64..4_102_444_800).prop_map(|at| OffsetDateTime::from_unix_timestamp(at).unwrap())
}

fn keys() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("an empty key is nobody's", |key| !key.is_empty())
}

fn check(action: &impl Action, at: OffsetDateTime) -> Result<(), TestCaseError> {
    let signed = action.sign(&endpoint(), &credentials(), at);
    prop_assert!(accepts(&signed), "{signed:?}");
    prop_assert_eq!(&signed, &action.sign(&endpoint(), &credentials(), at));
    let later = action.sign(&endpoint(), &credentials(), at + Duration::from_secs(1));
    prop_assert_ne!(
        value(&signed.headers, "authorization"),
        value(&later.headers, "authorization")
    );

    let url = action.presign(&endpoint(), &credentials(), at, Duration::from_secs(60)).unwrap();
    prop_assert!(accepts_url(signed.method, &url, &own_headers(action)), "{url}");
    Ok(())
}

proptest! {
    #[test]
    fn any_key_is_accepted_and_comes_back(key in keys(), at in moments()) {
        let key = key.as_str();
        check(&GetObject { bucket: "b", key, range: Some("bytes=0-9"), ..GetObject::default() }, at)?;
        check(&HeadObject { bucket: "b", key, checksum_mode: true }, at)?;
        let action = DeleteObject { bucket: "b", key };
        check(&action, at)?;

        let signed = action.sign(&endpoint(), &credentials(), at);
        prop_assert_eq!(split(&signed.path_and_query), (format!("/b/{key}"), Vec::new()));
    }

    #[test]
    fn any_header_value_is_accepted(
        media_type in "[ -~]{0,40}",
        name in "[ -~é\u{3000}]{0,40}",
        content_length in any::<Option<u64>>(),
        at in moments(),
    ) {
        check(
            &PutObject {
                bucket: "b",
                key: "k",
                content_type: &media_type,
                content_length,
                checksum: Some(Checksum::Compute(ChecksumAlgorithm::Crc64Nvme)),
                headers: &[("X-Amz-Meta-Name", &name), ("if-none-match", "*")],
            },
            at,
        )?;
    }

    #[test]
    fn any_upload_in_parts_is_accepted(
        key in keys(),
        upload_id in any::<String>(),
        number in 1_u16..=10_000,
        content_length in any::<Option<u64>>(),
        marker in any::<Option<u16>>(),
        at in moments(),
    ) {
        let (bucket, key, upload_id) = ("b", key.as_str(), upload_id.as_str());
        let part_number = PartNumber::new(number).unwrap();
        let checksum = Some(Checksum::Compute(ChecksumAlgorithm::Crc64Nvme));
        check(&CreateMultipartUpload { bucket, key, content_type: "text/plain" }, at)?;
        check(&UploadPart { bucket, key, upload_id, part_number, content_length, checksum }, at)?;
        let list = ListParts { bucket, key, upload_id, part_number_marker: marker, max_parts: marker };
        check(&list, at)?;
        check(&CompleteMultipartUpload { bucket, key, upload_id }, at)?;
        check(&AbortMultipartUpload { bucket, key, upload_id }, at)?;
        check(&ListMultipartUploads { bucket, prefix: key }, at)?;
    }

    #[test]
    fn any_listing_is_accepted(prefix in any::<String>(), token in any::<Option<String>>(), after in any::<Option<String>>(), at in moments()) {
        check(
            &ListObjectsV2 {
                bucket: "b",
                prefix: &prefix,
                continuation_token: token.as_deref(),
                start_after: after.as_deref(),
                max_keys: Some(1_000),
            },
            at,
        )?;
    }
}

#[test]
fn nothing_signed_can_be_altered() {
    let action = PutObject {
        bucket: "b",
        key: "k",
        content_type: "text/plain",
        content_length: Some(5),
        headers: &[("if-none-match", "*")],
        ..PutObject::default()
    };
    let signed = action.sign(&endpoint(), &credentials(), OffsetDateTime::UNIX_EPOCH);
    assert!(accepts(&signed));
    for (n, (name, _)) in signed.headers.iter().enumerate() {
        let mut altered = signed.clone();
        altered.headers[n].1.push('0');
        assert!(!accepts(&altered), "{name}");
    }
    assert!(!accepts(&SignedRequest { method: "GET", ..signed.clone() }));
    assert!(!accepts(&SignedRequest { path_and_query: "/b/k2".into(), ..signed.clone() }));
    assert!(!accepts(&SignedRequest { path_and_query: "/b/k?acl=".into(), ..signed }));
}

#[test]
fn a_presigned_url_holds_for_what_it_was_made() {
    let action =
        PutObject { bucket: "b", key: "k", content_type: "text/plain", ..PutObject::default() };
    let headers = own_headers(&action);
    let url = action
        .presign(&endpoint(), &credentials(), OffsetDateTime::UNIX_EPOCH, Duration::from_secs(60))
        .unwrap();
    assert!(accepts_url("PUT", &url, &headers));
    assert!(!accepts_url("GET", &url, &headers));
    assert!(!accepts_url("PUT", &url, &Vec::new()));
    assert!(!accepts_url("PUT", &url, &vec![("content-type".into(), "text/html".into())]));
    for (from, to) in [
        ("/b/k?", "/b/l?"),
        ("Expires=60", "Expires=61"),
        ("eu-central-1", "us-east-1"),
        ("19700101T", "19700102T"),
    ] {
        assert!(url.contains(from));
        assert!(!accepts_url("PUT", &url.replace(from, to), &headers), "{to}");
    }
}
