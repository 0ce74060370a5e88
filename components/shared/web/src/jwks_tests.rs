use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::Signer as _;
use proptest::prelude::*;
use serde_json::json;
use sha2::Sha256;

use super::*;
use crate::jwt::{TokenError, Verifier};

const NOW: i64 = 1_300_819_379;
const ALGORITHMS: [JwtAlgorithm; 3] =
    [JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa];

/// RFC 7515, appendix A.2 and A.3: the same claims, which have no subject.
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const EC_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const EC_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const EC_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
/// RFC 8037, appendix A.2 and A.4; its payload is no JSON.
const ED_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const ED_TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

fn rsa_jwk() -> Value {
    json!({"kty": "RSA", "n": RSA_N, "e": "AQAB", "kid": "r"})
}

fn ec_jwk() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": EC_X, "y": EC_Y, "kid": "e"})
}

fn ed_jwk() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": ED_X, "kid": "o"})
}

fn jwk(algorithm: JwtAlgorithm) -> Value {
    match algorithm {
        JwtAlgorithm::Rs256 => rsa_jwk(),
        JwtAlgorithm::Es256 => ec_jwk(),
        JwtAlgorithm::EdDsa => ed_jwk(),
        JwtAlgorithm::Hs256 => unreachable!("no public key"),
    }
}

fn set(keys: &[Value], algorithm: JwtAlgorithm) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), algorithm)
}

fn only(algorithm: JwtAlgorithm) -> KeySet {
    set(&[jwk(algorithm)], algorithm).expect("usable")
}

fn verifier(algorithm: JwtAlgorithm) -> Verifier {
    Verifier::with_public_keys(algorithm, None, None)
}

/// A token with any header, signed by `sign`.
fn token(header: &Value, payload: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn alice() -> Value {
    json!({"sub": "alice", "exp": NOW + 60})
}

fn ec_key(seed: u8) -> (p256::ecdsa::SigningKey, Value) {
    let key = p256::ecdsa::SigningKey::from_slice(&[seed; 32]).expect("a scalar");
    let point = key.verifying_key().to_sec1_point(false);
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": part(x), "y": part(y), "kid": "k"});
    (key, jwk)
}

fn es256(key: &p256::ecdsa::SigningKey, signed: &[u8]) -> Vec<u8> {
    let signature: p256::ecdsa::Signature = key.sign(signed);
    signature.to_bytes().to_vec()
}

#[test]
fn the_examples_of_rfc_7515_appendix_a_2_and_a_3() {
    for (algorithm, token) in [(JwtAlgorithm::Rs256, RSA_TOKEN), (JwtAlgorithm::Es256, EC_TOKEN)] {
        let verify =
            |token: &str, now| verifier(algorithm).verify_with(&only(algorithm), token, now);
        // The signature and the times are right; the examples have no subject.
        assert_eq!(verify(token, NOW), Err(TokenError::Subject));
        assert_eq!(verify(token, NOW + 1), Err(TokenError::Expired));
        let other = token.replacen("eyJpc3MiOiJqb2UiLA0K", "eyJpc3MiOiJqb2YiLA0K", 1);
        assert_ne!(other, token);
        assert_eq!(verify(&other, NOW), Err(TokenError::UnknownKey));
    }
}

#[test]
fn the_example_of_rfc_8037_appendix_a_4() {
    let x = URL_SAFE_NO_PAD.decode(ED_X).expect("base64");
    let key = PublicKey::ed25519(&x).expect("a key");
    let (signed, signature) = ED_TOKEN.rsplit_once('.').expect("parts");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    assert!(key.verifies(signed.as_bytes(), &signature));
    assert!(!key.verifies(&signed.as_bytes()[1..], &signature));
}

#[test]
fn a_signature_is_whole_and_in_its_one_form() {
    for (algorithm, token) in [
        (JwtAlgorithm::Rs256, RSA_TOKEN),
        (JwtAlgorithm::Es256, EC_TOKEN),
        (JwtAlgorithm::EdDsa, ED_TOKEN),
    ] {
        let (signed, signature) = token.rsplit_once('.').expect("parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        let (first, last) = (&signature[..signature.len() - 1], &signature[1..]);
        let mut bad = vec![vec![], first.to_vec(), last.to_vec(), [&signature[..], &[0]].concat()];
        bad.push([&[0][..], &signature[..]].concat());
        bad.push(vec![0; signature.len()]);
        bad.push(vec![0xff; signature.len()]);
        for bad in bad {
            let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&bad));
            let answer = verifier(algorithm).verify_with(&only(algorithm), &forged, NOW);
            assert_eq!(answer, Err(TokenError::UnknownKey), "{algorithm:?} {bad:02x?}");
        }
    }
}

