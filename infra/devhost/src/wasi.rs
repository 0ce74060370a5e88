//! WASI for an instance: its environment, its output, and the sockets that it may connect.

use crate::component::Component;
use crate::logs::ComponentOutput;
use std::sync::Arc;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

/// Makes the context: no files, no arguments, no name lookup, TCP to listed addresses.
pub(crate) fn context(component: &Component) -> WasiCtx {
    let allow_list = Arc::clone(&component.allow_list);
    let mut builder = WasiCtxBuilder::new();
    for (name, value) in &component.environment {
        builder.env(name, value);
    }
    builder
        .stdout(ComponentOutput::stdout(&component.id))
        .stderr(ComponentOutput::stderr(&component.id))
        .allow_tcp(true)
        .allow_udp(false)
        .socket_addr_check(move |address, usage| {
            let allowed = match usage {
                SocketAddrUse::TcpConnect => allow_list.allows_socket(address),
                // wasmtime asks for the bind that every connect implies.
                SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
                _ => false,
            };
            Box::pin(async move { allowed })
        })
        .build()
}
