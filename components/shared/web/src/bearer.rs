//! The Authorization header, or `x-api-key`: who asks.
//!
//! Spec: RFC 6750 (bearer tokens), RFC 9110, section 11.

use holdfast_core::error::{Code, Error};
use holdfast_core::principal::Principal;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::api_key::ApiKey;
use crate::header;
use crate::jwt::{Claims, TokenError};

/// Carries an API key for clients whose Authorization header is taken.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What a request says of who asks; nothing of it is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    /// Nothing: anybody.
    None,
    /// A JSON Web Token, or what is sent for one.
    Token(&'a str),
    /// An API key, well formed.
    ApiKey(ApiKey),
}

/// The credential of a request.
///
/// # Errors
/// [`Code::InvalidToken`]: a header that holds no credential, or both headers. It is never taken for
/// anonymous, or a client's mistake would show as a missing file.
pub fn credential(headers: &HeaderMap) -> Result<Credential<'_>, Error> {
    let refuse = |message| Error::new(Code::InvalidToken, message);
    let sent = header::single(headers, &X_API_KEY)
        .map_err(|_| refuse("The header x-api-key is one API key"))?;
    match (token(headers)?, sent) {
        (Some(_), Some(_)) => Err(refuse("Send authorization or x-api-key, not both")),
        (None, None) => Ok(Credential::None),
        (Some(token), None) if !ApiKey::looks_like(token) => Ok(Credential::Token(token)),
        (Some(key), None) | (None, Some(key)) => {
            ApiKey::parse(key).map(Credential::ApiKey).ok_or_else(|| {
                refuse("The API key is not well formed; it is `hf_`, an id, and a secret")
            })
        }
    }
}

/// The token of the Authorization header, or `None` if there is no such header.
///
/// # Errors
/// [`Code::InvalidToken`]: a header that holds no bearer token. It is never taken for anonymous, or
/// a client's mistake would show as a missing file.
pub fn token(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let refuse =
        || Error::new(Code::InvalidToken, "The header authorization is one `Bearer` and a token");
    let Some(value) = header::single(headers, &AUTHORIZATION).map_err(|_| refuse())? else {
        return Ok(None);
    };
    let (scheme, token) = value.split_once(' ').ok_or_else(refuse)?;
    let token = token.trim_start_matches(' ');
    // Never empty: the value has no space at its end.
    if !scheme.eq_ignore_ascii_case("bearer") || token.contains([' ', '\t', ',']) {
        return Err(refuse());
    }
    Ok(Some(token))
}

/// The WWW-Authenticate of an error: every 401 must carry one.
#[must_use]
pub fn challenge(code: Code) -> Option<HeaderValue> {
    let challenge = match code {
        Code::MissingAuthentication => r#"Bearer realm="holdfast""#,
        Code::InvalidToken => r#"Bearer realm="holdfast", error="invalid_token""#,
        Code::ExpiredToken => {
            r#"Bearer realm="holdfast", error="invalid_token", error_description="The token has expired""#
        }
        _ => return None,
    };
    Some(HeaderValue::from_static(challenge))
}

/// The principal that a token names.
#[must_use]
pub fn principal(claims: Claims) -> Principal {
    let scopes = claims.scope.map(|scope| scope.split_whitespace().map(str::to_owned).collect());
    Principal { sub: claims.sub, roles: claims.roles, scopes }
}

