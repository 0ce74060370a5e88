//! Configuration, validated in one step; a mistake names its variable.

use std::fmt;
use std::time::Duration;

use http::uri::{Authority, Uri};

use crate::limits::{MIN_SECRET_BYTES, ORPHAN_AGE_SECONDS};

/// The variables that components read, as `spin.toml` names them. Each component is given those that it needs.
pub const VARIABLES: [&str; 18] = [
    "database_url",
    "s3_endpoint",
    "s3_public_endpoint",
    "s3_region",
    "s3_access_key_id",
    "s3_secret_access_key",
    "jwt_algorithm",
    "jwt_hs256_secret",
    "jwt_jwks_url",
    "jwt_issuer",
    "jwt_audience",
    "jwt_roles_claim",
    "public_url",
    "tick_secret",
    "url_secret",
    "trusted_proxies",
    "cors_origins",
    "orphan_age_seconds",
];

/// Of which a component is given all or none.
const S3_VARIABLES: [&str; 3] = ["s3_endpoint", "s3_access_key_id", "s3_secret_access_key"];

/// Of which a component that takes tokens is given at least one.
const TOKEN_VARIABLES: [&str; 3] = ["jwt_algorithm", "jwt_hs256_secret", "jwt_jwks_url"];

/// The claim that holds the roles, unless the variable says another.
pub const DEFAULT_ROLES_CLAIM: &str = "roles";

/// The algorithms that tokens may be signed with. One of them is configured, and no other is taken.
///
/// Spec: RFC 7518, section 3.1; RFC 8037, section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256, and a secret that both sides know.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl JwtAlgorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// The `alg` of a token's header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// What bearer tokens are verified with.
#[derive(Clone, PartialEq, Eq)]
pub enum JwtKeys {
    /// The secret of [`JwtAlgorithm::Hs256`].
    Secret(String),
    /// Where the public keys of an algorithm are published (RFC 7517).
    Url {
        /// Any but [`JwtAlgorithm::Hs256`].
        algorithm: JwtAlgorithm,
        /// An `http` or `https` URL.
        jwks_url: String,
    },
}

/// How SeaweedFS is called.
#[derive(Clone)]
pub struct S3Access {
    /// Where: scheme, host and port.
    pub endpoint: String,
    /// Where clients reach it, if they do; the endpoint itself unless the variable says another.
    pub public_endpoint: String,
    /// The region that signatures name.
    pub region: String,
    /// The access key of the S3 identity.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
}

/// Which bearer tokens are taken.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// What they are verified with.
    pub keys: JwtKeys,
    /// The `iss` that a token must carry, if any.
    pub issuer: Option<String>,
    /// The `aud` that a token must carry, if any.
    pub audience: Option<String>,
    /// The claim that holds the roles: a name, or a path with dots into nested claims.
    pub roles_claim: String,
}

/// A configuration that was checked as a whole. `Debug` shows no secret.
#[derive(Clone)]
pub struct Config {
    /// PostgreSQL connection string, with its time limits.
    pub database_url: String,
    /// How SeaweedFS is called; `None` in a component that does not.
    pub s3: Option<S3Access>,
    /// Which bearer tokens are taken; `None` in a component without callers of its own.
    pub tokens: Option<Tokens>,
    /// What every URL that leaves us begins with; no slash at its end.
    pub public_url: String,
    /// The secret of the routes below `/internal`, which the worker alone is given.
    pub tick_secret: Option<String>,
    /// The secret that signs URLs of ours, which the components that make or take them are given.
    pub url_secret: Option<String>,
    /// How many proxies in front of us may be believed in `X-Forwarded-For`.
    pub trusted_proxies: usize,
    /// The origins whose pages may read our answers, where a bucket's policy does not say; `*` is any.
    pub cors_origins: Vec<String>,
    /// How old a blob without a row has to be before it may be deleted.
    pub orphan_age: Duration,
}

/// A variable that is not usable, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("variable `{variable}`: {reason}")]
pub struct ConfigError {
    /// The variable of `spin.toml`.
    pub variable: &'static str,
    /// What is wrong with it; never its value.
    pub reason: String,
}

