//! TCP.

use serde_json::{Value, json};
use wasip3::sockets::types::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket};

/// Connects to 127.0.0.1:`port`.
pub(crate) async fn connect(port: u16) -> Value {
    let address = IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) });
    let connected = match TcpSocket::create(IpAddressFamily::Ipv4) {
        Ok(socket) => socket.connect(address).await,
        Err(error) => Err(error),
    };
    match connected {
        Ok(()) => json!({ "connected": true }),
        Err(error) => json!({ "error": format!("{error:?}") }),
    }
}
