//! Signed URLs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use holdfast_core::limits::MAX_PRESIGN_SECONDS;
use holdfast_web::path::Query;
use holdfast_web::signed_url::{Class, SignedUrl};
use sha2::Sha256;

use crate::lines;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: i64 = 1_800_000_000;

/// Lines: the bucket, the key, the id, the version, the name, the client, and a query.
pub fn check(data: &[u8]) {
    let pieces: [&[u8]; 7] = lines(data);
    let text = pieces.map(|piece| std::str::from_utf8(piece).unwrap_or_default());
    let [bucket, key, id, version, download, ip, raw] = text;
    let some = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
    let (version, ip) = (some(version), some(ip));
    let seconds = 1 + i64::from(data.len() as u32) % MAX_PRESIGN_SECONDS;
    let made = SignedUrl {
        class: Class::Get,
        bucket,
        key,
        expires: NOW + seconds,
        id,
        version: version.as_deref(),
        download: Some(download),
        ip: ip.as_deref(),
        cacheable: data.len() % 2 == 0,
    };
    whole(&made, data.len());
    foreign(raw, bucket, key);
}

/// What is made is read and good, and its signature is that of a second writing; one changed byte ends it.
fn whole(made: &SignedUrl<'_>, at: usize) {
    let client = made.ip.unwrap_or_default();
    let raw = made.to_query(SECRET);
    assert!(raw.is_ascii() && !raw.contains(['#', ' ', '?', '/']), "{raw}");
    let query = Query::parse(Some(&raw)).expect("ours");
    let (read, signature) =
        SignedUrl::of_get(&query, made.bucket, made.key).expect("ours").expect("signed");
    assert_eq!(&read, made);
    assert_eq!(signature, by_hand(made), "of {raw}");
    assert!(read.verify(signature, SECRET, NOW, client).is_ok());
    assert!(read.verify(signature, SECRET, made.expires, client).is_err());
    assert!(read.verify(signature, &SECRET[1..], NOW, client).is_err());

    let mut changed = raw.clone().into_bytes();
    let at = at % changed.len();
    changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
    let Ok(changed) = String::from_utf8(changed) else { return };
    let Ok(query) = Query::parse(Some(&changed)) else { return };
    if let Ok(Some((read, signature))) = SignedUrl::of_get(&query, made.bucket, made.key) {
        // `%1A` for `%2A` is another value; a `&` less may leave all that is signed as it was.
        let same = &read == made && signature == by_hand(made);
        assert_eq!(read.verify(signature, SECRET, NOW, client).is_ok(), same, "{changed}");
    }
}

/// A query that somebody made up is good only if its signature is.
fn foreign(raw: &str, bucket: &str, key: &str) {
    let Ok(query) = Query::parse(Some(raw)) else { return };
    if let Ok(Some((url, signature))) = SignedUrl::of_get(&query, bucket, key) {
        let good = url.verify(signature, SECRET, NOW, url.ip.unwrap_or_default()).is_ok();
        assert!(!good || signature == by_hand(&url), "{raw}");
    }
    if let Ok((url, signature)) = SignedUrl::of_complete(&query, key) {
        let good = url.verify(signature, SECRET, NOW, "").is_ok();
        assert!(!good || signature == by_hand(&url), "{raw}");
    }
}

/// The signature, written down a second time.
fn by_hand(url: &SignedUrl<'_>) -> String {
    let mut text = b"hf1".to_vec();
    let mut add = |field: Option<&str>| {
        let line = field.map_or("-".to_owned(), |it| format!("{}:{it}", it.len()));
        text.push(b'\n');
        text.extend(line.bytes());
    };
    add(Some(if url.class == Class::Get { "GET" } else { "COMPLETE" }));
    add(Some(url.bucket));
    add(Some(url.key));
    add(Some(&url.expires.to_string()));
    add(Some(url.id));
    add(url.version);
    add(url.download);
    add(url.ip);
    add(url.cacheable.then_some("1"));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("a key");
    mac.update(&text);
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}
