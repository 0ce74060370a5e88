//! Signature Version 4, written a second time from its specification.
//!
//! Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use holdfast_s3::{
    Action, Credentials, DeleteObject, Endpoint, GetObject, ListObjectsV2, PutObject, SignedRequest,
};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

const ACCESS_KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const REGION: &str = "eu-central-1";
const HOST: &str = "s3.test:8333";

/// The lines are a moment (its first eight bytes), a content type, metadata, a continuation token, and a
/// key, which has all the rest.
pub fn check(data: &[u8]) {
    let [at, content_type, metadata, token, key] = crate::lines(data);
    let texts = [content_type, metadata, token, key].map(std::str::from_utf8);
    let [Ok(content_type), Ok(metadata), Ok(token), Ok(key)] = texts else { return };
    let is_value = |text: &str| !text.chars().any(char::is_control);
    if key.is_empty() || !is_value(content_type) || !is_value(metadata) {
        return;
    }
    let at = moment(at);
    let bucket = "b-1";
    let headers = [("X-Amz-Meta-Name", metadata), ("if-none-match", "*")];
    let put = PutObject {
        bucket,
        key,
        content_type,
        content_length: Some(key.len() as u64),
        headers: &headers,
        ..PutObject::default()
    };
    let own = [("if-none-match", "*"), ("x-amz-meta-name", metadata)];
    let length = key.len().to_string();
    let own = [&own[..], &[("content-type", content_type), ("content-length", &length)]].concat();
    let path = format!("/{bucket}/{key}");
    check_action(&put, at, "PUT", &path, &[], &own);
    check_action(&DeleteObject { bucket, key }, at, "DELETE", &path, &[], &[]);
    let get = GetObject { bucket, key, range: Some("bytes=0-9"), ..GetObject::default() };
    check_action(&get, at, "GET", &path, &[], &[("range", "bytes=0-9")]);
    let list = ListObjectsV2 {
        bucket,
        prefix: key,
        continuation_token: Some(token),
        start_after: None,
        max_keys: Some(7),
    };
    let query = [
        ("list-type", "2"),
        ("encoding-type", "url"),
        ("prefix", key),
        ("continuation-token", token),
        ("max-keys", "7"),
    ];
    check_action(&list, at, "GET", "/b-1", &query, &[]);
}

fn moment(data: &[u8]) -> OffsetDateTime {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(data).for_each(|(byte, from)| *byte = *from);
    // Up to the year 2100.
    let seconds = u64::from_le_bytes(bytes) % 4_102_444_800;
    OffsetDateTime::from_unix_timestamp(seconds as i64).expect("in range")
}

fn check_action(
    action: &impl Action,
    at: OffsetDateTime,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
    own: &[(&str, &str)],
) {
    let endpoint = Endpoint::parse(&format!("http://{HOST}"), REGION).expect("an endpoint");
    let credentials = Credentials::new(ACCESS_KEY_ID, SECRET);
    let signed = action.sign(&endpoint, &credentials, at);
    check_signed(&signed, at, method, path, query, own);
    let url = action.presign(&endpoint, &credentials, at, Duration::from_secs(60)).expect("a URL");
    check_url(&url, at, method, path, query, own);
}

/// Everything that is sent is as the specification has it, letter by letter.
fn check_signed(
    signed: &SignedRequest,
    at: OffsetDateTime,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
    own: &[(&str, &str)],
) {
    let date = date(at);
    let payload = if method == "PUT" { "UNSIGNED-PAYLOAD" } else { &hash(b"") };
    let mut headers: BTreeMap<&str, &str> = own.iter().copied().collect();
    headers.insert("x-amz-content-sha256", payload);
    headers.insert("x-amz-date", &date);
    headers.insert("host", HOST);
    let (names, signature) = sign(method, path, query, &headers, payload, &date);
    let scope = scope(&date);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/{scope},SignedHeaders={names},Signature={signature}"
    );
    headers.remove("host");
    headers.insert("authorization", &authorization);
    let sent: BTreeMap<_, _> =
        signed.headers.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    assert_eq!(sent, headers);
    assert_eq!(signed.headers.len(), headers.len());
    let query = canonical_query(query);
    let question = if query.is_empty() { "" } else { "?" };
    assert_eq!(signed.path_and_query, format!("{}{question}{query}", encode(path, true)));
    assert_eq!(signed.method, method);
}

fn check_url(
    url: &str,
    at: OffsetDateTime,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
    own: &[(&str, &str)],
) {
    let date = date(at);
    let credential = format!("{ACCESS_KEY_ID}/{}", scope(&date));
    let mut headers: BTreeMap<&str, &str> = own.iter().copied().collect();
    headers.insert("host", HOST);
    let names = headers.keys().copied().collect::<Vec<_>>().join(";");
    let query = [
        query,
        &[
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &date),
            ("X-Amz-Expires", "60"),
            ("X-Amz-SignedHeaders", &names),
        ],
    ]
    .concat();
    let (_, signature) = sign(method, path, &query, &headers, "UNSIGNED-PAYLOAD", &date);
    let (path, query) = (encode(path, true), canonical_query(&query));
    assert_eq!(url, format!("http://{HOST}{path}?{query}&X-Amz-Signature={signature}"));
}

/// The names of the signed headers, and the signature.
fn sign(
    method: &str,
    path: &str,
    query: &[(&str, &str)],
    headers: &BTreeMap<&str, &str>,
    payload: &str,
    date: &str,
) -> (String, String) {
    let names = headers.keys().copied().collect::<Vec<_>>().join(";");
    let mut request = format!("{method}\n{}\n{}\n", encode(path, true), canonical_query(query));
    for (name, value) in headers {
        let _ = writeln!(request, "{name}:{}", one_space(value));
    }
    let _ = write!(request, "\n{names}\n{payload}");
    let to_sign =
        format!("AWS4-HMAC-SHA256\n{date}\n{}\n{}", scope(date), hash(request.as_bytes()));
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for step in [&date[..8], REGION, "s3", "aws4_request", &to_sign] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
        mac.update(step.as_bytes());
        key = mac.finalize().into_bytes().to_vec();
    }
    (names, hex(&key))
}

/// One space between words; every space of Unicode is one, as SeaweedFS (in Go) has it.
fn one_space(value: &str) -> String {
    let mut out = String::new();
    for c in value.trim().chars() {
        match (c.is_whitespace(), out.ends_with(' ')) {
            (true, true) => {}
            (true, false) => out.push(' '),
            (false, _) => out.push(c),
        }
    }
    out
}

/// Sorted by the encoded name, then by the encoded value.
fn canonical_query(query: &[(&str, &str)]) -> String {
    let mut pairs: Vec<_> =
        query.iter().map(|(name, value)| [encode(name, false), encode(value, false)]).collect();
    pairs.sort();
    pairs.iter().map(|pair| pair.join("=")).collect::<Vec<_>>().join("&")
}

fn encode(text: &str, keeps_slashes: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into());
            }
            b'/' if keeps_slashes => out.push('/'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

fn date(at: OffsetDateTime) -> String {
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

fn scope(date: &str) -> String {
    format!("{}/{REGION}/s3/aws4_request", &date[..8])
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
