use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: i64 = 1_800_000_000;

/// Signs a token with any header.
fn sign(secret: &[u8], header: &Value, payload: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(payload));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn token(payload: &Value) -> String {
    sign(SECRET, &json!({"alg": "HS256", "typ": "JWT"}), payload)
}

fn verifier() -> Verifier {
    Verifier::new(SECRET, None, None)
}

/// A valid payload with some members set, or removed by null.
fn payload(changes: &Value) -> Value {
    let mut payload = json!({"sub": "alice", "exp": NOW + 60});
    for (name, value) in changes.as_object().expect("an object") {
        payload[name] = value.clone();
    }
    payload
}

fn verify(changes: &Value) -> Result<Claims, TokenError> {
    verifier().verify(&token(&payload(changes)), NOW)
}

#[test]
fn the_example_of_rfc_7515_appendix_a_1() {
    let key = URL_SAFE_NO_PAD
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .expect("base64");
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let verifier = Verifier::new(&key, Some("joe"), None);
    // The signature and the times are right; the example has no subject.
    assert_eq!(verifier.verify(token, 1_300_819_379), Err(TokenError::Subject));
    assert_eq!(verifier.verify(token, 1_300_819_380), Err(TokenError::Expired));
    let other = Verifier::new(&key, Some("jim"), None);
    assert_eq!(other.verify(token, 1_300_819_379), Err(TokenError::Issuer));
}

#[test]
fn all_claims() {
    let claims = verify(&json!({
        "roles": ["admin", "x"], "scope": "upload download", "iat": NOW, "nbf": NOW, "more": {"a": 1}
    }));
    assert_eq!(
        claims,
        Ok(Claims {
            sub: "alice".to_owned(),
            roles: vec!["admin".to_owned(), "x".to_owned()],
            scope: Some("upload download".to_owned()),
        })
    );
}

#[test]
fn a_token_without_scope_is_unrestricted_and_one_with_an_empty_scope_may_nothing() {
    assert_eq!(verify(&json!({})).expect("valid").scope, None);
    assert_eq!(verify(&json!({"scope": ""})).expect("valid").scope.as_deref(), Some(""));
}

#[test]
fn the_algorithm_is_pinned() {
    for alg in ["none", "None", "hs256", "HS384", "HS512", "RS256", ""] {
        let signed = sign(SECRET, &json!({"alg": alg}), &payload(&json!({})));
        assert_eq!(verifier().verify(&signed, NOW), Err(TokenError::Algorithm), "{alg}");
        let (body, _) = signed.rsplit_once('.').expect("three parts");
        let unsigned = format!("{body}.");
        assert_eq!(verifier().verify(&unsigned, NOW), Err(TokenError::Algorithm), "{alg}");
    }
    let extended = sign(SECRET, &json!({"alg": "HS256", "crit": ["b64"]}), &payload(&json!({})));
    assert_eq!(verifier().verify(&extended, NOW), Err(TokenError::Algorithm));
}

#[test]
fn the_signature_must_be_ours_and_whole() {
    let good = token(&payload(&json!({})));
    let (body, signature) = good.rsplit_once('.').expect("three parts");
    let foreign = sign(
        b"another secret, just as long as ours",
        &json!({"alg": "HS256"}),
        &payload(&json!({})),
    );
    let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    let truncated = format!("{body}.{}", URL_SAFE_NO_PAD.encode(&bytes[..16]));
    let longer = format!("{body}.{}", URL_SAFE_NO_PAD.encode([&bytes[..], &[0]].concat()));
    for bad in [foreign, truncated, longer, format!("{body}.")] {
        assert_eq!(verifier().verify(&bad, NOW), Err(TokenError::Signature), "{bad}");
    }
}

#[test]
fn changed_claims_are_not_ours() {
    let signed = token(&payload(&json!({})));
    let admin = URL_SAFE_NO_PAD.encode(payload(&json!({"roles": ["admin"]})).to_string());
    let parts: Vec<_> = signed.split('.').collect();
    let forged = [parts[0], &admin, parts[2]].join(".");
    assert_eq!(verifier().verify(&forged, NOW), Err(TokenError::Signature));
}

#[test]
fn shapes_that_are_no_token() {
    let good = token(&payload(&json!({})));
    let array = sign(SECRET, &json!(["HS256", null]), &payload(&json!({})));
    for bad in ["", ".", "..", "a.b", "a.b.c", &format!("{good}="), &format!("x.{good}"), &array] {
        assert_eq!(verifier().verify(bad, NOW), Err(TokenError::Malformed), "{bad}");
    }
    let long = format!("{good}{}", "a".repeat(MAX_TOKEN_BYTES));
    assert_eq!(verifier().verify(&long, NOW), Err(TokenError::TooLong));
}

