//! `allowed_outbound_hosts`: where a component may connect to, by the rules of Spin.
//!
//! An entry is `scheme://host[:port]`. Each part may be `*`; a host may also be `*.domain` or a CIDR
//! block, a port a range `a..b` without its end. A socket is checked by its address: names in an
//! entry never match one.

use crate::variables::{Variables, is_template};
use anyhow::{Context as _, Result, bail};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// The list of one component.
#[derive(Debug)]
pub(crate) enum AllowList {
    /// Every entry could be read.
    Entries(Vec<Entry>),
    /// A variable made an entry unreadable: as on Spin, the whole list then denies everything.
    Invalid(String),
}

#[derive(Debug)]
pub(crate) struct Entry {
    scheme: Option<String>,
    host: Host,
    port: Port,
}

#[derive(Debug)]
enum Host {
    Any,
    Exact(String),
    Subdomains(String),
    Network(IpNet),
    /// Requests of the application to itself, which this host does not route.
    Own,
}

#[derive(Debug)]
enum Port {
    Any,
    Range(Range<u16>),
    One(u16),
}

impl AllowList {
    /// Reads the entries of a manifest.
    ///
    /// # Errors
    /// An entry without variables that cannot be read; those with variables fail later.
    pub(crate) fn parse(entries: &[String], variables: &Variables) -> Result<Self> {
        let (templates, literals) = entries.iter().partition::<Vec<_>, _>(|text| is_template(text));
        let mut list =
            literals.into_iter().map(|text| Entry::parse(text)).collect::<Result<Vec<_>>>()?;
        for template in templates {
            let text = variables.expand(template)?;
            match Entry::parse(&text) {
                Ok(entry) => list.push(entry),
                // The text may hold a secret: the template says enough.
                Err(_) => return Ok(Self::Invalid(template.clone())),
            }
        }
        Ok(Self::Entries(list))
    }

    /// Whether `scheme://host[:port]` may be called.
    pub(crate) fn allows(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        match self {
            Self::Entries(entries) => entries.iter().any(|entry| entry.allows(scheme, host, port)),
            Self::Invalid(_) => false,
        }
    }

    /// Whether a TCP socket may connect to `address`.
    pub(crate) fn allows_socket(&self, address: SocketAddr) -> bool {
        let host = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        self.allows("tcp", &host, Some(address.port()))
    }
}

impl Entry {
    fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").with_context(|| {
            format!("allowed_outbound_hosts: {text:?} is not scheme://host[:port]")
        })?;
        let is_name = !scheme.is_empty() && scheme.chars().all(char::is_alphabetic);
        if scheme != "*" && !is_name {
            bail!("allowed_outbound_hosts: the scheme of {text:?} must be letters or *");
        }
        let (host, port) = split_port(rest);
        let (port, path) = port.split_once('/').unwrap_or((port, ""));
        if !path.is_empty() {
            bail!("allowed_outbound_hosts: {text:?} must not have a path");
        }
        Ok(Self {
            scheme: (scheme != "*").then(|| scheme.to_owned()),
            host: Host::parse(host).with_context(|| format!("allowed_outbound_hosts: {text:?}"))?,
            port: Port::parse(port, scheme)
                .with_context(|| format!("allowed_outbound_hosts: {text:?}"))?,
        })
    }

    fn allows(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        self.scheme.as_deref().is_none_or(|own| own == scheme)
            && self.host.allows(host)
            && self.port.allows(port.or_else(|| default_port(scheme)))
    }
}

/// Splits at the last colon that is not inside `[...]`.
fn split_port(text: &str) -> (&str, &str) {
    match text.rsplit_once(':') {
        Some((_, port)) if port.contains(']') => (text, ""),
        Some(parts) => parts,
        None => (text, ""),
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text == "self" || text == "self.alt" {
            return Ok(Self::Own);
        }
        if text.is_empty() {
            bail!("the host is empty");
        }
        if text.starts_with('{') {
            bail!("lists of hosts are not supported");
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        let text = text.trim_end_matches('/');
        if text.contains('/') {
            bail!("a host must not have a path");
        }
        match text.strip_prefix("*.") {
            Some(domain) if !domain.contains('*') => Ok(Self::Subdomains(format!(".{domain}"))),
            None if !text.contains('*') => Ok(Self::Exact(text.to_owned())),
            _ => bail!("a wildcard stands for a whole host or its subdomains only"),
        }
    }

    fn allows(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(own) => own == host,
            Self::Subdomains(suffix) => host.ends_with(suffix),
            // An IPv6 host comes in brackets and so never matches, as on Spin.
            Self::Network(network) => host.parse::<IpAddr>().is_ok_and(|ip| network.contains(&ip)),
            Self::Own => false,
        }
    }
}

