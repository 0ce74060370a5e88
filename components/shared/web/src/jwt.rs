//! HS256 JSON Web Tokens, verified.
//!
//! Spec: RFC 7515 (JWS compact serialization), RFC 7519 (claims), RFC 8725 (best practice).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use holdfast_core::limits::MIN_SECRET_BYTES;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

/// Longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1_024;

/// Longest subject, in bytes of UTF-8.
pub const MAX_SUBJECT_BYTES: usize = 255;

/// How far the issuer's clock may be ahead of ours, in seconds (`nbf` and `iat`; `exp` is exact).
pub const LEEWAY_SECONDS: i64 = 60;

/// The one algorithm that is taken; a token that names another, or `none`, is refused.
const ALGORITHM: &str = "HS256";

/// Why a token is refused. The texts are for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("The token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three parts of base64url with JSON objects of the right shape.
    #[error("The token is not a well-formed JSON Web Token")]
    Malformed,
    /// Signed by another algorithm, or with extensions that we do not know.
    #[error("The token is not signed with {ALGORITHM}")]
    Algorithm,
    /// The signature is not ours.
    #[error("The signature of the token is not valid")]
    Signature,
    /// Past its `exp`.
    #[error("The token has expired; get a new one")]
    Expired,
    /// It has no `exp`.
    #[error("The token has no expiry (exp)")]
    NoExpiry,
    /// Before its `nbf`, or issued in the future.
    #[error("The token is not valid yet (nbf or iat)")]
    NotYetValid,
    /// `iss` is not the configured issuer.
    #[error("The token is from another issuer (iss)")]
    Issuer,
    /// `aud` does not name the configured audience.
    #[error("The token is for another audience (aud)")]
    Audience,
    /// `sub` is missing, empty, too long or has control characters.
    #[error("The token has no usable subject (sub)")]
    Subject,
}

/// What a verified token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The subject: 1 to [`MAX_SUBJECT_BYTES`] bytes without control characters.
    pub sub: String,
    /// The `roles`; empty if there are none.
    pub roles: Vec<String>,
    /// The `scope`, separated by spaces; `None` means unrestricted, empty means nothing is allowed.
    pub scope: Option<String>,
}

/// Verifies tokens of one secret. `Debug` does not show it.
#[derive(Clone)]
pub struct Verifier {
    /// Keyed once; `None` for a secret that is too short to trust.
    mac: Option<Hmac<Sha256>>,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Verifier {
    /// Verifies with `secret`, and checks `iss` and `aud` where they are given and not empty.
    ///
    /// A secret shorter than [`MIN_SECRET_BYTES`] (RFC 7518, section 3.2) is refused by the
    /// configuration; should one come here all the same, every token is refused.
    #[must_use]
    pub fn new(secret: &[u8], issuer: Option<&str>, audience: Option<&str>) -> Self {
        let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let mac = Some(secret)
            .filter(|secret| secret.len() >= MIN_SECRET_BYTES)
            .and_then(|secret| Hmac::new_from_slice(secret).ok());
        Self { mac, issuer: given(issuer), audience: given(audience) }
    }

    /// Verifies a token at a time in seconds of Unix time.
    ///
    /// # Errors
    /// The first check that fails; no claim is looked at before the signature is verified.
    pub fn verify(&self, token: &str, now_unix: i64) -> Result<Claims, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        check_header(&decode(header)?)?;
        self.check_signature(signed, signature)?;
        let payload: Payload = decode(payload)?;
        check_times(&payload, now_unix)?;
        self.check_parties(&payload)?;
        claims(payload)
    }

    fn check_signature(&self, signed: &str, signature: &str) -> Result<(), TokenError> {
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        let mut mac = self.mac.clone().ok_or(TokenError::Signature)?;
        mac.update(signed.as_bytes());
        // Constant-time, and for the whole length: a truncated signature is another one.
        mac.verify_slice(&signature).map_err(|_| TokenError::Signature)
    }

    fn check_parties(&self, payload: &Payload) -> Result<(), TokenError> {
        if self.issuer.is_some() && self.issuer != payload.iss {
            return Err(TokenError::Issuer);
        }
        match (&self.audience, &payload.aud) {
            (None, _) => Ok(()),
            (Some(wanted), Some(audience)) if audience.names(wanted) => Ok(()),
            (Some(_), _) => Err(TokenError::Audience),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// The protected header, as far as it decides anything.
#[derive(Deserialize)]
struct Header {
    alg: String,
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Payload {
    sub: Option<String>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    iss: Option<String>,
    aud: Option<Audience>,
    roles: Option<Vec<String>>,
    scope: Option<String>,
}

/// Seconds of Unix time; RFC 7519, section 2, allows fractions.
#[derive(Deserialize)]
struct NumericDate(serde_json::Number);

impl NumericDate {
    fn seconds(&self) -> Option<i64> {
        // The cast saturates, which keeps "far away" far away.
        self.0.as_i64().or_else(|| self.0.as_f64().map(|seconds| seconds.floor() as i64))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn names(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Many(many) => many.iter().any(|one| one == wanted),
        }
    }
}

/// Decodes one part. The base64 is strict, so that one token has one spelling.
fn decode<T: DeserializeOwned>(part: &str) -> Result<T, TokenError> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    // serde would take an array of the fields in their order, too.
    if json.first() != Some(&b'{') {
        return Err(TokenError::Malformed);
    }
    // serde_json does not look at the bytes of members that it skips.
    let text = std::str::from_utf8(&json).map_err(|_| TokenError::Malformed)?;
    serde_json::from_str(text).map_err(|_| TokenError::Malformed)
}

fn check_header(header: &Header) -> Result<(), TokenError> {
    // `crit` lists extensions that must be understood, and we understand none.
    if header.alg != ALGORITHM || header.crit.is_some() {
        return Err(TokenError::Algorithm);
    }
    Ok(())
}

fn check_times(payload: &Payload, now_unix: i64) -> Result<(), TokenError> {
    let seconds = |date: &NumericDate| date.seconds().ok_or(TokenError::Malformed);
    let expires = seconds(payload.exp.as_ref().ok_or(TokenError::NoExpiry)?)?;
    if now_unix >= expires {
        return Err(TokenError::Expired);
    }
    for starts in [&payload.nbf, &payload.iat].into_iter().flatten() {
        if seconds(starts)? > now_unix.saturating_add(LEEWAY_SECONDS) {
            return Err(TokenError::NotYetValid);
        }
    }
    Ok(())
}

fn claims(payload: Payload) -> Result<Claims, TokenError> {
    let sub = payload.sub.unwrap_or_default();
    if !(1..=MAX_SUBJECT_BYTES).contains(&sub.len()) || has_control(&sub) {
        return Err(TokenError::Subject);
    }
    let roles = payload.roles.unwrap_or_default();
    // PostgreSQL refuses a NUL in text: that would be a 500 where a 401 belongs.
    if roles.iter().chain(&payload.scope).any(|text| has_control(text)) {
        return Err(TokenError::Malformed);
    }
    Ok(Claims { sub, roles, scope: payload.scope })
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
