use std::{fmt, net::Ipv6Addr};

/// Where an S3 server listens, and the region that its signatures name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    scheme: Scheme,
    authority: String,
    region: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// Why an endpoint was refused. The text does not repeat the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Neither `http://` nor `https://`.
    #[error("an S3 endpoint starts with http:// or https://")]
    Scheme,
    /// A user, a path, a query or a fragment.
    #[error("an S3 endpoint is only a scheme, a host and a port")]
    NotAnOrigin,
    /// No host, or not a name, an IPv4 or a bracketed IPv6 address.
    #[error("an S3 endpoint needs a valid host")]
    Host,
    /// Not 1 to 65535.
    #[error("an S3 endpoint's port is a number from 1 to 65535")]
    Port,
    /// Not lower-case letters, digits and `-`.
    #[error("an S3 region consists of lower-case letters, digits and '-'")]
    Region,
}

impl Endpoint {
    /// Reads an origin such as `http://127.0.0.1:8333` (one trailing `/` is fine).
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn parse(url: &str, region: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) = Scheme::split(url).ok_or(EndpointError::Scheme)?;
        let origin = rest.strip_suffix('/').unwrap_or(rest);
        if origin.contains(['/', '\\', '?', '#', '@']) {
            return Err(EndpointError::NotAnOrigin);
        }
        let (host, port) = split_port(origin)?;
        if !is_host(host) {
            return Err(EndpointError::Host);
        }
        if !is_region(region) {
            return Err(EndpointError::Region);
        }
        let mut authority = host.to_ascii_lowercase();
        // HTTP clients leave the default port out of `host`, and `host` is signed.
        if let Some(port) = port.filter(|port| *port != scheme.default_port()) {
            authority.push_str(&format!(":{port}"));
        }
        Ok(Self { scheme, authority, region: region.to_owned() })
    }

    /// `host` or `host:port`, the latter only for a port that is not the scheme's own.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        self.scheme.as_str()
    }

    /// The region of the credential scope.
    pub fn region(&self) -> &str {
        &self.region
    }
}

/// The origin, `scheme://authority`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority)
    }
}

impl Scheme {
    fn split(url: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = url.split_once("://")?;
        [Self::Http, Self::Https]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known.as_str()))
            .map(|known| (known, rest))
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The colons of a bracketed IPv6 address do not start a port.
fn split_port(origin: &str) -> Result<(&str, Option<u16>), EndpointError> {
    match origin.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            // `u16::from_str` takes a leading '+'.
            let port = Some(port).filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
            match port.and_then(|port| port.parse().ok()) {
                None | Some(0) => Err(EndpointError::Port),
                port => Ok((host, port)),
            }
        }
        _ => Ok((origin, None)),
    }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
    }
}

fn is_region(region: &str) -> bool {
    !region.is_empty()
        && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authority_leaves_out_only_the_default_port() {
        for (url, origin) in [
            ("http://127.0.0.1:8333", "http://127.0.0.1:8333"),
            ("http://127.0.0.1:8333/", "http://127.0.0.1:8333"),
            ("http://s3.test:80", "http://s3.test"),
            ("https://s3.test:443", "https://s3.test"),
            ("https://s3.test:80", "https://s3.test:80"),
            ("HTTPS://S3.Test", "https://s3.test"),
            ("http://[::1]:8333", "http://[::1]:8333"),
            ("http://[::1]", "http://[::1]"),
            ("http://seaweed_s3:1", "http://seaweed_s3:1"),
        ] {
            let endpoint = Endpoint::parse(url, "us-east-1").unwrap();
            assert_eq!(endpoint.to_string(), origin);
            assert_eq!(format!("{}://{}", endpoint.scheme(), endpoint.authority()), origin);
            assert_eq!(endpoint.region(), "us-east-1");
        }
    }

    #[test]
    fn refuses_what_is_not_an_origin() {
        use EndpointError::{Host, NotAnOrigin, Port, Scheme};
        for (url, error) in [
            ("", Scheme),
            ("127.0.0.1:8333", Scheme),
            ("ftp://s3.test", Scheme),
            ("http://", Host),
            ("http://:8333", Host),
            ("http://s3 .test", Host),
            ("http://s3.test\r\n", Host),
            ("http://[::g]:1", Host),
            ("http://::1", Host),
            ("http://s3.test:", Port),
            ("http://s3.test:0", Port),
            ("http://s3.test:+80", Port),
            ("http://s3.test:65536", Port),
            ("http://s3.test/base", NotAnOrigin),
            ("http://s3.test//", NotAnOrigin),
            ("http://user:secret@s3.test", NotAnOrigin),
            ("http://s3.test?a", NotAnOrigin),
            ("http://s3.test#a", NotAnOrigin),
        ] {
            assert_eq!(Endpoint::parse(url, "us-east-1"), Err(error), "{url:?}");
        }
        for region in ["", "US", "a/b", "a b"] {
            assert_eq!(Endpoint::parse("http://a", region), Err(EndpointError::Region));
        }
    }
}
