//! The secrets of one development folder.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::files;
use crate::token::mint_token;

/// An access key of the S3 server. `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Keys {
    /// The half that every request names.
    pub access_key_id: String,
    /// The half that signs.
    pub secret_access_key: String,
}

impl S3Keys {
    /// A new random pair.
    #[must_use]
    pub fn generate() -> Self {
        let id = files::random_hex()[..20].to_uppercase();
        Self { access_key_id: id, secret_access_key: files::random_hex() }
    }

    /// As the signer takes them.
    #[must_use]
    pub fn credentials(&self) -> holdfast_s3::Credentials {
        holdfast_s3::Credentials::new(self.access_key_id.as_str(), self.secret_access_key.as_str())
    }
}

impl fmt::Debug for S3Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Keys").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// What a stack is started with, kept in `keys.json` so that a second start finds its files.
/// `Debug` shows none of it.
#[derive(Clone, Serialize, Deserialize)]
pub struct DevKeys {
    /// Key of the private SeaweedFS.
    pub s3: S3Keys,
    /// Signs and verifies bearer tokens.
    pub jwt_hs256_secret: String,
    /// Authorises `POST /internal/tick`.
    pub tick_secret: String,
    /// Signs URLs of ours.
    #[serde(default)]
    pub url_secret: String,
}

impl DevKeys {
    /// The keys of `data`, made when there are none.
    ///
    /// # Errors
    /// The file cannot be read, understood or written.
    pub fn load_or_create(data: &Path) -> Result<Self> {
        let keys = match read(data)? {
            Some(keys) if !keys.url_secret.is_empty() => return Ok(keys),
            // Of an earlier release.
            Some(keys) => Self { url_secret: files::random_hex(), ..keys },
            None => Self {
                s3: S3Keys::generate(),
                jwt_hs256_secret: files::random_hex(),
                tick_secret: files::random_hex(),
                url_secret: files::random_hex(),
            },
        };
        files::write_private(&data.join("keys.json"), &serde_json::to_string_pretty(&keys)?)?;
        Ok(keys)
    }

    /// The keys of `data`, which an earlier start made.
    ///
    /// # Errors
    /// There are none, or they cannot be read.
    pub fn load(data: &Path) -> Result<Self> {
        match read(data)? {
            Some(keys) => Ok(keys),
            None => bail!("{} has no keys: run `cargo xtask up` first", data.display()),
        }
    }

    /// A token for `sub` that lives `ttl_seconds` (negative: it has expired). `extra` adds claims
    /// or replaces them; a claim of `null` is left out.
    #[must_use]
    pub fn token(&self, sub: &str, ttl_seconds: i64, extra: &Value) -> String {
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let mut claims = Map::from_iter([
            ("sub".to_owned(), json!(sub)),
            ("iat".to_owned(), json!(now)),
            ("exp".to_owned(), json!(now + ttl_seconds)),
        ]);
        claims.extend(extra.as_object().cloned().unwrap_or_default());
        claims.retain(|_, value| !value.is_null());
        mint_token(&self.jwt_hs256_secret, &Value::Object(claims))
    }
}

impl fmt::Debug for DevKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevKeys").finish_non_exhaustive()
    }
}

fn read(data: &Path) -> Result<Option<DevKeys>> {
    let path = data.join("keys.json");
    let Some(text) = files::read_optional(&path)? else {
        return Ok(None);
    };
    let keys = serde_json::from_str(&text)
        .with_context(|| format!("{} is not what this release writes", path.display()))?;
    Ok(Some(keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_finds_the_same_keys() {
        let folder = tempfile::tempdir().unwrap();
        let missing = DevKeys::load(folder.path()).unwrap_err().to_string();
        assert!(missing.contains("run `cargo xtask up` first"), "{missing}");
        let first = DevKeys::load_or_create(folder.path()).unwrap();
        let second = DevKeys::load(folder.path()).unwrap();
        assert_eq!(first.s3, second.s3);
        assert_eq!(first.jwt_hs256_secret, second.jwt_hs256_secret);
        assert_eq!(first.url_secret, second.url_secret);
    }

    #[test]
    fn keys_of_an_earlier_release_get_what_they_lack_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = DevKeys::load_or_create(folder.path()).unwrap();
        let mut earlier = serde_json::to_value(&first).unwrap();
        earlier.as_object_mut().unwrap().remove("url_secret");
        files::write_private(&folder.path().join("keys.json"), &earlier.to_string()).unwrap();
        let second = DevKeys::load_or_create(folder.path()).unwrap();
        assert_eq!(second.tick_secret, first.tick_secret);
        assert_eq!(second.url_secret.len(), first.url_secret.len());
        assert_eq!(DevKeys::load(folder.path()).unwrap().url_secret, second.url_secret);
    }

    #[test]
    fn debug_shows_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let keys = DevKeys::load_or_create(folder.path()).unwrap();
        let shown = format!("{keys:?} {:?}", keys.s3);
        for secret in [
            &keys.s3.secret_access_key,
            &keys.jwt_hs256_secret,
            &keys.tick_secret,
            &keys.url_secret,
        ] {
            assert!(!shown.contains(secret.as_str()), "{shown}");
        }
    }
}
