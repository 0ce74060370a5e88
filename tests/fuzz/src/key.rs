//! Names in paths and queries.

use holdfast_core::error::Code;
use holdfast_core::limits::MAX_KEY_BYTES;
use holdfast_core::names::{BucketName, ObjectKey};
use holdfast_web::path::{Query, Target, encode, split_query};

const PREFIX: &str = "/v1/upload/";

/// The input is a key, and then a raw path and query as well.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    check_key(text);
    check_bucket(text);
    check_path(text);
}

/// A key that is taken keeps to its rule, and comes back from the path that we write.
fn check_key(text: &str) {
    let is_allowed = !text.is_empty()
        && text.len() <= MAX_KEY_BYTES
        && !text.chars().any(char::is_control)
        && text.split('/').all(|segment| !matches!(segment, "." | ".."));
    let key = match ObjectKey::parse(text) {
        Ok(key) => key,
        Err(error) => {
            assert!(!is_allowed, "{text:?}: {error}");
            assert!(matches!(error.code, Code::KeyTooLongError | Code::InvalidArgument));
            return;
        }
    };
    assert!(is_allowed, "{text:?}");
    assert_eq!(key.as_str(), text);
    let path = encode(PREFIX, "documents", key.as_str());
    assert!(path.bytes().all(|b| b.is_ascii_graphic()), "{path}");
    assert_eq!(split_query(&path), (&path[..], None));
    let target = Target::parse(&path, PREFIX).expect("our own path");
    assert_eq!((&target.bucket[..], &target.key[..]), ("documents", text));
}

fn check_bucket(text: &str) {
    if let Ok(name) = BucketName::parse(text) {
        assert_eq!(name.as_str(), text);
        assert!((3..=63).contains(&text.len()));
        assert_eq!(encode("/", text, "k"), format!("/{text}/k"), "a bucket needs no encoding");
    }
}

/// What a raw path decodes to, decodes to itself when it is written again.
fn check_path(text: &str) {
    let raw = format!("{PREFIX}{text}");
    let (path, query) = split_query(&raw);
    if let Ok(target) = Target::parse(path, PREFIX) {
        let again = Target::parse(&target.to_path(PREFIX), PREFIX).expect("our own path");
        // A slash in the bucket was sent as %2F, and is refused with the bucket's name.
        assert!(again == target || target.bucket.contains('/'));
        assert!(!target.bucket.contains('/') || BucketName::parse(&target.bucket).is_err());
    }
    if let Ok(query) = Query::parse(query) {
        let _ = query.get("version");
    }
}
