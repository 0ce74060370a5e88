//! Loopback ports for servers that cannot bind port 0 themselves.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::files;

/// Below the range from which the kernel takes source ports, so that no outgoing connection
/// sits on a port between the choice and the server's bind.
const RANGE: Range<u16> = 11_000..32_000;

static HANDED_OUT: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// How often a port is tried before it counts as taken. A child that is being started holds our own
/// trial for a moment: until it becomes another program, it has all that we have open.
const TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// Is nobody listening there, on any address? SeaweedFS probes the wildcard address itself.
pub(crate) fn is_free(port: u16) -> bool {
    can_listen(Ipv4Addr::UNSPECIFIED, port)
}

fn can_listen(address: Ipv4Addr, port: u16) -> bool {
    (0..TRIES).any(|attempt| {
        if attempt > 0 {
            std::thread::sleep(BETWEEN_TRIES);
        }
        TcpListener::bind((address, port)).is_ok()
    })
}

/// A free port that this process has not been given before.
///
/// # Errors
/// None of many tries was free.
pub fn free_port() -> Result<u16> {
    free_port_where(RANGE, |_| true)
}

/// A free port within `range` that also satisfies `suits`.
pub(crate) fn free_port_where(range: Range<u16>, suits: impl Fn(u16) -> bool) -> Result<u16> {
    let mut taken = HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..2_000 {
        let random = uuid::Uuid::new_v4().as_u128() % u128::from(range.end - range.start);
        let port = range.start + u16::try_from(random)?;
        if !taken.contains(&port) && is_free(port) && suits(port) {
            taken.insert(port);
            return Ok(port);
        }
    }
    bail!("no free TCP port was found between {} and {}", range.start, range.end)
}

/// Refuses a port that somebody listens on, in one sentence.
///
/// # Errors
/// The port is taken.
pub fn require_free_port(port: u16, what: &str) -> Result<()> {
    if !can_listen(Ipv4Addr::LOCALHOST, port) {
        bail!("port {port} is taken: stop what listens there, or choose another port for {what}");
    }
    Ok(())
}

/// The port of a server that keeps it over restarts: `asked`, else the one in `file`, else another.
pub(crate) fn keep(file: &Path, asked: Option<u16>, what: &str) -> Result<u16> {
    if let Some(port) = asked {
        require_free_port(port, what)?;
        return Ok(port);
    }
    let last = files::read_optional(file)?.and_then(|text| text.trim().parse().ok());
    let port = match last.filter(|port| is_free(*port)) {
        Some(port) => port,
        None => free_port()?,
    };
    files::write_private(file, &port.to_string())?;
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_free() {
        let ports: HashSet<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.into_iter().all(is_free));
    }

    #[test]
    fn a_taken_port_is_one_sentence() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = require_free_port(port, "the application").unwrap_err().to_string();
        assert!(error.starts_with(&format!("port {port} is taken")), "{error}");
    }
}
