use holdfast_core::error::Code;
use proptest::prelude::*;

use super::*;

/// Digests of `hello`.
const MD5: &str = "XUFAKrxLKna5cZ2REBfFkg==";
const SHA256: &str = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
const SHA512: &str =
    "m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==";
const CRC32C: &str = "mnG7TA==";
const CRC64NVME: &str = "M3eFcAZSQlc=";

fn read(pairs: &[(&str, &str)]) -> Result<Digests, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            HeaderName::try_from(*name).expect("a name"),
            HeaderValue::from_bytes(value.as_bytes()).expect("a value"),
        );
    }
    from_headers(&headers)
}

fn array<const N: usize>(base64: &str) -> Option<[u8; N]> {
    STANDARD.decode(base64).expect("base64").try_into().ok()
}

fn member(name: &str, base64: &str) -> String {
    format!("{name}=:{base64}:")
}

#[test]
fn every_header_is_read() {
    let digests = format!("{}, {}", member("sha-256", SHA256), member("sha-512", SHA512));
    let declared = read(&[
        ("Content-MD5", MD5),
        ("Content-Digest", &digests),
        ("x-amz-checksum-crc32c", CRC32C),
        ("x-amz-checksum-crc64nvme", CRC64NVME),
    ]);
    let wanted = Digests {
        md5: array(MD5),
        sha256: array(SHA256),
        sha512: array(SHA512),
        crc32c: array(CRC32C),
        crc64nvme: array(CRC64NVME),
    };
    assert!(wanted.md5.is_some() && wanted.sha512.is_some() && wanted.crc64nvme.is_some());
    assert_eq!(declared.expect("valid"), wanted);
    for (name, value) in
        [("repr-digest", member("sha-256", SHA256)), ("x-amz-checksum-sha256", SHA256.to_owned())]
    {
        let declared = read(&[(name, &value)]).expect(name);
        assert_eq!(declared, Digests { sha256: array(SHA256), ..Digests::default() }, "{name}");
    }
}

#[test]
fn what_is_no_digest_of_the_body_is_ignored() {
    for pair in [
        (
            "x-amz-content-sha256",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("content-digest", ""),
        ("content-digest", "md5=:AA==:, unixsum=:AA==:;x=1, future=(1 \"a\"), flag"),
        ("want-repr-digest", "sha-256=9"),
    ] {
        assert!(read(&[pair]).expect(pair.1).is_empty(), "{pair:?}");
    }
    assert!(read(&[]).expect("nothing").is_empty());
}

#[test]
fn the_same_digest_twice_is_one() {
    let value = member("sha-256", SHA256);
    let with_parameter = format!("{value};x=y, {value}");
    let declared = read(&[
        ("content-digest", &value),
        ("content-digest", &with_parameter),
        ("repr-digest", &value),
        ("x-amz-checksum-sha256", SHA256),
    ]);
    assert_eq!(declared.expect("the same").sha256, array(SHA256));
}

#[test]
fn refusals() {
    let sha256 = member("sha-256", SHA256);
    let other = member("sha-256", &STANDARD.encode([7; 32]));
    for pairs in [
        &[("content-md5", "")][..],
        &[("content-md5", "XUFAKrxLKna5cZ2REBfFkg")],
        &[("content-md5", "5d41402abc4b2a76b9719d911017c592")],
        &[("content-md5", MD5), ("content-md5", MD5)],
        &[("content-md5", "\u{e9}")],
        &[("x-amz-checksum-crc32c", CRC64NVME)],
        &[("x-amz-checksum-crc64nvme", CRC32C)],
        &[("x-amz-checksum-sha256", MD5)],
        &[("x-amz-checksum-sha256", &format!("{SHA256}-3"))],
        &[("content-digest", SHA256)],
        &[("content-digest", "sha-256")],
        &[("content-digest", "sha-256=\"a\"")],
        &[("content-digest", "sha-256=(:AA==:)")],
        &[("content-digest", "sha-256=:AA==:")],
        &[("content-digest", "sha-256=::")],
        &[("content-digest", "sha-512=:AA==:")],
        &[("content-digest", &format!("{sha256},"))],
        &[("content-digest", &format!("{sha256} {sha256}"))],
        &[("content-digest", "SHA-256=1")],
        &[("content-digest", "\u{e9}=1")],
        &[("repr-digest", "future=:!:")],
        &[("content-digest", &format!("{sha256}, {other}"))],
        &[("content-digest", &sha256), ("content-digest", &other)],
        &[("content-digest", &sha256), ("repr-digest", &other)],
        &[("x-amz-checksum-sha256", SHA256), ("repr-digest", &other)],
    ] {
        let error = read(pairs).expect_err(&format!("{pairs:?}"));
        assert_eq!(error.code, Code::InvalidDigest, "{pairs:?}");
        assert!(error.message.contains(pairs[pairs.len() - 1].0), "{}", error.message);
    }
}

#[test]
fn rendering() {
    let (sha256, sha512) = (array(SHA256), array(SHA512));
    let value = repr_digest(sha256.as_ref(), sha512.as_ref()).expect("two");
    assert_eq!(value, format!("sha-256=:{SHA256}:, sha-512=:{SHA512}:").as_str());
    assert_eq!(repr_digest(sha256.as_ref(), None).expect("one"), &member("sha-256", SHA256));
    assert_eq!(repr_digest(None, None), None);
}

proptest! {
    #[test]
    fn what_is_written_is_read(sha256: Option<[u8; 32]>, halves: Option<[[u8; 32]; 2]>) {
        let sha512 = halves.map(|halves| <[u8; 64]>::try_from(halves.concat()).expect("64 bytes"));
        let value = repr_digest(sha256.as_ref(), sha512.as_ref());
        let headers: HeaderMap = value.into_iter().map(|value| (REPR_DIGEST, value)).collect();
        let declared = from_headers(&headers).expect("valid");
        prop_assert_eq!(declared, Digests { sha256, sha512, ..Digests::default() });
    }

    #[test]
    fn parsing_never_panics(bytes: Vec<u8>, text in "[sha\\-0-9=:;,() A-Za-z+/\"\\\\?@.*%]{0,60}") {
        for value in [&bytes[..], text.as_bytes()] {
            let Ok(value) = HeaderValue::from_bytes(value) else { continue };
            for name in [CONTENT_MD5, CONTENT_DIGEST, REPR_DIGEST, CHECKSUM_CRC32C] {
                let _ = from_headers(&HeaderMap::from_iter([(name, value.clone())]));
            }
        }
    }
}

#[test]
fn a_wish_for_sha_256() {
    let wants = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("want-repr-digest", HeaderValue::from_static(value));
        wants_sha256(&headers)
    };
    assert!(wants("sha-256=10") && wants("sha-512=3, sha-256=1"));
    for no in ["sha-256=0", "sha-512=3", "sha-256", "sha-256=x:", "", "=", "sha-256=(1)"] {
        assert!(!wants(no), "{no}");
    }
    assert!(!wants_sha256(&HeaderMap::new()));
}
