//! Declared digests, and the idempotency key, which has the same grammar.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holdfast_core::digest::Digests;
use holdfast_core::error::Code;
use holdfast_web::digests::{from_headers, repr_digest};
use holdfast_web::idempotency::{IdempotencyKey, MAX_IDEMPOTENCY_KEY_BYTES};
use http::{HeaderMap, HeaderName, HeaderValue};

const NAMES: [HeaderName; 6] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("x-amz-checksum-crc32c"),
    HeaderName::from_static("x-amz-checksum-crc64nvme"),
    HeaderName::from_static("x-amz-checksum-sha256"),
];

/// A line is a header: its first byte chooses the name.
pub fn check(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|&b| b == b'\n').take(8) {
        let Some((name, value)) = line.split_first() else { continue };
        let name = &NAMES[usize::from(*name) % NAMES.len()];
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        check_key(&value);
        headers.append(name, value);
    }
    match from_headers(&headers) {
        Ok(declared) => check_declared(&declared, &headers),
        Err(error) => assert_eq!(error.code, Code::InvalidDigest),
    }
}

fn check_declared(declared: &Digests, headers: &HeaderMap) {
    let Digests { md5, sha256, sha512, crc32c, crc64nvme } = declared;
    // S3's headers have one spelling of a digest.
    is_sent(headers, &NAMES[0], md5.as_ref().map(|it| &it[..]));
    is_sent(headers, &NAMES[3], crc32c.as_ref().map(|it| &it[..]));
    is_sent(headers, &NAMES[4], crc64nvme.as_ref().map(|it| &it[..]));
    if headers.contains_key(&NAMES[5]) {
        is_sent(headers, &NAMES[5], sha256.as_ref().map(|it| &it[..]));
    }
    // What we write, we read, also beside what was sent.
    let rendered = repr_digest(sha256.as_ref(), sha512.as_ref());
    assert_eq!(rendered.is_some(), sha256.is_some() || sha512.is_some());
    let alone = HeaderMap::from_iter(rendered.clone().map(|value| (NAMES[2].clone(), value)));
    let read = from_headers(&alone).expect("our own header");
    assert_eq!((read.sha256, read.sha512, read.md5), (*sha256, *sha512, None));
    let mut both = headers.clone();
    both.extend(rendered.map(|value| (Some(NAMES[2].clone()), value)));
    assert_eq!(&from_headers(&both).expect("the same twice"), declared);
    assert_eq!(declared.is_empty(), *declared == Digests::default());
}

fn is_sent(headers: &HeaderMap, name: &HeaderName, digest: Option<&[u8]>) {
    let sent = headers.get(name).map(|value| value.as_bytes().trim_ascii().to_vec());
    assert_eq!(sent, digest.map(|digest| STANDARD.encode(digest).into_bytes()), "{name}");
}

/// A key that is taken keeps to its rule, and is the same in quotes.
fn check_key(value: &HeaderValue) {
    let Ok(text) = value.to_str() else { return };
    let Ok(key) = IdempotencyKey::parse(text) else { return };
    assert!((1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.as_str().len()));
    assert!(key.as_str().bytes().all(|b| b.is_ascii_graphic()));
    let quoted = key.as_str().replace('\\', "\\\\").replace('"', "\\\"");
    assert_eq!(IdempotencyKey::parse(&format!("\"{quoted}\"")).expect("in quotes"), key);
}
