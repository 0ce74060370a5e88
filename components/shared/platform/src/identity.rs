//! Who asks: a token by the issuer's keys, an API key by the database.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use holdfast_core::config::{Config, JwtKeys};
use holdfast_core::error::Error;
use holdfast_core::ports::Caller;
use holdfast_core::principal::Principal;
use holdfast_web::api_key::ApiKey;
use holdfast_web::bearer::{self, Credential};
use holdfast_web::jwt::{TokenError, Verifier};
use http::HeaderMap;
use time::OffsetDateTime;

use crate::api_keys;
use crate::public_keys::PublicKeys;

/// How long the answer to an API key may be kept: DESIGN, section 5, allows it for a permission.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// The most answers that one instance keeps.
const MAX_KEPT: usize = 256;

/// How this instance knows its callers.
pub struct Identity {
    verifier: Verifier,
    /// `None` for HS256.
    public_keys: Option<PublicKeys>,
    kept: RefCell<BTreeMap<ApiKey, (Instant, Principal)>>,
}

impl Identity {
    /// By the configuration; nothing is fetched yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let (issuer, audience) = (config.jwt_issuer.as_deref(), config.jwt_audience.as_deref());
        let (verifier, public_keys) = match &config.jwt_keys {
            JwtKeys::Secret(secret) => (Verifier::new(secret.as_bytes(), issuer, audience), None),
            JwtKeys::Url { algorithm, jwks_url } => (
                Verifier::with_public_keys(*algorithm, issuer, audience),
                Some(PublicKeys::new(jwks_url, *algorithm)),
            ),
        };
        let verifier = verifier.roles_claim(&config.jwt_roles_claim);
        Self { verifier, public_keys, kept: RefCell::default() }
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
                if let Some(principal) = self.kept(&key) {
                    return Ok(principal);
                }
                let principal = api_keys::authenticate(database_url, &key, caller).await?;
                self.keep(key, principal.clone());
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
                    Err(TokenError::UnknownKey) => match source.newer_than(&keys).await {
                        Some(newer) => self.verifier.verify_with(&newer, token, now),
                        None => Err(TokenError::UnknownKey),
                    },
                    verified => verified,
                }
            }
        };
        verified.map(bearer::principal).map_err(bearer::refusal)
    }

    fn kept(&self, key: &ApiKey) -> Option<Principal> {
        let kept = self.kept.borrow();
        let (since, principal) = kept.get(key)?;
        (since.elapsed() < KEPT_FOR).then(|| principal.clone())
    }

    fn keep(&self, key: ApiKey, principal: Principal) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= MAX_KEPT {
            kept.retain(|_, (since, _)| since.elapsed() < KEPT_FOR);
        }
        if kept.len() < MAX_KEPT {
            kept.insert(key, (Instant::now(), principal));
        }
    }
}
