//! Who asks: a token by the issuer's keys, an API key by the database.

use std::time::Instant;

use holdfast_core::config::{JwtKeys, Tokens};
use holdfast_core::error::Error;
use holdfast_core::ports::Caller;
use holdfast_core::principal::Principal;
use holdfast_web::api_key::ApiKey;
use holdfast_web::bearer::{self, Credential};
use holdfast_web::jwt::{TokenError, Verifier};
use http::HeaderMap;
use time::OffsetDateTime;

use crate::api_keys;
use crate::kept::Kept;
use crate::public_keys::PublicKeys;

/// How this instance knows its callers.
pub struct Identity {
    verifier: Verifier,
    /// `None` for HS256.
    public_keys: Option<PublicKeys>,
    keys: Kept<ApiKey, Principal>,
}

impl Identity {
    /// By the configuration; nothing is fetched yet.
    #[must_use]
    pub fn new(tokens: &Tokens) -> Self {
        let (issuer, audience) = (tokens.issuer.as_deref(), tokens.audience.as_deref());
        let (verifier, public_keys) = match &tokens.keys {
            JwtKeys::Secret(secret) => (Verifier::new(secret.as_bytes(), issuer, audience), None),
            JwtKeys::Url { algorithm, jwks_url } => (
                Verifier::with_public_keys(*algorithm, issuer, audience),
                Some(PublicKeys::new(jwks_url, *algorithm)),
            ),
        };
        let verifier = verifier.roles_claim(&tokens.roles_claim);
        Self { verifier, public_keys, keys: Kept::default() }
    }

    /// The principal of a request; anonymous without a credential. `caller` is for the audit log.
    ///
    /// # Errors
    /// * [`holdfast_core::error::Code::InvalidToken`], [`holdfast_core::error::Code::ExpiredToken`]: a
    ///   credential that is not good is never taken for none.
    /// * [`holdfast_core::error::Code::ServiceUnavailable`]: the issuer's keys or the database are not there.
    pub async fn principal(
        &self,
        headers: &HeaderMap,
        caller: &Caller,
        database_url: &str,
    ) -> Result<Principal, Error> {
        match bearer::credential(headers)? {
            Credential::None => Ok(Principal::anonymous()),
            Credential::Token(token) => self.of_token(token).await,
            Credential::ApiKey(key) => {
                if let Some(principal) = self.keys.get(&key) {
                    return Ok(principal);
                }
                let since = Instant::now();
                let principal = api_keys::authenticate(database_url, &key, caller).await?;
                self.keys.keep(key, since, principal.clone());
                Ok(principal)
            }
        }
    }

    async fn of_token(&self, token: &str) -> Result<Principal, Error> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let verified = match &self.public_keys {
            None => self.verifier.verify(token, now),
            Some(source) => {
                // What no key can help is refused before one is fetched for it.
                self.verifier.check(token).map_err(bearer::refusal)?;
                let keys = source.get().await?;
                match self.verifier.verify_with(&keys, token, now) {
                    Err(TokenError::UnknownKey) => match source.newer_than(&keys).await? {
                        Some(newer) => self.verifier.verify_with(&newer, token, now),
                        None => Err(TokenError::UnknownKey),
                    },
                    verified => verified,
                }
            }
        };
        verified.map(bearer::principal).map_err(bearer::refusal)
    }
}
