//! URLs of ours that need no token: what they allow is in them, signed with HMAC-SHA256.
//!
//! The canonical text has a line for each field, with its length, so that no field can go on where another one
//! ends; `-` is one that is not there. It begins with its version, [`SCHEME`].

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use holdfast_core::error::{Code, Error};
use holdfast_core::limits::MAX_PRESIGN_SECONDS;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

use crate::path::Query;

/// The first line of what is signed.
const SCHEME: &str = "hf1";

/// Characters of a signature: 32 bytes in base64url.
const SIGNATURE_CHARACTERS: usize = 43;

/// How far our clocks may differ when a URL that was just made is looked at, in seconds.
const SKEW_SECONDS: i64 = 900;

/// All but the unreserved characters.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parameter that makes a URL a signed one.
pub const SIGNATURE: &str = "signature";

/// What a URL is for. Each class of methods is signed for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// GET and HEAD of an object.
    Get,
    /// The POST that ends a presigned PUT.
    Complete,
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedUrl<'a> {
    /// Which methods.
    pub class: Class,
    /// Of [`Class::Get`] the bucket.
    pub bucket: &'a str,
    /// Of [`Class::Get`] the object's key, decoded.
    pub key: &'a str,
    /// When it ends, in seconds of Unix time.
    pub expires: i64,
    /// The grant's id, a UUID in its one spelling.
    pub id: &'a str,
    /// This version and no other.
    pub version: Option<&'a str>,
    /// The name to save it under; empty for the object's own.
    pub download: Option<&'a str>,
    /// The one client that may use it.
    pub ip: Option<&'a str>,
    /// Whether caches may keep the answer until the end.
    pub cacheable: bool,
}

impl<'a> SignedUrl<'a> {
    /// What a query says of a GET, before its signature is looked at; `None` if it has none.
    ///
    /// # Errors
    /// [`Code::AccessDenied`]: a parameter is missing or malformed. [`Code::InvalidArgument`]: one is there twice.
    pub fn of_get(
        query: &'a Query,
        bucket: &'a str,
        key: &'a str,
    ) -> Result<Option<(Self, &'a str)>, Error> {
        let Some(signature) = query.get(SIGNATURE)? else { return Ok(None) };
        let cacheable = match query.get("cacheable")? {
            None => false,
            Some("1") => true,
            Some(_) => return Err(forged()),
        };
        let url = Self {
            class: Class::Get,
            bucket,
            key,
            expires: expires(query)?,
            id: query.get("id")?.ok_or_else(forged)?,
            version: query.get("version")?,
            download: query.get("download")?,
            ip: query.get("ip")?,
            cacheable,
        };
        Ok(Some((url, signature)))
    }

    /// What a query says of the end of a presigned PUT.
    ///
    /// # Errors
    /// [`Code::AccessDenied`]: a parameter is missing or malformed. [`Code::InvalidArgument`]: one is there twice.
    pub fn of_complete(query: &'a Query, id: &'a str) -> Result<(Self, &'a str), Error> {
        let signature = query.get(SIGNATURE)?.ok_or_else(forged)?;
        Ok((Self::complete(id, expires(query)?), signature))
    }

    /// The end of a presigned PUT.
    #[must_use]
    pub fn complete(id: &'a str, expires: i64) -> Self {
        Self {
            class: Class::Complete,
            bucket: "",
            key: "",
            expires,
            id,
            version: None,
            download: None,
            ip: None,
            cacheable: false,
        }
    }

    /// The query that [`Self::of_get`] and [`Self::of_complete`] read, without its `?`.
    #[must_use]
    pub fn to_query(&self, secret: &[u8]) -> String {
        let mut query = format!("expires={}", self.expires);
        let mut add = |name: &str, value: &str| {
            let _ = write!(query, "&{name}={}", utf8_percent_encode(value, VALUE));
        };
        if self.class == Class::Get {
            add("id", self.id);
        }
        for (name, value) in
            [("version", self.version), ("download", self.download), ("ip", self.ip)]
        {
            if let Some(value) = value {
                add(name, value);
            }
        }
        if self.cacheable {
            add("cacheable", "1");
        }
        let signature = self.mac(secret).finalize().into_bytes();
        add(SIGNATURE, &URL_SAFE_NO_PAD.encode(signature));
        query
    }

