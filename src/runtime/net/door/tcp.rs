//! TCP for peers: listeners and connections.
//!
//! NODELAY always: requests and control messages are small and must not wait for each other. Buffer sizes
//! stay with the system, whose autotuning a fixed size would switch off; only what waits in them unsent is bounded.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 256;

/// Which addresses to listen on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
    /// Only peers on this machine.
    pub loopback_only: bool,
}

impl Listen {
    /// The addresses to bind `port` on. Two sockets rather than one for both families: addresses mapped
    /// from IPv4 would leak into everything that is told to others.
    fn addresses(self, port: u16) -> Vec<SocketAddr> {
        let v4 = if self.loopback_only { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let v6 = if self.loopback_only { Ipv6Addr::LOCALHOST } else { Ipv6Addr::UNSPECIFIED };
        let v4 = self.v4.then(|| SocketAddr::from((v4, port)));
        let v6 = self.v6.then(|| SocketAddr::from((v6, port)));
        v4.into_iter().chain(v6).collect()
    }

    /// Listens on `port` in every chosen family; 0 lets the system choose one for all. A machine without
    /// IPv6 is no error as long as one family works.
    pub fn bind(self, port: u16) -> io::Result<Vec<std::net::TcpListener>> {
        let mut listeners: Vec<std::net::TcpListener> = Vec::new();
        let mut port = port;
        let mut failure = None;
        for mut address in self.addresses(port) {
            address.set_port(port);
            match bind(address) {
                Ok(listener) => {
                    port = listener.local_addr()?.port();
                    listeners.push(listener);
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if listeners.is_empty() => Err(error),
            _ => Ok(listeners),
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Gives a listener to the runtime of this thread.
pub(crate) fn listener(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    TcpListener::from_std(listener)
}

/// Accepts the next connection.
pub(crate) async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, address))
}

/// Has `stream` end with a reset when it is dropped: a peer that still takes it for open, after a change of the
/// network, would else turn away the connection that takes its place.
pub(crate) fn reset(stream: &TcpStream) {
    // Without it the peer finds out later.
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Has the system take about `bytes` from us beyond what it may send at once.
pub(crate) fn bound_unsent(stream: &TcpStream, bytes: u32) {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    // Without it what is taken back late leaves all the same.
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(bytes);
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    let _ = (stream, bytes);
}

/// Connects to a peer.
pub(crate) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}
