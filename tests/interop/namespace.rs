//! A network namespace with one cable to ours, for a client that takes no peers on loopback. Needs root.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Gone when dropped, with its cable.
pub(crate) struct Namespace {
    name: String,
    inner: Ipv4Addr,
    outer: Ipv4Addr,
}

impl Namespace {
    /// An error says what the system did not allow. Names and addresses come from the process's id.
    pub(crate) fn create() -> Result<Namespace, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (id, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed) % 4);
        let name = format!("btget{id}{}", char::from(b'a' + number as u8));
        // 198.18.0.0/15 is set aside for tests of networks, so nothing real is hidden by it.
        let network = |host: u32| Ipv4Addr::from_bits(0xc612_0000 | (id % 0x1fff) << 4 | number << 2 | host);
        let [outer, inner] = [network(1), network(2)];
        ip(&format!("netns add {name}"))?;
        let namespace = Namespace { name, inner, outer };
        let name = &namespace.name;
        ip(&format!("link add {name} type veth peer name cable netns {name}"))?;
        ip(&format!("addr add {outer}/30 dev {name}"))?;
        ip(&format!("link set {name} up"))?;
        ip(&format!("-n {name} addr add {inner}/30 dev cable"))?;
        ip(&format!("-n {name} link set cable up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!("-n {name} route add default via {outer}"))?;
        Ok(namespace)
    }

    /// What to put before a command that is to run inside.
    pub(crate) fn enter(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    /// Our end of the cable, where whoever is inside reaches us.
    pub(crate) fn outer(&self) -> Ipv4Addr {
        self.outer
    }

    /// Where we reach a port inside.
    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.inner.into(), port)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The namespace outlives its name while a dying client is still inside, so the cable goes by itself.
        let _ = ip(&format!("link del {}", self.name));
        let _ = ip(&format!("netns del {}", self.name));
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    let output =
        Command::new("ip").args(arguments.split(' ')).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