#[test]
fn es256_in_der_is_refused() {
    let (key, jwk) = ec_key(7);
    let keys = set(&[jwk], JwtAlgorithm::Es256).expect("usable");
    let header = json!({"alg": "ES256", "kid": "k"});
    let good = token(&header, &alice(), |signed| es256(&key, signed));
    let verifier = verifier(JwtAlgorithm::Es256);
    assert_eq!(verifier.verify_with(&keys, &good, NOW).expect("valid").sub, "alice");
    let der = token(&header, &alice(), |signed| der_of(&es256(&key, signed)));
    assert_eq!(verifier.verify_with(&keys, &der, NOW), Err(TokenError::Signature));
}

/// SEQUENCE of two INTEGERs, as OpenSSL writes it.
fn der_of(signature: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
        let pad: &[u8] = if bytes[start] >= 0x80 { &[0] } else { &[] };
        let body = [pad, &bytes[start..]].concat();
        [&[2, u8::try_from(body.len()).expect("short")][..], &body].concat()
    };
    let (r, s) = signature.split_at(32);
    let body = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(body.len()).expect("short")][..], &body].concat()
}

#[test]
fn a_token_that_names_another_algorithm_is_refused_whatever_signed_it() {
    // The public key as the secret of an HMAC, in each form that an attacker has it.
    let modulus = URL_SAFE_NO_PAD.decode(RSA_N).expect("base64");
    for secret in [RSA_N.as_bytes(), &modulus, rsa_jwk().to_string().as_bytes()] {
        let forged = token(&json!({"alg": "HS256", "kid": "r"}), &alice(), |signed| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
            mac.update(signed);
            mac.finalize().into_bytes().to_vec()
        });
        for algorithm in ALGORITHMS {
            let answer = verifier(algorithm).verify_with(&only(algorithm), &forged, NOW);
            assert_eq!(answer, Err(TokenError::Algorithm), "{algorithm:?}");
        }
        let relabelled = forged.replacen(
            &URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": "r"}).to_string()),
            &URL_SAFE_NO_PAD.encode(json!({"alg": "RS256", "kid": "r"}).to_string()),
            1,
        );
        let answer =
            verifier(JwtAlgorithm::Rs256).verify_with(&only(JwtAlgorithm::Rs256), &relabelled, NOW);
        assert_eq!(answer, Err(TokenError::Signature));
    }
    for alg in ["none", "None", "", "HS256", "RS512", "PS256", "ES384", "Ed25519", "eddsa"] {
        let unsigned = token(&json!({"alg": alg}), &alice(), |_| vec![]);
        for algorithm in ALGORITHMS {
            let answer = verifier(algorithm).verify_with(&only(algorithm), &unsigned, NOW);
            assert_eq!(answer, Err(TokenError::Algorithm), "{algorithm:?} {alg}");
        }
    }
    for (algorithm, token) in [
        (JwtAlgorithm::Rs256, EC_TOKEN),
        (JwtAlgorithm::Es256, ED_TOKEN),
        (JwtAlgorithm::EdDsa, RSA_TOKEN),
    ] {
        let answer = verifier(algorithm).verify_with(&only(algorithm), token, NOW);
        assert_eq!(answer, Err(TokenError::Algorithm));
    }
    let hs256 = Verifier::new(&[7; 32], None, None);
    assert_eq!(
        hs256.verify_with(&only(JwtAlgorithm::Rs256), RSA_TOKEN, NOW),
        Err(TokenError::Algorithm)
    );
}

