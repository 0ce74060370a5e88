//! JSON Web Tokens, verified.
//!
//! Which algorithm they are signed with is configuration and never the token's own word.
//!
//! Spec: RFC 7515 (JWS compact serialization), RFC 7519 (claims), RFC 8725 (best practice).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use holdfast_core::config::{DEFAULT_ROLES_CLAIM, JwtAlgorithm};
use holdfast_core::limits::MIN_SECRET_BYTES;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::Sha256;

use crate::jwks::KeySet;

/// Longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1_024;

/// Longest subject, in bytes of UTF-8.
pub const MAX_SUBJECT_BYTES: usize = 255;

/// How far the issuer's clock may be ahead of ours, in seconds (`nbf` and `iat`; `exp` is exact).
pub const LEEWAY_SECONDS: i64 = 60;

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
    #[error("The token is not signed with the algorithm that is configured here")]
    Algorithm,
    /// No key of the issuer has its `kid`, or it has none and there are several keys.
    #[error("The token names no key of its issuer (kid)")]
    UnknownKey,
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
    /// The roles, from the configured claim; empty if there are none.
    pub roles: Vec<String>,
    /// The `scope`, separated by spaces; `None` means unrestricted, empty means nothing is allowed.
    pub scope: Option<String>,
}

/// Verifies tokens of one algorithm. `Debug` does not show a secret.
#[derive(Clone)]
pub struct Verifier {
    algorithm: JwtAlgorithm,
    /// Keyed once; `None` for another algorithm, and for a secret that is too short to trust.
    mac: Option<Hmac<Sha256>>,
    issuer: Option<String>,
    audience: Option<String>,
    /// Where the roles are: the names of nested claims, from the outside in.
    roles_path: Vec<String>,
}

impl Verifier {
    /// Verifies HS256 with `secret`, and checks `iss` and `aud` where they are given and not empty.
    ///
    /// A secret shorter than [`MIN_SECRET_BYTES`] (RFC 7518, section 3.2) is refused by the
    /// configuration; should one come here all the same, every token is refused.
    #[must_use]
    pub fn new(secret: &[u8], issuer: Option<&str>, audience: Option<&str>) -> Self {
        let mac = Some(secret)
            .filter(|secret| secret.len() >= MIN_SECRET_BYTES)
            .and_then(|secret| Hmac::new_from_slice(secret).ok());
        Self { mac, ..Self::with_public_keys(JwtAlgorithm::Hs256, issuer, audience) }
    }

    /// Verifies an algorithm of public keys, which come with each call.
    #[must_use]
    pub fn with_public_keys(
        algorithm: JwtAlgorithm,
        issuer: Option<&str>,
        audience: Option<&str>,
    ) -> Self {
        let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        Self {
            algorithm,
            mac: None,
            issuer: given(issuer),
            audience: given(audience),
            roles_path: vec![DEFAULT_ROLES_CLAIM.to_owned()],
        }
    }

    /// Takes the roles from this claim: a name, or names with dots between for nested claims. A claim whose
    /// name has just these dots goes first.
    #[must_use]
    pub fn roles_claim(mut self, path: &str) -> Self {
        self.roles_path = path.split('.').map(str::to_owned).collect();
        self
    }

    /// Verifies an HS256 token at a time in seconds of Unix time.
    ///
    /// # Errors
    /// As [`Verifier::verify_with`], without a public key.
    pub fn verify(&self, token: &str, now_unix: i64) -> Result<Claims, TokenError> {
        self.verify_with(&KeySet::default(), token, now_unix)
    }

    /// Verifies a token at a time in seconds of Unix time; HS256 needs no `keys`.
    ///
    /// # Errors
    /// The first check that fails; no claim is looked at before the signature is verified.
    /// [`TokenError::UnknownKey`] says that newer keys may help.
    pub fn verify_with(
        &self,
        keys: &KeySet,
        token: &str,
        now_unix: i64,
    ) -> Result<Claims, TokenError> {
        let Parts { header, signed, payload, signature } = self.open(token)?;
        if self.algorithm == JwtAlgorithm::Hs256 {
            self.check_mac(signed, &signature)?;
        } else {
            check_signature(keys, header.kid.as_deref(), signed, &signature)?;
        }
        let claims: Value = decode(payload)?;
        let payload: Payload = decode(payload)?;
        check_times(&payload, now_unix)?;
        self.check_parties(&payload)?;
        claims_of(payload, roles(&claims, &self.roles_path)?)
    }

    /// Whether a token has the shape and the algorithm that any key could verify; nothing of it is believed.
    ///
    /// # Errors
    /// What [`Verifier::verify_with`] would answer whatever the keys.
    pub fn check(&self, token: &str) -> Result<(), TokenError> {
        self.open(token).map(drop)
    }

    fn open<'a>(&self, token: &'a str) -> Result<Parts<'a>, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header: Header = decode(header)?;
        self.check_header(&header)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        Ok(Parts { header, signed, payload, signature })
    }

    fn check_header(&self, header: &Header) -> Result<(), TokenError> {
        // `crit` lists extensions that must be understood, and we understand none.
        if header.alg != self.algorithm.as_str() || header.crit.is_some() {
            return Err(TokenError::Algorithm);
        }
        Ok(())
    }

    fn check_mac(&self, signed: &str, signature: &[u8]) -> Result<(), TokenError> {
        let mut mac = self.mac.clone().ok_or(TokenError::Signature)?;
        mac.update(signed.as_bytes());
        // Constant-time, and for the whole length: a truncated signature is another one.
        mac.verify_slice(signature).map_err(|_| TokenError::Signature)
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
            .field("algorithm", &self.algorithm)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// A token in its parts, its claims still closed.
struct Parts<'a> {
    header: Header,
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

/// The protected header, as far as it decides anything.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Payload {
    sub: Option<String>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    iss: Option<String>,
    aud: Option<Audience>,
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

fn check_signature(
    keys: &KeySet,
    key_id: Option<&str>,
    signed: &str,
    signature: &[u8],
) -> Result<(), TokenError> {
    let mut candidates = keys.candidates(key_id).peekable();
    candidates.peek().ok_or(TokenError::UnknownKey)?;
    if candidates.any(|key| key.verifies(signed.as_bytes(), signature)) {
        return Ok(());
    }
    // Without a `kid` the only key was tried, and it may have been followed by another one.
    Err(if key_id.is_some() { TokenError::Signature } else { TokenError::UnknownKey })
}

/// The roles at a path into the claims: a list of texts, or one text with spaces between.
fn roles(claims: &Value, path: &[String]) -> Result<Vec<String>, TokenError> {
    // A name may have dots of its own, as `https://example.com/roles` has.
    let whole = claims.get(path.join("."));
    let found = whole.or_else(|| path.iter().try_fold(claims, |claim, name| claim.get(name)));
    match found {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(text.split_whitespace().map(str::to_owned).collect()),
        Some(Value::Array(list)) => list
            .iter()
            .map(|role| role.as_str().map(str::to_owned).ok_or(TokenError::Malformed))
            .collect(),
        Some(_) => Err(TokenError::Malformed),
    }
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

fn claims_of(payload: Payload, roles: Vec<String>) -> Result<Claims, TokenError> {
    let sub = payload.sub.unwrap_or_default();
    if !(1..=MAX_SUBJECT_BYTES).contains(&sub.len()) || has_control(&sub) {
        return Err(TokenError::Subject);
    }
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
