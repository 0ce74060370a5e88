//! Where a request came from.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

/// The peer's address and port, as Spin appends it.
const SPIN_CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");

/// The way that a request took, as each proxy appends to it.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address behind a number of proxies of ours.
///
/// Spin appends the peer behind whatever the client sent under that name, so only the last value
/// counts. Each trusted proxy appends its own peer to `X-Forwarded-For`: with `trusted_proxies` of
/// them the client is that many entries from its end, and whatever lies before is the client's own
/// invention. A way shorter than that begins at the client; an entry that is no address ends it.
#[must_use]
pub fn client_addr(headers: &HeaderMap, trusted_proxies: usize) -> Option<IpAddr> {
    let peer = headers.get_all(SPIN_CLIENT_ADDR).iter().next_back()?.to_str().ok()?;
    let peer = address(peer)?;
    forwarded(headers).take(trusted_proxies).map_while(address).last().or(Some(peer))
}

/// The entries of `X-Forwarded-For`, the last one first.
fn forwarded(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    // A line that is not ASCII is one entry that is no address.
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','))
}

/// An address with or without a port; one of IPv4 in IPv6's clothes is shown as IPv4.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    bare.parse::<IpAddr>().ok().or_else(with_port).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn client(peers: &[&str], ways: &[&str], trusted_proxies: usize) -> Option<String> {
        let mut headers = HeaderMap::new();
        for peer in peers {
            headers.append(SPIN_CLIENT_ADDR, HeaderValue::from_str(peer).expect("valid"));
        }
        for way in ways {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(way).expect("valid"));
        }
        client_addr(&headers, trusted_proxies).map(|ip| ip.to_string())
    }

    #[test]
    fn only_what_spin_appended_counts() {
        assert_eq!(client(&["127.0.0.1:4711"], &[], 0).as_deref(), Some("127.0.0.1"));
        assert_eq!(client(&["[::1]:4711"], &[], 0).as_deref(), Some("::1"));
        assert_eq!(client(&["[::ffff:1.2.3.4]:1"], &[], 0).as_deref(), Some("1.2.3.4"));
        assert_eq!(client(&["6.6.6.6:1", "1.2.3.4:5"], &[], 0).as_deref(), Some("1.2.3.4"));
        assert_eq!(client(&["1.2.3.4:5", "nonsense"], &[], 0), None);
        assert_eq!(client(&[], &["1.1.1.1"], 1), None);
    }

    #[test]
    fn proxies_are_believed_by_number() {
        let peer = &["10.0.0.1:1"];
        for (ways, trusted, wanted) in [
            (&["6.6.6.6, 1.1.1.1"][..], 0, "10.0.0.1"),
            (&["6.6.6.6, 1.1.1.1"], 1, "1.1.1.1"),
            (&["6.6.6.6, 1.1.1.1, 10.0.0.2"], 2, "1.1.1.1"),
            (&["6.6.6.6", "1.1.1.1,10.0.0.2"], 2, "1.1.1.1"),
            (&["1.1.1.1"], 3, "1.1.1.1"),
            (&[], 2, "10.0.0.1"),
            (&["2001:db8::1"], 1, "2001:db8::1"),
            (&["[2001:db8::1]:443"], 1, "2001:db8::1"),
            (&["[2001:db8::1]"], 1, "2001:db8::1"),
            (&["1.1.1.1:80"], 1, "1.1.1.1"),
            (&["1.1.1.1, unknown, 10.0.0.2"], 3, "10.0.0.2"),
            (&["unknown"], 1, "10.0.0.1"),
            (&["1.1.1.1", "gr\u{fc}n"], 2, "10.0.0.1"),
            (&[""], 1, "10.0.0.1"),
        ] {
            assert_eq!(client(peer, ways, trusted).as_deref(), Some(wanted), "{ways:?} {trusted}");
        }
    }

    proptest! {
        #[test]
        fn a_client_cannot_choose_its_address(lie in "[0-9a-f:., ]{0,40}", trusted in 0usize..4) {
            // Each proxy of ours appended its peer: first the client, then the other proxies.
            let peers = ["9.9.9.9", "10.0.0.3", "10.0.0.2"];
            let way = [&[lie.as_str()], &peers[..trusted]].concat().join(",");
            let peer = if trusted == 0 { "9.9.9.9:1" } else { "10.0.0.1:1" };
            let found = client(&[peer], &[&way], trusted);
            prop_assert_eq!(found.as_deref(), Some("9.9.9.9"));
        }

        #[test]
        fn parsing_never_panics(peer in "[ -~]*", way in "[ -~]*", trusted: usize) {
            let _ = client(&[&peer], &[&way], trusted);
        }
    }
}
