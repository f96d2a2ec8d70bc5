//! Hears from the system when the network comes back, or is another one: a link is up again, there is an address that
//! was not there before. On Linux rtnetlink(7) tells; elsewhere nobody does, and peers and trackers are tried again
//! at their own times.

#[cfg(target_os = "linux")]
mod news;

#[cfg(target_os = "linux")]
pub(crate) use linux::Changes;
#[cfg(not(target_os = "linux"))]
pub(crate) use silent::Changes;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::unix::net::UnixDatagram as StdDatagrams;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, netlink, socket_with};
    use tokio::net::UnixDatagram;

    use super::news::News;

    /// Groups of messages: links, and addresses of both families.
    const GROUPS: u32 = 0x1 | 0x10 | 0x100;
    /// The system's messages are shorter.
    const MESSAGES: usize = 64 * 1024;

    /// Where changes are heard.
    pub(crate) struct Changes {
        /// It is no Unix socket, but all that is done to it is to receive, which all sockets do alike.
        socket: UnixDatagram,
        news: News,
    }

    impl Changes {
        /// Listens from here on. Needs a tokio runtime.
        pub(crate) fn listen() -> io::Result<Changes> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            bind(&socket, &netlink::SocketAddrNetlink::new(0, GROUPS))?;
            let socket = UnixDatagram::from_std(StdDatagrams::from(socket))?;
            Ok(Changes { socket, news: News::default() })
        }

        /// Waits for a change for the better; an error means that none will be heard any more.
        pub(crate) async fn next(&mut self) -> io::Result<()> {
            let mut buffer = vec![0; MESSAGES];
            loop {
                match self.socket.recv(&mut buffer).await {
                    Ok(count) if self.news.is_better(&buffer[..count]) => return Ok(()),
                    Ok(_) => {}
                    // More happened than the system keeps for us.
                    Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod silent {
    use std::io;

    /// Where nothing is heard.
    pub(crate) struct Changes;

    impl Changes {
        pub(crate) fn listen() -> io::Result<Changes> {
            Ok(Changes)
        }

        pub(crate) async fn next(&mut self) -> io::Result<()> {
            std::future::pending().await
        }
    }
}
