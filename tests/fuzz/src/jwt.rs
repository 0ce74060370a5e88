//! Tokens.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use holdfast_web::jwt::{Claims, LEEWAY_SECONDS, MAX_SUBJECT_BYTES, MAX_TOKEN_BYTES, Verifier};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::Sha256;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

const NOW: i64 = 1_800_000_000;

/// The input is a token, then a header and a payload (two lines) that are signed, then a payload alone.
pub fn check(data: &[u8]) {
    if let Ok(token) = std::str::from_utf8(data) {
        check_token(token);
    }
    let [header, payload] = crate::lines(data);
    check_token(&sign(header, payload));
    check_token(&sign(br#"{"alg":"HS256"}"#, data));
}

fn check_token(token: &str) {
    for (issuer, audience) in [(None, None), (Some("i"), Some("a"))] {
        let verifier = Verifier::new(SECRET, issuer, audience);
        if let Ok(claims) = verifier.verify(token, NOW) {
            check_claims(token, &claims, issuer, audience);
            check_forgeries(&verifier, token);
        }
    }
    assert!(Verifier::new(&SECRET[1..], None, None).verify(token, NOW).is_err(), "a short secret");
}

/// A token that is taken is signed by us, with a header and claims that allow it, read in another way.
fn check_claims(token: &str, claims: &Claims, issuer: Option<&str>, audience: Option<&str>) {
    assert!(token.len() <= MAX_TOKEN_BYTES);
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    assert_eq!(signature, URL_SAFE_NO_PAD.encode(mac(signed.as_bytes())));
    let (header, payload) = signed.split_once('.').expect("three parts");
    let (header, payload) = (Object::decode(header), Object::decode(payload));
    assert_eq!(header.get("alg"), "HS256");
    assert!(header.get("crit").is_null());

    let seconds = |name: &str| payload.get(name).as_f64();
    assert!(seconds("exp").is_some_and(|exp| exp > NOW as f64));
    for name in ["nbf", "iat"] {
        assert!(
            payload.get(name).is_null() || seconds(name) < Some((NOW + LEEWAY_SECONDS + 1) as f64)
        );
    }
    assert!((1..=MAX_SUBJECT_BYTES).contains(&claims.sub.len()));
    assert_eq!(payload.get("sub"), *claims.sub);
    assert_eq!(payload.get("scope").as_str(), claims.scope.as_deref());
    assert_eq!(payload.get("roles").as_array().map_or(0, Vec::len), claims.roles.len());
    let mut texts = claims.roles.iter().chain(&claims.scope).chain([&claims.sub]);
    assert!(texts.all(|text| !text.chars().any(char::is_control)));
    assert!(issuer.is_none() || payload.get("iss").as_str() == issuer);
    let names = |wanted: &str| match payload.get("aud") {
        Value::Array(many) => many.iter().any(|one| one == wanted),
        one => one == *wanted,
    };
    assert!(audience.is_none_or(names));
}

/// No token with one byte changed, added or left out is taken.
fn check_forgeries(verifier: &Verifier, token: &str) {
    let refused = |forged: &str| assert!(verifier.verify(forged, NOW).is_err(), "{forged}");
    refused(&format!("{token}A"));
    refused(&token[..token.len() - 1]);
    for at in [0, token.len() / 3, token.len() / 2, token.len() - 1] {
        let mut forged = token.as_bytes().to_vec();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        refused(std::str::from_utf8(&forged).expect("ASCII"));
    }
}

fn sign(header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(mac(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn mac(signed: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("any length");
    mac.update(signed);
    mac.finalize().into_bytes().to_vec()
}

/// The members of an object. Their values are read one by one: those that no claim needs may be anything
/// that JSON allows, such as a number that no type holds.
struct Object(BTreeMap<String, Box<RawValue>>);

impl Object {
    fn decode(part: &str) -> Self {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        let text = std::str::from_utf8(&bytes).expect("JSON is UTF-8");
        Self(serde_json::from_str(text).expect("an object"))
    }

    fn get(&self, name: &str) -> Value {
        let raw = self.0.get(name).map_or("null", |raw| raw.get());
        serde_json::from_str(raw).expect("a claim that was read")
    }
}