/// The `jwt_audience` that takes every token of the issuer.
const ANY_AUDIENCE: &str = "*";

impl Config {
    /// Checks all variables; `get` answers the value of one, or `None` where it is not set.
    ///
    /// # Errors
    /// The first variable that is missing or malformed.
    pub fn from_variables(
        get: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let wrong = |variable, reason: &str| ConfigError { variable, reason: reason.to_owned() };
        let required = |variable| {
            get(variable)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| wrong(variable, "is not set"))
        };
        let optional = |variable| get(variable).filter(|value| !value.is_empty());
        let secret = |variable| {
            let value = required(variable)?;
            if value.len() < MIN_SECRET_BYTES {
                return Err(ConfigError {
                    variable,
                    reason: format!(
                        "has {} bytes; it needs at least {MIN_SECRET_BYTES}",
                        value.len()
                    ),
                });
            }
            Ok(value)
        };
        let http = |variable| {
            let value = required(variable)?;
            let url = Uri::try_from(&value)
                .map_err(|error| wrong(variable, &format!("is not a URL: {error}")))?;
            if !matches!(url.scheme_str(), Some("http" | "https")) {
                return Err(wrong(variable, "does not begin with http:// or https://"));
            }
            // A port that is none parses all the same.
            let authority = url.authority().map_or("", Authority::as_str);
            let without_port = url.host().unwrap_or_default();
            if without_port.is_empty()
                || (authority.rsplit('@').next() != Some(without_port) && url.port_u16().is_none())
            {
                return Err(wrong(variable, "has no valid host and port"));
            }
            if authority.contains('@') || value.contains('#') {
                return Err(wrong(variable, "has a user or a fragment; leave them out"));
            }
            Ok((value, url))
        };
        let http_url = |variable| {
            let (value, url) = http(variable)?;
            if url.query().is_some() {
                return Err(wrong(variable, "has a query; leave it out"));
            }
            Ok((value.trim_end_matches('/').to_owned(), url))
        };

