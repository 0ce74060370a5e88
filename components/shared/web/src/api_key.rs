//! API keys: `hf_`, an id, `_` and a secret of 256 bits. Only a hash of the secret is ever kept.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// What every key begins with; secret scanners look for it.
pub const PREFIX: &str = "hf_";

/// Characters of the id: 16 bytes in hexadecimal.
const ID_CHARACTERS: usize = 32;

/// Bytes of the secret.
pub const SECRET_BYTES: usize = 32;

/// Characters of the secret in base64url.
const SECRET_CHARACTERS: usize = 43;

/// A key as it is looked up. `Debug` shows its id alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ApiKey {
    /// The id, a UUID.
    pub id: [u8; 16],
    /// SHA-256 of the secret's text. The secret is random, so that a slow hash would gain nothing.
    pub hash: [u8; 32],
}

impl ApiKey {
    /// Whether a bearer token is meant as an API key; no JSON Web Token begins like one.
    #[must_use]
    pub fn looks_like(token: &str) -> bool {
        token.starts_with(PREFIX)
    }

    /// Reads a key; `None` if it is not well formed. A key has one spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        if id.len() != ID_CHARACTERS || secret.len() != SECRET_CHARACTERS {
            return None;
        }
        URL_SAFE_NO_PAD.decode(secret).ok()?;
        Some(Self { id: id_bytes(id)?, hash: Sha256::digest(secret).into() })
    }

    /// Makes a key of an id and random bytes: its text, which is shown once, and what is kept of it.
    #[must_use]
    pub fn generate(id: [u8; 16], random: [u8; SECRET_BYTES]) -> (String, Self) {
        let secret = URL_SAFE_NO_PAD.encode(random);
        let hash = Sha256::digest(&secret).into();
        (format!("{}{secret}", shown(id)), Self { id, hash })
    }
}

/// What may be shown of a key at any time: all but its secret.
#[must_use]
pub fn shown(id: [u8; 16]) -> String {
    format!("{PREFIX}{:032x}_", u128::from_be_bytes(id))
}

fn id_bytes(hex: &str) -> Option<[u8; 16]> {
    let lower = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    lower.then(|| u128::from_str_radix(hex, 16).ok().map(u128::to_be_bytes)).flatten()
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}...)", shown(self.id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_has_its_form_and_its_hash() {
        let (text, key) = ApiKey::generate([0xab; 16], [0; 32]);
        assert_eq!(text, format!("hf_{}_{}", "ab".repeat(16), "A".repeat(43)));
        // printf %s AAAA... (43) | sha256sum
        assert_eq!(key.hash, <[u8; 32]>::from(Sha256::digest("A".repeat(43))));
        assert_eq!(ApiKey::parse(&text), Some(key));
        assert!(!format!("{key:?}").contains("AAAA"));
    }

    #[test]
    fn another_spelling_is_no_key() {
        let (text, _) = ApiKey::generate([0xab; 16], [0; 32]);
        for bad in [
            text.to_uppercase(),
            text.replace("ab", "AB"),
            text.replace("hf_ab", "hf_+b"),
            text.replace("hf_", ""),
            text.replacen('_', "-", 1),
            format!("{text}A"),
            format!("{text} "),
            // The last character of 32 bytes has two spare bits.
            format!("{}B", &text[..text.len() - 1]),
            format!("{}!", &text[..text.len() - 1]),
        ] {
            assert_eq!(ApiKey::parse(&bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_made_is_read(id: [u8; 16], random: [u8; 32]) {
            let (text, key) = ApiKey::generate(id, random);
            prop_assert!(ApiKey::looks_like(&text));
            prop_assert_eq!(ApiKey::parse(&text), Some(key));
        }

        #[test]
        fn any_text_is_a_key_or_none(text in ".*", tail in "[0-9a-f]{32}_.{0,50}") {
            let _ = ApiKey::parse(&text);
            let _ = ApiKey::parse(&format!("hf_{tail}"));
        }
    }
}