    /// Whether the signature is ours, its time is not over, and the client is the one that it is for.
    ///
    /// The signature is compared in constant time, and before everything else: a stranger learns nothing of the rest.
    ///
    /// # Errors
    /// [`Code::AccessDenied`], by the rules `url.signature`, `url.expires` and `url.ip`.
    pub fn verify(
        &self,
        signature: &str,
        secret: &[u8],
        now: i64,
        client_ip: &str,
    ) -> Result<(), Error> {
        if signature.len() != SIGNATURE_CHARACTERS {
            return Err(forged());
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| forged())?;
        self.mac(secret).verify_slice(&signature).map_err(|_| forged())?;
        if now >= self.expires {
            let message = "The time of this URL is over; ask for a new one";
            return Err(Error::new(Code::AccessDenied, message).rule("url.expires"));
        }
        // We made none that lives longer; a clock that is wrong must not lengthen one.
        if self.expires - now > MAX_PRESIGN_SECONDS + SKEW_SECONDS {
            return Err(forged());
        }
        if self.ip.is_some_and(|ip| ip != client_ip) {
            let message = "This URL is for another client; ask for one of your own";
            return Err(Error::new(Code::AccessDenied, message).rule("url.ip"));
        }
        Ok(())
    }

    fn mac(&self, secret: &[u8]) -> Hmac<Sha256> {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap_or_else(|_| unreachable!());
        mac.update(self.canonical().as_bytes());
        mac
    }

    /// What is signed.
    fn canonical(&self) -> String {
        let class = match self.class {
            Class::Get => "GET",
            Class::Complete => "COMPLETE",
        };
        let expires = self.expires.to_string();
        let mut text = SCHEME.to_owned();
        for field in [
            Some(class),
            Some(self.bucket),
            Some(self.key),
            Some(&*expires),
            Some(self.id),
            self.version,
            self.download,
            self.ip,
            self.cacheable.then_some("1"),
        ] {
            let _ = match field {
                Some(value) => write!(text, "\n{}:{value}", value.len()),
                None => write!(text, "\n-"),
            };
        }
        text
    }
}

/// One spelling: no sign, no zero in front.
fn expires(query: &Query) -> Result<i64, Error> {
    let text = query.get("expires")?.ok_or_else(forged)?;
    let expires: i64 = text.parse().map_err(|_| forged())?;
    if expires < 0 || expires.to_string() != text {
        return Err(forged());
    }
    Ok(expires)
}

