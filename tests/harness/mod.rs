//! What the tests that run the program share: made-up torrents, the program as a child process, and a peer
//! that follows a script. Each test binary includes this folder, so it holds only what all of them use.

pub(crate) mod payload;
pub(crate) mod program;
pub(crate) mod scripted_peer;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// An address at `ip` whose port nobody listens on. Ports come from below the range that systems give to outgoing
/// connections, and no two calls of one process answer the same, so it stays free until it is used.
pub(crate) fn free_address(ip: impl Into<IpAddr>) -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let ip = ip.into();
    let start = (std::process::id() % 97) as u16 * 128;
    for _ in 0..4096 {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(start) % 12_416;
        let port = 20_000 + offset;
        // Clients listen on every interface, so every interface must have the port free.
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return SocketAddr::new(ip, port);
        }
    }
    panic!("no free TCP port between 20000 and 32415");
}