/// The error of a token that does not verify.
#[must_use]
pub fn refusal(error: TokenError) -> Error {
    let code = match error {
        TokenError::Expired => Code::ExpiredToken,
        TokenError::TooLong
        | TokenError::Malformed
        | TokenError::Algorithm
        | TokenError::UnknownKey
        | TokenError::Signature
        | TokenError::NoExpiry
        | TokenError::NotYetValid
        | TokenError::Issuer
        | TokenError::Audience
        | TokenError::Subject => Code::InvalidToken,
    };
    Error::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jwt::Verifier;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    /// `{"alg":"HS256"}`, `{"sub":"alice","exp":1000,"roles":["admin"],"scope":"upload  download"}`.
    const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImV4cCI6MTAwMCwicm9sZXMiOlsiYWRtaW4iXSwic2NvcGUiOiJ1cGxvYWQgIGRvd25sb2FkIn0.Kao09VSOCxJ3HbTH5ztNjhKbYiKdTSNxOtU7VF8zbUM";

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).expect("a value"));
        }
        headers
    }

    fn ask(value: &str, now_unix: i64) -> Result<Principal, Error> {
        let verifier = Verifier::new(SECRET, None, None);
        match credential(&headers(&[value.as_bytes()]))? {
            Credential::None => Ok(Principal::anonymous()),
            Credential::Token(token) => {
                verifier.verify(token, now_unix).map(principal).map_err(refusal)
            }
            Credential::ApiKey(key) => panic!("{key:?}"),
        }
    }

    #[test]
    fn no_header_is_anonymous() {
        assert_eq!(credential(&HeaderMap::new()).expect("none"), Credential::None);
    }

    #[test]
    fn a_token_names_its_principal() {
        for scheme in ["Bearer", "bearer", "BEARER", "Bearer "] {
            let principal = ask(&format!("{scheme} {TOKEN}"), 999).expect(scheme);
            assert_eq!(principal.sub, "alice");
            assert_eq!(principal.roles, ["admin"]);
            assert_eq!(principal.scopes, Some(vec!["upload".to_owned(), "download".to_owned()]));
        }
    }

    #[test]
    fn a_token_that_does_not_verify_is_no_anonymous_caller() {
        let expired = ask(&format!("Bearer {TOKEN}"), 1000).expect_err("expired");
        assert_eq!(expired.code, Code::ExpiredToken);
        let forged = ask(&format!("Bearer {TOKEN}x"), 999).expect_err("forged");
        assert_eq!(forged.code, Code::InvalidToken);
    }

    #[test]
    fn a_malformed_header_is_no_anonymous_caller() {
        for value in
            ["", "Bearer", "Bearer ", "Basic YTpi", TOKEN, "Bearer a b", "Bearer a, Bearer b"]
        {
            assert_eq!(ask(value, 0).expect_err(value).code, Code::InvalidToken, "{value}");
        }
        let twice = headers(&[b"Bearer a", b"Bearer a"]);
        assert_eq!(token(&twice).expect_err("twice").code, Code::InvalidToken);
        let bytes = headers(&[b"Bearer \xff"]);
        assert_eq!(token(&bytes).expect_err("bytes").code, Code::InvalidToken);
    }

    #[test]
    fn an_api_key_comes_by_either_header_and_not_by_both() {
        let (text, key) = ApiKey::generate([7; 16], [9; 32]);
        let bearer = format!("Bearer {text}");
        assert_eq!(credential(&headers(&[bearer.as_bytes()])).ok(), Some(Credential::ApiKey(key)));
        let value = HeaderValue::from_str(&text).expect("a value");
        let mut own = HeaderMap::from_iter([(X_API_KEY, value.clone())]);
        assert_eq!(credential(&own).ok(), Some(Credential::ApiKey(key)));
        own.insert(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        assert_eq!(credential(&own).expect_err("both").code, Code::InvalidToken);
        let mut twice = HeaderMap::from_iter([(X_API_KEY, value.clone())]);
        twice.append(X_API_KEY, value);
        assert_eq!(credential(&twice).expect_err("twice").code, Code::InvalidToken);
        for bad in ["", "hf_", &text[..text.len() - 1], "hf_a_b", TOKEN] {
            let value = HeaderValue::from_str(bad).expect("a value");
            let own = HeaderMap::from_iter([(X_API_KEY, value)]);
            assert_eq!(credential(&own).expect_err(bad).code, Code::InvalidToken);
        }
    }

    #[test]
    fn the_refusal_shows_nothing_of_the_token() {
        let error = ask("Bearer hunter2", 0).expect_err("malformed");
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn an_empty_scope_is_no_scope_at_all() {
        let claims = Claims { sub: "a".to_owned(), roles: vec![], scope: Some(String::new()) };
        assert_eq!(principal(claims).scopes, Some(vec![]));
    }

    proptest! {
        #[test]
        fn any_header_is_a_token_or_refused(value: Vec<u8>, tail in "[!-~ ]*") {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let _ = token(&HeaderMap::from_iter([(AUTHORIZATION, value)]));
            }
            let value = format!("Bearer {tail}");
            if let Ok(Some(token)) = token(&headers(&[value.as_bytes()])) {
                prop_assert_eq!(token, tail.trim());
            }
        }
    }
}
