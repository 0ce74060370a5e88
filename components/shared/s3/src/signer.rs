use std::{borrow::Cow, fmt, time::Duration};

use time::OffsetDateTime;

use crate::{
    Action, Credentials, Endpoint, PresignError, SignedRequest, SigningKey, sigv4::utc_date,
};

/// Signs many requests: the key is derived once, for the day on which the signer was made.
///
/// On another day each request derives its own key, which is correct and a few microseconds slower;
/// whoever lives that long makes a new signer.
#[derive(Clone)]
pub struct Signer {
    endpoint: Endpoint,
    credentials: Credentials,
    key: SigningKey,
}

impl Signer {
    /// Derives the key for the UTC day of `at`.
    pub fn new(endpoint: Endpoint, credentials: Credentials, at: OffsetDateTime) -> Self {
        let key = derive(&endpoint, &credentials, at);
        Self { endpoint, credentials, key }
    }

    /// Where the signed requests go.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The same as [`Action::sign`].
    pub fn sign(&self, action: &impl Action, at: OffsetDateTime) -> SignedRequest {
        let access_key_id = self.credentials.access_key_id();
        action.request().sign(&self.endpoint, access_key_id, &self.key(at), at)
    }

    /// The same as [`Action::presign`].
    ///
    /// # Errors
    /// [`PresignError::Expires`]: not 1 second to 7 days.
    pub fn presign(
        &self,
        action: &impl Action,
        at: OffsetDateTime,
        expires: Duration,
    ) -> Result<String, PresignError> {
        let access_key_id = self.credentials.access_key_id();
        action.request().presign(&self.endpoint, access_key_id, &self.key(at), at, expires)
    }

    fn key(&self, at: OffsetDateTime) -> Cow<'_, SigningKey> {
        if self.key.date() == utc_date(at) {
            Cow::Borrowed(&self.key)
        } else {
            Cow::Owned(derive(&self.endpoint, &self.credentials, at))
        }
    }
}

/// The key that signs at `at`.
pub(crate) fn derive(
    endpoint: &Endpoint,
    credentials: &Credentials,
    at: OffsetDateTime,
) -> SigningKey {
    SigningKey::derive(credentials.secret_access_key(), utc_date(at), endpoint.region())
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("endpoint", &self.endpoint)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::GetObject;

    #[test]
    fn signs_as_the_action_does_before_and_after_midnight() {
        let endpoint = Endpoint::parse("http://127.0.0.1:8333", "us-east-1").unwrap();
        let credentials = Credentials::new("id", "secret");
        let made = datetime!(2026-11-24 23:59:59 UTC);
        let signer = Signer::new(endpoint.clone(), credentials.clone(), made);
        let action = GetObject { bucket: "b", key: "k", ..GetObject::default() };
        let expires = Duration::from_secs(60);
        // The last one is the next day in UTC and the same day where it was written.
        for at in [made, made + Duration::from_secs(1), datetime!(2026-11-24 22:00 -3)] {
            assert_eq!(signer.sign(&action, at), action.sign(&endpoint, &credentials, at));
            assert_eq!(
                signer.presign(&action, at, expires),
                action.presign(&endpoint, &credentials, at, expires)
            );
        }
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let endpoint = Endpoint::parse("http://127.0.0.1:8333", "us-east-1").unwrap();
        let at = datetime!(2026-11-24 0:00 UTC);
        let signer = Signer::new(endpoint, Credentials::new("id", "wJalrXUtnFEMI"), at);
        assert!(!format!("{signer:?} {:?}", signer.key).contains("wJalr"));
    }
}
