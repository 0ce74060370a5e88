//! Who asks.

use crate::error::{Code, Error};

/// A principal, as its token says. SQL decides what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The subject; empty for an anonymous caller.
    pub sub: String,
    /// Roles, from the token's `roles` claim.
    pub roles: Vec<String>,
    /// Scopes that restrict the token; `None` means unrestricted.
    pub scopes: Option<Vec<String>>,
}

impl Principal {
    /// Nobody in particular.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { sub: String::new(), roles: Vec::new(), scopes: None }
    }

    /// Refuses an anonymous caller with this message.
    ///
    /// # Errors
    /// [`Code::MissingAuthentication`].
    pub fn require(&self, message: &str) -> Result<(), Error> {
        if self.is_anonymous() {
            return Err(Error::new(Code::MissingAuthentication, message));
        }
        Ok(())
    }

    /// Whether a token named this principal.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.sub.is_empty()
    }
}