#[test]
fn a_key_of_another_type_or_use_is_skipped() {
    for algorithm in ALGORITHMS {
        for other in ALGORITHMS.into_iter().filter(|other| *other != algorithm) {
            assert_eq!(set(&[jwk(other)], algorithm).err(), Some(KeySetError::Empty));
            let keys = set(&[json!(7), json!({}), jwk(other), jwk(algorithm)], algorithm);
            assert_eq!(keys.expect("one").keys.len(), 1);
        }
        assert_eq!(set(&[jwk(algorithm)], JwtAlgorithm::Hs256).err(), Some(KeySetError::Empty));
        let oct = json!({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"});
        for any in ALGORITHMS.into_iter().chain([JwtAlgorithm::Hs256]) {
            assert_eq!(set(std::slice::from_ref(&oct), any).err(), Some(KeySetError::Empty));
        }
        for (change, usable) in [
            (json!({"use": "sig"}), true),
            (json!({"use": "enc"}), false),
            (json!({"key_ops": ["verify"]}), true),
            (json!({"key_ops": ["sign"]}), false),
            (json!({"key_ops": []}), false),
            (json!({"key_ops": "verify"}), false),
            (json!({"alg": algorithm.as_str()}), true),
            (json!({"alg": "RS512"}), false),
            (json!({"alg": "none"}), false),
            (json!({"kid": "k".repeat(256)}), true),
            (json!({"kid": "k".repeat(257)}), false),
            (json!({"kid": 7}), false),
            (json!({"x5c": ["ignored"], "d": "ignored"}), true),
        ] {
            let mut key = jwk(algorithm);
            key.as_object_mut()
                .expect("an object")
                .extend(change.as_object().expect("one").clone());
            assert_eq!(set(&[key], algorithm).is_ok(), usable, "{algorithm:?} {change}");
        }
    }
    let renamed = json!({"kty": "OKP", "crv": "Ed25519", "x": ED_X, "alg": "Ed25519"});
    assert!(set(&[renamed], JwtAlgorithm::EdDsa).is_ok());
}

#[test]
fn a_key_that_is_weak_or_none_is_skipped() {
    let of = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let modulus = URL_SAFE_NO_PAD.decode(RSA_N).expect("base64");
    for n in [&modulus[..128], &modulus[..255], &[][..], &[0; 256], &[0xff; 513]] {
        let key = json!({"kty": "RSA", "n": of(n), "e": "AQAB"});
        assert!(set(&[key], JwtAlgorithm::Rs256).is_err(), "{} bytes", n.len());
    }
    for e in [&[][..], &[0], &[1], &[1, 0, 0], &[0xff; 8], &[1; 9]] {
        let key = json!({"kty": "RSA", "n": RSA_N, "e": of(e)});
        assert!(set(&[key], JwtAlgorithm::Rs256).is_err(), "{e:?}");
    }
    for (crv, x, y) in [
        ("P-384", EC_X, EC_Y),
        ("secp256k1", EC_X, EC_Y),
        ("Ed25519", EC_X, EC_Y),
        // No point of the curve; short; padded base64.
        ("P-256", EC_Y, EC_X),
        ("P-256", EC_X, "AAAA"),
        ("P-256", EC_X, "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0="),
    ] {
        let key = json!({"kty": "EC", "crv": crv, "x": x, "y": y});
        assert!(set(&[key], JwtAlgorithm::Es256).is_err(), "{crv} {x} {y}");
    }
    let low_order = of(&[0; 32]);
    for (crv, x) in
        [("Ed448", ED_X), ("X25519", ED_X), ("Ed25519", &low_order), ("Ed25519", "AAAA")]
    {
        let key = json!({"kty": "OKP", "crv": crv, "x": x});
        assert!(set(&[key], JwtAlgorithm::EdDsa).is_err(), "{crv} {x}");
    }
}

#[test]
fn the_kid_chooses_the_key() {
    let ((one, jwk_one), (two, jwk_two)) = (ec_key(1), ec_key(2));
    let named = |jwk: &Value, kid: Value| {
        let mut jwk = jwk.clone();
        jwk["kid"] = kid;
        jwk
    };
    let by = |key: &p256::ecdsa::SigningKey, kid: Value| {
        token(&json!({"alg": "ES256", "kid": kid}), &alice(), |signed| es256(key, signed))
    };
    let ask = |keys: &[Value], token: &str| {
        let keys = set(keys, JwtAlgorithm::Es256).expect("usable");
        verifier(JwtAlgorithm::Es256).verify_with(&keys, token, NOW).map(|claims| claims.sub)
    };
    let both = [named(&jwk_one, json!("1")), named(&jwk_two, json!("2"))];
    assert_eq!(ask(&both, &by(&one, json!("1"))).as_deref(), Ok("alice"));
    assert_eq!(ask(&both, &by(&two, json!("2"))).as_deref(), Ok("alice"));
    assert_eq!(ask(&both, &by(&two, json!("1"))), Err(TokenError::Signature));
    assert_eq!(ask(&both, &by(&one, json!("3"))), Err(TokenError::UnknownKey));
    assert_eq!(ask(&both, &by(&one, json!(null))), Err(TokenError::UnknownKey));
    assert_eq!(ask(&both[..1], &by(&one, json!(null))).as_deref(), Ok("alice"));
    // The kid of a key of another type is the kid of none.
    let mixed = [named(&rsa_jwk(), json!("1")), named(&jwk_two, json!("2"))];
    assert_eq!(ask(&mixed, &by(&two, json!("1"))), Err(TokenError::UnknownKey));
    // Twice the same: either may have signed, and nobody else.
    let twins = [named(&jwk_one, json!("1")), named(&jwk_two, json!("1"))];
    assert_eq!(ask(&twins, &by(&two, json!("1"))).as_deref(), Ok("alice"));
    assert_eq!(ask(&twins, &by(&ec_key(3).0, json!("1"))), Err(TokenError::Signature));
    assert_eq!(ask(&both, &by(&one, json!(7))), Err(TokenError::Malformed));
}

#[test]
fn eddsa_verifies_what_was_signed() {
    use ed25519_dalek::Signer as _;
    let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
    let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
    let keys = set(&[json!({"kty": "OKP", "crv": "Ed25519", "x": x})], JwtAlgorithm::EdDsa);
    let good = token(&json!({"alg": "EdDSA"}), &alice(), |s| key.sign(s).to_bytes().to_vec());
    let claims = verifier(JwtAlgorithm::EdDsa).verify_with(&keys.expect("usable"), &good, NOW);
    assert_eq!(claims.expect("valid").sub, "alice");
    let other = verifier(JwtAlgorithm::EdDsa).verify_with(&only(JwtAlgorithm::EdDsa), &good, NOW);
    assert_eq!(other, Err(TokenError::UnknownKey));
}

#[test]
fn a_document_is_bounded() {
    let twin = jwk(JwtAlgorithm::EdDsa);
    let keys = set(&vec![twin; MAX_KEYS + 1], JwtAlgorithm::EdDsa).expect("usable");
    assert_eq!(keys.keys.len(), MAX_KEYS);
    let mut long = json!({ "keys": [ed_jwk()] }).to_string();
    long.push_str(&" ".repeat(MAX_DOCUMENT_BYTES));
    assert_eq!(
        KeySet::parse(long.as_bytes(), JwtAlgorithm::EdDsa).err(),
        Some(KeySetError::TooLong)
    );
    for bad in ["", "[]", "{}", "[[]]", r#"{"keys": {}}"#, r#"{"keys": []"#, "<html>", "null"] {
        let answer = KeySet::parse(bad.as_bytes(), JwtAlgorithm::EdDsa).err();
        assert_eq!(answer, Some(KeySetError::Malformed), "{bad}");
    }
    assert_eq!(set(&[], JwtAlgorithm::EdDsa).err(), Some(KeySetError::Empty));
}

proptest! {
    #[test]
    fn any_document_is_a_set_or_refused(bytes: Vec<u8>, n in "[A-Za-z0-9_-]{0,700}", e in "[A-Za-z0-9_-]{0,20}", x in "[A-Za-z0-9_-]{40,44}", y in "[A-Za-z0-9_-]{40,44}") {
        for algorithm in ALGORITHMS {
            let _ = KeySet::parse(&bytes, algorithm);
            let _ = set(&[
                json!({"kty": "RSA", "n": n, "e": e}),
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}),
                json!({"kty": "OKP", "crv": "Ed25519", "x": x}),
            ], algorithm);
        }
    }

    #[test]
    fn a_changed_byte_is_another_signature(at in 0usize..64, bit in 0u8..8) {
        let (signed, signature) = EC_TOKEN.rsplit_once('.').expect("parts");
        let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        signature[at] ^= 1 << bit;
        let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&signature));
        let answer = verifier(JwtAlgorithm::Es256).verify_with(&only(JwtAlgorithm::Es256), &forged, NOW);
        prop_assert_eq!(answer, Err(TokenError::UnknownKey));
    }
}
