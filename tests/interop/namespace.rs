//! A network namespace with one cable to ours, for clients that take no peers on loopback, and for networks that fail.
//! Needs root.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Gone when dropped, with its cable.
pub(crate) struct Namespace {
    name: String,
    /// Its network's address; `outside` is the first one in it, `inside` the second or third.
    network: u32,
}

impl Namespace {
    /// An error says what the system did not allow. Names and addresses come from the process's id and a count.
    pub(crate) fn create() -> Result<Namespace, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (id, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let name = format!("btget{id}{}", char::from(b'a' + count as u8 % 26));
        // 198.18.0.0/15 is set aside for tests of networks, so nothing real is hidden by it. The first half of the
        // number is the process's, so that those of two processes are seldom the same.
        let network = 0xc612_0000 | (id.wrapping_mul(8).wrapping_add(count) % 0x3fff) << 3;
        let namespace = Namespace { name, network };
        let (name, outside, inside) = (&namespace.name, namespace.outside(), namespace.inside(2));
        ip(&format!("netns add {name}"))?;
        ip(&format!("link add {name} type veth peer name cable netns {name}"))?;
        ip(&format!("addr add {outside}/29 dev {name}"))?;
        ip(&format!("link set {name} up"))?;
        ip(&format!("-n {name} addr add {inside}/29 dev cable"))?;
        ip(&format!("-n {name} link set cable up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!("-n {name} route add default via {outside}"))?;
        Ok(namespace)
    }

    /// What to put before a command that is to run inside.
    pub(crate) fn enter(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    /// Where we reach a port inside.
    #[allow(dead_code, reason = "not every test binary runs servers inside")]
    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.inside(2).into(), port)
    }

    /// Our end of the cable, where whoever is inside reaches us.
    pub(crate) fn outside(&self) -> Ipv4Addr {
        self.inside(1)
    }

    /// Pulls the cable at our end, or plugs it in again: inside, the link is without a carrier.
    #[allow(dead_code, reason = "not every test binary breaks networks")]
    pub(crate) fn plug(&self, is_in: bool) {
        must(&format!("link set {} {}", self.name, if is_in { "up" } else { "down" }));
    }

    /// Takes the address inside away and gives it another one.
    #[allow(dead_code, reason = "not every test binary breaks networks")]
    pub(crate) fn change_address(&self) -> IpAddr {
        let (old, new) = (self.inside(2), self.inside(3));
        must(&format!("-n {} addr del {old}/29 dev cable", self.name));
        must(&format!("-n {} addr add {new}/29 dev cable", self.name));
        new.into()
    }

    fn inside(&self, host: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network | host)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The namespace outlives its name while a dying client is still inside, so the cable goes by itself.
        let _ = ip(&format!("link del {}", self.name));
        let _ = ip(&format!("netns del {}", self.name));
    }
}

#[allow(dead_code, reason = "not every test binary breaks networks")]
fn must(arguments: &str) {
    if let Err(why) = ip(arguments) {
        panic!("{why}");
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
