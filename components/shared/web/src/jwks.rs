//! JSON Web Key Sets: the public keys that an issuer publishes.
//!
//! Spec: RFC 7517 (JWK), RFC 7518, section 6 (RSA, EC), RFC 8037, section 2 (OKP).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holdfast_core::config::JwtAlgorithm;
use serde::Deserialize;
use serde_json::Value;

use crate::signature::PublicKey;

/// Longest document that is looked at, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1_024;

/// The most keys that are kept of one document; issuers publish two or three.
pub const MAX_KEYS: usize = 32;

/// Longest `kid`, in bytes; a longer one is not kept.
pub const MAX_KEY_ID_BYTES: usize = 256;

/// Why a document is no key set. The texts are for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Longer than [`MAX_DOCUMENT_BYTES`].
    #[error("the key set is longer than {MAX_DOCUMENT_BYTES} bytes")]
    TooLong,
    /// Not a JSON object with a list `keys`.
    #[error("the key set is not a JSON object with a list `keys`")]
    Malformed,
    /// Not one key of it is of use for the configured algorithm.
    #[error("the key set has no usable key for the configured algorithm")]
    Empty,
}

/// The keys of one algorithm.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<(Option<String>, PublicKey)>,
}

impl KeySet {
    /// Reads a document, and keeps what can verify signatures of `algorithm`.
    ///
    /// A key that is of another type or curve, malformed, too small, or meant for something else by its
    /// `use`, `key_ops` or `alg` is skipped, as RFC 7517, section 5, wants it; so is all above [`MAX_KEYS`].
    ///
    /// # Errors
    /// The whole document is of no use.
    pub fn parse(document: &[u8], algorithm: JwtAlgorithm) -> Result<Self, KeySetError> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(KeySetError::TooLong);
        }
        // serde would take an array of the fields in their order, too.
        if document.trim_ascii_start().first() != Some(&b'{') {
            return Err(KeySetError::Malformed);
        }
        let Document { keys } =
            serde_json::from_slice(document).map_err(|_| KeySetError::Malformed)?;
        let keys: Vec<_> = keys
            .into_iter()
            .filter_map(|key| usable(serde_json::from_value(key).ok()?, algorithm))
            .take(MAX_KEYS)
            .collect();
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self { keys }) }
    }

    /// The keys that a token may be signed with: those of its `kid`, more than one only where the issuer
    /// gave it twice; without a `kid` the only key of the set.
    pub(crate) fn candidates(&self, key_id: Option<&str>) -> impl Iterator<Item = &PublicKey> {
        let only = self.keys.len() == 1;
        self.keys
            .iter()
            .filter(move |(id, _)| match key_id {
                Some(wanted) => id.as_deref() == Some(wanted),
                None => only,
            })
            .map(|(_, key)| key)
    }
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// A key, as far as it decides anything. Private members, if an issuer errs that much, are never read.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

fn usable(jwk: Jwk, algorithm: JwtAlgorithm) -> Option<(Option<String>, PublicKey)> {
    let meant = jwk.r#use.as_deref().is_none_or(|meant| meant == "sig")
        && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"))
        && jwk.alg.as_deref().is_none_or(|name| names(name, algorithm))
        && jwk.kid.as_ref().is_none_or(|id| id.len() <= MAX_KEY_ID_BYTES);
    if !meant {
        return None;
    }
    let part = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    let key = match (algorithm, jwk.kty.as_str(), jwk.crv.as_deref()) {
        (JwtAlgorithm::Rs256, "RSA", _) => PublicKey::rsa(&part(&jwk.n)?, &part(&jwk.e)?),
        (JwtAlgorithm::Es256, "EC", Some("P-256")) => {
            PublicKey::p256(&part(&jwk.x)?, &part(&jwk.y)?)
        }
        (JwtAlgorithm::EdDsa, "OKP", Some("Ed25519")) => PublicKey::ed25519(&part(&jwk.x)?),
        _ => None,
    };
    Some((jwk.kid, key?))
}

/// Whether a key's `alg` is this algorithm; RFC 9864 has a second name for EdDSA on Ed25519.
fn names(name: &str, algorithm: JwtAlgorithm) -> bool {
    name == algorithm.as_str() || (algorithm == JwtAlgorithm::EdDsa && name == "Ed25519")
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
