//! What opens a share link or is an upload token: 32 random bytes in base64url. Only a hash of it is ever kept. What
//! has to be told again to whoever repeats a request follows from our own secret and the grant's id.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Random bytes in a link.
pub const SECRET_BYTES: usize = 32;

/// Their characters in base64url.
const CHARACTERS: usize = 43;

/// The first line of what a secret follows from; no signed URL begins like it.
const SCHEME: &str = "hf1-held";

/// Where share links lead: the secret follows.
pub const SHARES: &str = "/s/";

/// Where uploads by token go: the secret follows, then the route without its `/v1`.
pub const TOKENS: &str = "/v1/t/";

/// A secret as it is looked up. `Debug` shows nothing of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    /// SHA-256 of its text. It is random, so that a slow hash would gain nothing.
    pub hash: [u8; 32],
}

impl Secret {
    /// Reads a secret; `None` if it is not well formed. It has one spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != CHARACTERS {
            return None;
        }
        URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self { hash: Sha256::digest(text).into() })
    }

    /// Makes a secret of random bytes: its text, which is shown once, and what is kept of it.
    #[must_use]
    pub fn generate(random: [u8; SECRET_BYTES]) -> (String, Self) {
        let text = URL_SAFE_NO_PAD.encode(random);
        let hash = Sha256::digest(&text).into();
        (text, Self { hash })
    }

    /// The hash in hexadecimal.
    #[must_use]
    pub fn hex(&self) -> String {
        self.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Makes the secret of a grant that its maker may ask for again under an Idempotency-Key: the same each time for the
    /// same grant, and unguessable without our `secret`. `kind` is share or token, `id` the grant's id, a UUID. A grant
    /// that is made later under the same key has another id, so that no old link comes to life again.
    #[must_use]
    pub fn derive(secret: &[u8], kind: &str, sub: &str, key: &str, id: &str) -> (String, Self) {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap_or_else(|_| unreachable!());
        mac.update(SCHEME.as_bytes());
        for field in [kind, sub, key, id] {
            // With its length, or one text could go on where another one ends.
            mac.update(format!("\n{}:{field}", field.len()).as_bytes());
        }
        Self::generate(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// Splits the path of an upload by token, `/v1/t/{token}/upload/...`, into the token and the path without it,
/// `/v1/upload/...`; `None` if it is none.
#[must_use]
pub fn split_token(path: &str) -> Option<(&str, String)> {
    let (token, rest) = path.strip_prefix(TOKENS)?.split_once('/')?;
    Some((token, format!("/v1/{rest}")))
}

/// A path as it may be shown and logged: without the secret in it.
#[must_use]
pub fn without_secret(path: &str) -> Cow<'_, str> {
    for route in [SHARES, TOKENS] {
        if let Some(rest) = path.strip_prefix(route) {
            let rest = rest.find('/').map_or("", |at| &rest[at..]);
            return Cow::Owned(format!("{route}-{rest}"));
        }
    }
    Cow::Borrowed(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn another_spelling_is_no_secret() {
        let (text, secret) = Secret::generate([0; 32]);
        assert_eq!((text.as_str(), Secret::parse(&text)), (&*"A".repeat(43), Some(secret)));
        for bad in [
            String::new(),
            text[1..].to_owned(),
            format!("{text}A"),
            format!("{text}="),
            // The last character of 32 bytes has two spare bits.
            format!("{}B", &text[1..]),
            format!("{}+", &text[1..]),
            format!("{}%", &text[1..]),
        ] {
            assert_eq!(Secret::parse(&bad), None, "{bad}");
        }
        assert_eq!(format!("{secret:?}"), "Secret(...)");
    }

    #[test]
    fn a_derived_secret_follows_from_everything() {
        let ours = b"0123456789abcdef0123456789abcdef";
        let (text, secret) = Secret::derive(ours, "share", "alice", "key", "id");
        // printf 'hf1-held\n5:share\n5:alice\n3:key\n2:id' | openssl dgst -sha256 -hmac ... -binary | basenc --base64url
        assert_eq!(text, "bc2Zr8s1eQtDgEDAfjn6zI6eG_hPuh_XjlQ1HL-3ayI");
        assert_eq!(Secret::parse(&text), Some(secret));
        for (ours, kind, sub, key, id) in [
            (&ours[1..], "share", "alice", "key", "id"),
            (ours, "token", "alice", "key", "id"),
            (ours, "share", "alic", "ekey", "id"),
            (ours, "share", "alice", "ke", "yid"),
            (ours, "share", "alice", "key", "other"),
        ] {
            assert_ne!(Secret::derive(ours, kind, sub, key, id).0, text);
        }
    }

    #[test]
    fn paths_without_their_secrets() {
        assert_eq!(split_token("/v1/t/abc/upload/b/k"), Some(("abc", "/v1/upload/b/k".to_owned())));
        assert_eq!(split_token("/v1/t/abc"), None);
        assert_eq!(split_token("/v1/upload/b/k"), None);
        for (path, shown) in [
            ("/s/abc", "/s/-"),
            ("/s/", "/s/-"),
            ("/v1/t/abc/upload/b/k", "/v1/t/-/upload/b/k"),
            ("/v1/t/abc", "/v1/t/-"),
            ("/v1/download/s/abc", "/v1/download/s/abc"),
        ] {
            assert_eq!(without_secret(path), shown);
        }
    }

    proptest! {
        #[test]
        fn what_is_made_is_read(random: [u8; 32]) {
            let (text, secret) = Secret::generate(random);
            prop_assert_eq!(Secret::parse(&text), Some(secret));
            let path = format!("/s/{text}");
            prop_assert!(!without_secret(&path).contains(&text));
        }

        #[test]
        fn any_text_is_a_secret_or_none(text in ".*", path in "/v1/t/.*") {
            let _ = Secret::parse(&text);
            let _ = split_token(&path);
            let _ = without_secret(&path);
        }
    }
}