fn forged() -> Error {
    let message = "The signature of this URL is not good; use the URL unchanged, as it was made";
    Error::new(Code::AccessDenied, message).rule("url.signature")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    const ID: &str = "019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42";
    const NOW: i64 = 1_800_000_000;

    fn url() -> SignedUrl<'static> {
        SignedUrl {
            class: Class::Get,
            bucket: "documents",
            key: "a b/日.txt",
            expires: NOW + 60,
            id: ID,
            version: None,
            download: None,
            ip: None,
            cacheable: false,
        }
    }

    fn rule(refused: Result<(), Error>) -> Option<String> {
        refused.err().and_then(|error| {
            assert_eq!(error.code, Code::AccessDenied);
            error.rule
        })
    }

    /// The outcome of a query for a GET of `key` at `now`.
    fn asked(query: &str, key: &str, now: i64, ip: &str) -> Result<(), Error> {
        let query = Query::parse(Some(query))?;
        let (url, signature) = SignedUrl::of_get(&query, "documents", key)?.ok_or_else(forged)?;
        url.verify(signature, SECRET, now, ip)
    }

    #[test]
    fn what_is_signed_stands_line_by_line() {
        let text = "hf1\n3:GET\n9:documents\n11:a b/日.txt\n10:1800000060\n36:019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42\n-\n0:\n-\n1:1";
        let url = SignedUrl { download: Some(""), cacheable: true, ..url() };
        assert_eq!(url.canonical(), text);
    }

    #[test]
    fn a_url_is_good_until_its_end() {
        let query = url().to_query(SECRET);
        assert!(asked(&query, url().key, NOW, "").is_ok());
        assert!(asked(&query, url().key, NOW + 59, "192.0.2.1").is_ok());
        assert_eq!(rule(asked(&query, url().key, NOW + 60, "")).as_deref(), Some("url.expires"));
        assert_eq!(rule(asked(&query, "other", NOW, "")).as_deref(), Some("url.signature"));
        // Whose signature is not good learns nothing more.
        assert_eq!(rule(asked(&query, "other", NOW + 60, "")).as_deref(), Some("url.signature"));
        let far = SignedUrl { expires: NOW + MAX_PRESIGN_SECONDS + 901, ..url() };
        let far = far.to_query(SECRET);
        assert_eq!(rule(asked(&far, url().key, NOW, "")).as_deref(), Some("url.signature"));
    }

    #[test]
    fn every_change_breaks_it() {
        let whole = SignedUrl {
            version: Some(ID),
            download: Some("a.txt"),
            ip: Some("192.0.2.1"),
            cacheable: true,
            ..url()
        };
        let query = whole.to_query(SECRET);
        assert!(asked(&query, whole.key, NOW, "192.0.2.1").is_ok());
        assert_eq!(rule(asked(&query, whole.key, NOW, "192.0.2.2")).as_deref(), Some("url.ip"));
        assert_eq!(rule(asked(&query, whole.key, NOW, "")).as_deref(), Some("url.ip"));
        for (from, to) in [
            ("expires=1800000060", "expires=1800000061"),
            ("expires=1800000060", "expires=+1800000060"),
            ("expires=1800000060", "expires=01800000060"),
            ("expires=1800000060", "expires="),
            ("expires=1800000060&", ""),
            ("&id=0", "&id=1"),
            ("&version=", "&versions="),
            ("&version=0", "&version=1"),
            ("&download=a.txt", "&download="),
            ("&download=a.txt", ""),
            ("&ip=192.0.2.1", ""),
            ("&ip=192.0.2.1", "&ip=192.0.2.2"),
            ("&cacheable=1", ""),
            ("&cacheable=1", "&cacheable=2"),
            ("&signature=", "&signature=A"),
        ] {
            let changed = query.replacen(from, to, 1);
            assert_ne!(changed, query, "{from}");
            let refused = asked(&changed, whole.key, NOW, "192.0.2.1");
            assert_eq!(rule(refused).as_deref(), Some("url.signature"), "{changed}");
        }
        let twice = format!("{query}&version={ID}");
        let refused = asked(&twice, whole.key, NOW, "192.0.2.1").expect_err("refused");
        assert_eq!(refused.code, Code::InvalidArgument);
    }

    #[test]
    fn one_class_is_none_of_the_other() {
        let complete = SignedUrl::complete(ID, NOW + 60);
        let raw = complete.to_query(SECRET);
        let query = Query::parse(Some(&raw)).expect("valid");
        let (read, signature) = SignedUrl::of_complete(&query, ID).expect("valid");
        assert_eq!(read, complete);
        assert!(read.verify(signature, SECRET, NOW, "").is_ok());
        assert!(read.verify(signature, b"another secret of thirty-two byte", NOW, "").is_err());
        let other = SignedUrl { id: "019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e43", ..read.clone() };
        assert!(other.verify(signature, SECRET, NOW, "").is_err());
        let get = SignedUrl { class: Class::Get, ..read };
        assert!(get.verify(signature, SECRET, NOW, "").is_err());
    }

    #[test]
    fn a_query_without_a_signature_is_no_signed_url() {
        let query = Query::parse(Some("version=1&id=2&expires=3")).expect("valid");
        assert!(SignedUrl::of_get(&query, "b", "k").expect("fine").is_none());
        assert!(SignedUrl::of_complete(&query, ID).is_err());
    }

    proptest! {
        #[test]
        fn what_is_made_is_read(
            key in ".*", id in "[0-9a-f-]{1,36}", download in proptest::option::of(".*"),
            ip in proptest::option::of("[0-9a-f:.]*"), version in proptest::option::of("[0-9a-f-]*"),
            cacheable: bool, seconds in 1..MAX_PRESIGN_SECONDS,
        ) {
            let (download, ip) = (download.as_deref(), ip.as_deref());
            let url = SignedUrl {
                class: Class::Get, bucket: "b", key: &key, expires: NOW + seconds, id: &id,
                version: version.as_deref(), download, ip, cacheable,
            };
            let raw = url.to_query(SECRET);
            let query = Query::parse(Some(&raw)).expect("valid");
            let (read, signature) = SignedUrl::of_get(&query, "b", &key).expect("valid").expect("signed");
            prop_assert_eq!(&read, &url);
            prop_assert!(read.verify(signature, SECRET, NOW, ip.unwrap_or_default()).is_ok());
        }

        #[test]
        fn two_texts_are_never_one(a in ".*", b in ".*", c in ".*", d in ".*") {
            let (one, other) = (
                SignedUrl { bucket: &a, key: &b, ..url() },
                SignedUrl { bucket: &c, key: &d, ..url() },
            );
            prop_assert_eq!(one.canonical() == other.canonical(), a == c && b == d);
        }

        #[test]
        fn any_query_is_refused_or_not_signed(raw in ".*", tail in "expires=[0-9]{1,20}&id=.{0,40}&signature=.{0,50}") {
            for raw in [raw, tail] {
                if let Ok(query) = Query::parse(Some(&raw))
                    && let Ok(Some((url, signature))) = SignedUrl::of_get(&query, "b", "k")
                {
                    prop_assert!(url.verify(signature, SECRET, NOW, "").is_err());
                }
            }
        }
    }
}