/// Found by fuzzing: serde_json skips a member that it does not need without decoding it.
#[test]
fn bytes_that_are_not_utf_8_are_no_json_even_in_a_member_that_is_skipped() {
    let payload = |skipped: &[u8]| {
        [&b"{\"sub\":\"a\",\"exp\":1900000000,\"x\":\""[..], skipped, b"\"}"].concat()
    };
    for (skipped, is_taken) in [(&b"\xc3\xa9"[..], true), (b"\x91\x81", false)] {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!("{}.{}", part(br#"{"alg":"HS256"}"#), part(&payload(skipped)));
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("any length");
        mac.update(signed.as_bytes());
        let token = format!("{signed}.{}", part(&mac.finalize().into_bytes()));
        assert_eq!(verifier().verify(&token, NOW).is_ok(), is_taken, "{skipped:?}");
    }
}

#[test]
fn one_token_has_one_spelling() {
    let good = token(&payload(&json!({})));
    // 32 bytes leave two spare bits in the last character; a lenient decoder ignores them.
    let (rest, last) = good.split_at(good.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(last).expect("base64url");
    let twin = format!("{rest}{}", &alphabet[at + 1..at + 2]);
    assert_eq!(verifier().verify(&twin, NOW), Err(TokenError::Malformed));
}

#[test]
fn times() {
    let leeway = NOW + LEEWAY_SECONDS;
    for (changes, wanted) in [
        (json!({"exp": NOW + 1}), None),
        (json!({"exp": NOW}), Some(TokenError::Expired)),
        (json!({"exp": NOW as f64 + 0.5}), Some(TokenError::Expired)),
        (json!({"exp": NOW as f64 + 1.5}), None),
        (json!({"exp": -1}), Some(TokenError::Expired)),
        (json!({"exp": 0}), Some(TokenError::Expired)),
        (json!({"exp": 1e300}), None),
        (json!({"exp": u64::MAX}), None),
        (json!({"exp": null}), Some(TokenError::NoExpiry)),
        (json!({"exp": "1900000000"}), Some(TokenError::Malformed)),
        (json!({"nbf": leeway}), None),
        (json!({"nbf": leeway + 1}), Some(TokenError::NotYetValid)),
        (json!({"iat": leeway}), None),
        (json!({"iat": leeway + 1}), Some(TokenError::NotYetValid)),
        (json!({"iat": "x"}), Some(TokenError::Malformed)),
    ] {
        assert_eq!(verify(&changes).err(), wanted, "{changes}");
    }
    let eternal = token(&payload(&json!({"exp": u64::MAX, "nbf": u64::MAX})));
    assert_eq!(verifier().verify(&eternal, i64::MAX), Err(TokenError::Expired));
}

#[test]
fn issuer_and_audience_are_checked_where_configured() {
    let strict = Verifier::new(SECRET, Some("iss"), Some("aud"));
    for (changes, wanted) in [
        (json!({"iss": "iss", "aud": "aud"}), None),
        (json!({"iss": "iss", "aud": ["x", "aud"]}), None),
        (json!({"iss": "iss", "aud": ["x"]}), Some(TokenError::Audience)),
        (json!({"iss": "iss", "aud": []}), Some(TokenError::Audience)),
        (json!({"iss": "iss", "aud": "audi"}), Some(TokenError::Audience)),
        (json!({"iss": "iss"}), Some(TokenError::Audience)),
        (json!({"iss": "iss", "aud": 7}), Some(TokenError::Malformed)),
        (json!({"iss": "x", "aud": "aud"}), Some(TokenError::Issuer)),
        (json!({"aud": "aud"}), Some(TokenError::Issuer)),
    ] {
        let token = token(&payload(&changes));
        assert_eq!(strict.verify(&token, NOW).err(), wanted, "{changes}");
    }
    let unset = Verifier::new(SECRET, Some(""), Some(""));
    assert!(unset.verify(&token(&payload(&json!({"iss": "x", "aud": "y"}))), NOW).is_ok());
}

#[test]
fn subjects() {
    for (sub, wanted) in [
        (json!("é".repeat(127)), None),
        (json!("a".repeat(255)), None),
        (json!("a".repeat(256)), Some(TokenError::Subject)),
        (json!(""), Some(TokenError::Subject)),
        (json!(null), Some(TokenError::Subject)),
        (json!("a\nb"), Some(TokenError::Subject)),
        (json!("a\u{0}"), Some(TokenError::Subject)),
        (json!(7), Some(TokenError::Malformed)),
    ] {
        assert_eq!(verify(&json!({"sub": sub})).err(), wanted, "{sub}");
    }
}

#[test]
fn roles_and_scopes_hold_nothing_that_sql_refuses() {
    for bad in [json!({"roles": ["a\u{0}"]}), json!({"scope": "a\u{0}"})] {
        assert_eq!(verify(&bad), Err(TokenError::Malformed), "{bad}");
    }
}

#[test]
fn roles_are_a_list_or_a_text_at_the_configured_path() {
    let of = |path: &str, changes: Value| {
        let token = token(&payload(&changes));
        verifier().roles_claim(path).verify(&token, NOW).map(|claims| claims.roles.join(","))
    };
    for (path, changes, wanted) in [
        ("roles", json!({"roles": ["a", "b c"]}), Ok("a,b c")),
        ("roles", json!({"roles": " a  b "}), Ok("a,b")),
        ("roles", json!({"roles": []}), Ok("")),
        ("roles", json!({"roles": null}), Ok("")),
        ("roles", json!({}), Ok("")),
        ("groups", json!({"roles": ["admin"]}), Ok("")),
        ("realm_access.roles", json!({"realm_access": {"roles": ["admin"]}}), Ok("admin")),
        ("realm_access.roles", json!({"realm_access.roles": ["admin"]}), Ok("admin")),
        ("https://a.example/roles", json!({"https://a.example/roles": ["b"]}), Ok("b")),
        ("realm_access.roles", json!({"realm_access": ["roles"]}), Ok("")),
        ("a.b.c", json!({"a": {"b": {"c": "x"}}}), Ok("x")),
        ("roles", json!({"roles": 7}), Err(TokenError::Malformed)),
        ("roles", json!({"roles": {"admin": true}}), Err(TokenError::Malformed)),
        ("roles", json!({"roles": ["a", 7]}), Err(TokenError::Malformed)),
        ("roles", json!({"roles": ["a", ["b"]]}), Err(TokenError::Malformed)),
        ("a.b", json!({"a": {"b": ["x\u{0}"]}}), Err(TokenError::Malformed)),
    ] {
        assert_eq!(of(path, changes.clone()), wanted.map(str::to_owned), "{path} {changes}");
    }
}

#[test]
fn a_claim_that_comes_twice_is_refused() {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let body = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"a","sub":"b","exp":{}}}"#, NOW + 60));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("any length");
    mac.update(format!("{header}.{body}").as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    let token = format!("{header}.{body}.{signature}");
    assert_eq!(verifier().verify(&token, NOW), Err(TokenError::Malformed));
}

#[test]
fn a_secret_that_is_too_short_verifies_nothing() {
    for secret in [&b""[..], b"short"] {
        let token = sign(secret, &json!({"alg": "HS256"}), &payload(&json!({})));
        let verifier = Verifier::new(secret, None, None);
        assert_eq!(verifier.verify(&token, NOW), Err(TokenError::Signature));
    }
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?}", Verifier::new(SECRET, Some("iss"), None));
    assert_eq!(shown, r#"Verifier { algorithm: Hs256, issuer: Some("iss"), audience: None, .. }"#);
}

proptest! {
    #[test]
    fn parsing_never_panics(text in ".*", parts in "[A-Za-z0-9_-]*\\.[A-Za-z0-9_-]*\\.[A-Za-z0-9_-]*", now: i64) {
        let _ = verifier().verify(&text, now);
        let _ = verifier().verify(&parts, now);
    }

    #[test]
    fn a_token_with_one_changed_byte_is_refused(at in 0usize..1_000, byte in b'-'..=b'z') {
        let good = token(&payload(&json!({"roles": ["admin"]})));
        let mut bytes = good.clone().into_bytes();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        let changed = String::from_utf8(bytes).expect("ASCII");
        prop_assert!(verifier().verify(&changed, NOW).is_err());
    }

    #[test]
    fn what_was_signed_is_read(sub in "[^\\p{Cc}]{1,60}", roles in prop::collection::vec("[a-z]{0,9}", 0..5)) {
        let claims = verify(&json!({"sub": sub, "roles": roles})).expect("valid");
        prop_assert_eq!(claims, Claims { sub, roles, scope: None });
    }
}