        let database_url = required("database_url")?;
        if !database_url.starts_with("postgres://") && !database_url.starts_with("postgresql://") {
            return Err(wrong("database_url", "does not begin with postgres://"));
        }
        let jwt_keys = || {
            let name = optional("jwt_algorithm");
            let name = name.as_deref().unwrap_or(JwtAlgorithm::Hs256.as_str());
            let algorithm = JwtAlgorithm::ALL
                .into_iter()
                .find(|algorithm| algorithm.as_str() == name)
                .ok_or_else(|| wrong("jwt_algorithm", "is not HS256, RS256, ES256 or EdDSA"))?;
            if algorithm == JwtAlgorithm::Hs256 {
                return secret("jwt_hs256_secret").map(JwtKeys::Secret);
            }
            let (jwks_url, _) = http("jwt_jwks_url")?;
            // An issuer's keys sign for all that trust it: whose token for whom has to be said.
            for variable in ["jwt_issuer", "jwt_audience"] {
                required(variable)?;
            }
            Ok(JwtKeys::Url { algorithm, jwks_url })
        };
        let roles_claim = || {
            let path = optional("jwt_roles_claim");
            let path = path.unwrap_or_else(|| DEFAULT_ROLES_CLAIM.to_owned());
            if path.split('.').any(str::is_empty) {
                return Err(wrong("jwt_roles_claim", "is not a path of names with dots between"));
            }
            Ok(path)
        };
        let s3 = || {
            let root = |variable| {
                let (endpoint, parsed) = http_url(variable)?;
                if parsed.path() != "/" {
                    return Err(wrong(variable, "has a path; S3 signatures need the root"));
                }
                Ok(endpoint)
            };
            let endpoint = root("s3_endpoint")?;
            Ok(S3Access {
                public_endpoint: match optional("s3_public_endpoint") {
                    Some(_) => root("s3_public_endpoint")?,
                    None => endpoint.clone(),
                },
                endpoint,
                region: optional("s3_region").unwrap_or_else(|| "us-east-1".to_owned()),
                access_key_id: required("s3_access_key_id")?,
                secret_access_key: required("s3_secret_access_key")?,
            })
        };
        let tokens = || {
            Ok(Tokens {
                keys: jwt_keys()?,
                issuer: optional("jwt_issuer"),
                audience: optional("jwt_audience").filter(|audience| audience != ANY_AUDIENCE),
                roles_claim: roles_claim()?,
            })
        };
        // What is empty was given, and forgotten by whoever configures it.
        let given =
            |variables: [&'static str; 3]| variables.into_iter().any(|name| get(name).is_some());
        Ok(Self {
            database_url,
            s3: given(S3_VARIABLES).then(s3).transpose()?,
            tokens: given(TOKEN_VARIABLES).then(tokens).transpose()?,
            public_url: http_url("public_url")?.0,
            tick_secret: optional("tick_secret").map(|_| secret("tick_secret")).transpose()?,
            url_secret: optional("url_secret").map(|_| secret("url_secret")).transpose()?,
            trusted_proxies: match optional("trusted_proxies") {
                None => 0,
                Some(count) => {
                    count.parse().map_err(|_| wrong("trusted_proxies", "is not a whole number"))?
                }
            },
            cors_origins: optional("cors_origins")
                .unwrap_or_default()
                .split([',', ' '])
                .filter(|origin| !origin.is_empty())
                .map(str::to_owned)
                .collect(),
            orphan_age: match optional("orphan_age_seconds") {
                None => Duration::from_secs(ORPHAN_AGE_SECONDS),
                Some(seconds) => Duration::from_secs(
                    seconds
                        .parse()
                        .map_err(|_| wrong("orphan_age_seconds", "is not a whole number"))?,
                ),
            },
        })
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("s3", &self.s3)
            .field("tokens", &self.tokens)
            .field("public_url", &self.public_url)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("cors_origins", &self.cors_origins)
            .field("orphan_age", &self.orphan_age)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for S3Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Access")
            .field("endpoint", &self.endpoint)
            .field("public_endpoint", &self.public_endpoint)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("HS256"),
            Self::Url { algorithm, jwks_url } => write!(f, "{} {jwks_url}", algorithm.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(changed: &'static str, value: Option<&'static str>) -> Result<Config, ConfigError> {
        with_all(&[(changed, value)])
    }

    fn with_all(changes: &[(&str, Option<&str>)]) -> Result<Config, ConfigError> {
        Config::from_variables(|name| {
            if let Some((_, value)) = changes.iter().find(|(changed, _)| *changed == name) {
                return value.map(str::to_owned);
            }
            let value = match name {
                "database_url" => "postgres://u:hunter2@127.0.0.1/h",
                "s3_endpoint" => "http://127.0.0.1:8333",
                "s3_access_key_id" => "key",
                "s3_secret_access_key" => "hunter2",
                "jwt_hs256_secret" | "tick_secret" => "hunter2-hunter2-hunter2-hunter2-hunter2",
                "public_url" => "https://files.example.com:8443/store/",
                _ => return None,
            };
            Some(value.to_owned())
        })
    }

    #[test]
    fn a_good_one_has_defaults_and_shows_no_secret() {
        let config = with("", None).expect("valid");
        assert_eq!(config.s3.as_ref().expect("given").region, "us-east-1");
        assert_eq!(config.s3.as_ref().expect("given").public_endpoint, "http://127.0.0.1:8333");
        assert_eq!(config.orphan_age.as_secs(), ORPHAN_AGE_SECONDS);
        assert_eq!(config.public_url, "https://files.example.com:8443/store");
        assert_eq!(config.trusted_proxies, 0);
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_host_may_be_an_address() {
        for url in ["http://[::1]:8333", "http://10.0.0.1", "https://files.example.com/a/b"] {
            assert_eq!(with("public_url", Some(url)).expect(url).public_url, url);
        }
    }

    #[test]
    fn a_mistake_names_its_variable_and_not_its_value() {
        for (variable, value) in [
            ("database_url", None),
            ("database_url", Some("mysql://x")),
            ("s3_endpoint", Some("127.0.0.1:8333")),
            ("s3_endpoint", Some("http://127.0.0.1:8333/path")),
            ("s3_access_key_id", Some("")),
            ("s3_secret_access_key", None),
            ("orphan_age_seconds", Some("a week")),
            ("jwt_hs256_secret", Some("short-hunter2")),
            ("tick_secret", Some("short-hunter2")),
            ("url_secret", Some("short-hunter2")),
            ("s3_public_endpoint", Some("https://s3.example.com/path")),
            ("s3_public_endpoint", Some("s3.example.com")),
            ("public_url", Some("ftp://x")),
            ("public_url", Some("https://")),
            ("public_url", Some("https://a b")),
            ("public_url", Some("https://files.example.com:99999")),
            ("public_url", Some("https://files.example.com:")),
            ("public_url", Some("https://me:hunter2@files.example.com")),
            ("public_url", Some("https://files.example.com/?a")),
            ("public_url", Some("https://files.example.com/#a")),
            ("trusted_proxies", Some("many")),
            ("jwt_algorithm", Some("none")),
            ("jwt_algorithm", Some("HS512")),
            ("jwt_algorithm", Some("rs256")),
            ("jwt_roles_claim", Some("a..b")),
        ] {
            let error = with(variable, value).expect_err(variable);
            assert_eq!(error.variable, variable);
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn public_keys_take_a_url_and_no_secret() {
        for (name, algorithm) in [
            ("RS256", JwtAlgorithm::Rs256),
            ("ES256", JwtAlgorithm::Es256),
            ("EdDSA", JwtAlgorithm::EdDsa),
        ] {
            let url = "https://id.example.com/jwks.json?tenant=7";
            let changes = [
                ("jwt_algorithm", Some(name)),
                ("jwt_jwks_url", Some(url)),
                ("jwt_issuer", Some("https://issuer.example")),
                ("jwt_audience", Some("*")),
                ("jwt_hs256_secret", None),
            ];
            let config = with_all(&changes).expect(name);
            let keys = config.tokens.map(|tokens| tokens.keys);
            assert_eq!(keys, Some(JwtKeys::Url { algorithm, jwks_url: url.to_owned() }));
            for bad in
                [None, Some(""), Some("id.example.com"), Some("ftp://x/"), Some("http://u@x/")]
            {
                let changes = [("jwt_algorithm", Some(name)), ("jwt_jwks_url", bad)];
                assert_eq!(with_all(&changes).expect_err(name).variable, "jwt_jwks_url");
            }
        }
        for missing in ["jwt_issuer", "jwt_audience"] {
            let mut changes = vec![
                ("jwt_algorithm", Some("ES256")),
                ("jwt_jwks_url", Some("https://id.example.com/")),
                ("jwt_issuer", Some("a")),
                ("jwt_audience", Some("b")),
            ];
            changes.retain(|(name, _)| *name != missing);
            assert_eq!(with_all(&changes).expect_err(missing).variable, missing);
        }
        for forgotten in [
            &[("jwt_hs256_secret", Some(""))][..],
            &[("jwt_hs256_secret", None), ("jwt_algorithm", Some("HS256"))],
        ] {
            assert_eq!(with_all(forgotten).expect_err("HS256").variable, "jwt_hs256_secret");
        }
    }

    #[test]
    fn a_component_is_given_what_it_needs() {
        let no_s3 = S3_VARIABLES.map(|name| (name, None));
        assert!(with_all(&no_s3).expect("no S3").s3.is_none());
        let no_tokens = TOKEN_VARIABLES.map(|name| (name, None));
        assert!(with_all(&no_tokens).expect("no tokens").tokens.is_none());
    }

    #[test]
    fn roles_are_in_the_claim_roles_unless_said_otherwise() {
        for (set, claim) in [(None, "roles"), (Some("realm_access.roles"), "realm_access.roles")] {
            let config = with("jwt_roles_claim", set).expect("valid");
            assert_eq!(config.tokens.expect("given").roles_claim, claim);
        }
    }
}