impl Port {
    fn parse(text: &str, scheme: &str) -> Result<Self> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.is_empty() {
            return default_port(scheme)
                .map(Self::One)
                .with_context(|| format!("no port, and {scheme} has no default one"));
        }
        if let Some((start, end)) = text.split_once("..") {
            return Ok(Self::Range(port_number(start)?..port_number(end)?));
        }
        port_number(text).map(Self::One)
    }

    fn allows(&self, port: Option<u16>) -> bool {
        match (self, port) {
            (Self::Any, _) => true,
            (Self::One(own), Some(port)) => *own == port,
            (Self::Range(range), Some(port)) => range.contains(&port),
            (_, None) => false,
        }
    }
}

fn port_number(text: &str) -> Result<u16> {
    text.parse().with_context(|| format!("port {text:?} is no number"))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "redis" => Some(6379),
        "mqtt" => Some(1883),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Variable;
    use std::collections::BTreeMap;

    fn variables(value: &str) -> Variables {
        let declared: BTreeMap<String, Variable> =
            toml::from_str("target = { required = true }").unwrap();
        let given = BTreeMap::from([("target".to_owned(), value.to_owned())]);
        Variables::resolve(&declared, &given, |_| None).unwrap()
    }

    fn list(entries: &[&str]) -> AllowList {
        let entries = entries.iter().map(|&e| e.to_owned()).collect::<Vec<_>>();
        AllowList::parse(&entries, &variables("http://var:8333")).unwrap()
    }

    #[test]
    fn the_port_defaults_to_the_scheme() {
        let list = list(&["http://a.b", "postgres://db"]);
        assert!(list.allows("http", "a.b", None));
        assert!(list.allows("http", "a.b", Some(80)));
        assert!(!list.allows("http", "a.b", Some(81)));
        assert!(!list.allows("https", "a.b", None));
        assert!(list.allows("postgres", "db", None));
        assert!(!list.allows("postgres", "other", None));
    }

    #[test]
    fn wildcards_stand_for_one_part_each() {
        assert!(list(&["*://*:*"]).allows("tcp", "x", Some(1)));
        assert!(!list(&["http://*"]).allows("http", "x", Some(8080)));
        let subdomains = list(&["https://*.example.com"]);
        assert!(subdomains.allows("https", "a.example.com", None));
        assert!(!subdomains.allows("https", "example.com", None));
        assert!(!subdomains.allows("https", "notexample.com", None));
    }

    #[test]
    fn sockets_are_matched_by_address_and_never_by_name() {
        let address = "127.0.0.1:3310".parse().unwrap();
        assert!(!list(&["tcp://localhost:3310"]).allows_socket(address));
        assert!(list(&["tcp://127.0.0.1:3310"]).allows_socket(address));
        assert!(!list(&["tcp://127.0.0.1:3311"]).allows_socket(address));
        assert!(!list(&["http://127.0.0.1:3310"]).allows_socket(address));
        assert!(list(&["tcp://127.0.0.0/8:3310"]).allows_socket(address));
        assert!(!list(&["tcp://10.0.0.0/8:3310"]).allows_socket(address));
        assert!(list(&["tcp://[::1]:3310"]).allows_socket("[::1]:3310".parse().unwrap()));
    }

    #[test]
    fn a_range_of_ports_leaves_its_end_out() {
        let list = list(&["http://a:80..82"]);
        assert!(list.allows("http", "a", Some(81)));
        assert!(!list.allows("http", "a", Some(82)));
    }

    #[test]
    fn a_slash_at_the_end_is_no_path() {
        assert!(list(&["http://a:8333/"]).allows("http", "a", Some(8333)));
        assert!(list(&["http://a/"]).allows("http", "a", None));
    }

    #[test]
    fn templates_are_filled() {
        let list = list(&["{{ target }}"]);
        assert!(list.allows("http", "var", Some(8333)));
    }

    #[test]
    fn a_wrong_entry_without_variables_is_an_error() {
        for entry in ["", "*", "a.b", "http://a/x", "http://a:b", "tcp://a", "http://a*b", "h1://a"]
        {
            let entries = [entry.to_owned()];
            assert!(AllowList::parse(&entries, &variables("")).is_err(), "{entry}");
        }
    }

    #[test]
    fn an_empty_variable_makes_the_whole_list_deny() {
        let entries = ["http://good".to_owned(), "{{ target }}".to_owned()];
        let list = AllowList::parse(&entries, &variables("")).unwrap();
        assert!(matches!(list, AllowList::Invalid(_)));
        assert!(!list.allows("http", "good", None));
    }
}
