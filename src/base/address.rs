//! Addresses as bytes, how local they are, and which sources may name them.
//!
//! One rule: an address may not be more local than its source. A tracker far away has no business to make
//! us dial our own machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Which families of addresses are in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Families {
    /// Both.
    pub const BOTH: Families = Families { v4: true, v6: true };

    /// Whether `address` is of one of them; an IPv4 address in IPv6 clothes is an IPv4 one.
    pub fn have(self, address: IpAddr) -> bool {
        if address.to_canonical().is_ipv4() { self.v4 } else { self.v6 }
    }
}

/// How far an address reaches, the most local first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reach {
    /// This machine.
    Loopback,
    /// This cable: 169.254/16, fe80::/10.
    LinkLocal,
    /// This site: RFC 1918, fc00::/7, 100.64/10.
    Private,
    /// Anywhere.
    Global,
}

impl Reach {
    /// How far `address` reaches; `None` for one that no peer can have (unspecified, multicast, broadcast).
    pub fn of(address: IpAddr) -> Option<Reach> {
        match address {
            IpAddr::V4(v4) => Reach::of_v4(v4),
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(|| Reach::of_v6(v6), Reach::of_v4),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Option<Reach> {
        let [first, second, ..] = address.octets();
        match address {
            _ if first == 0 || address.is_multicast() || first >= 240 => None,
            _ if address.is_loopback() => Some(Reach::Loopback),
            _ if address.is_link_local() => Some(Reach::LinkLocal),
            _ if address.is_private() || (first == 100 && second & 0xc0 == 64) => Some(Reach::Private),
            _ => Some(Reach::Global),
        }
    }

    fn of_v6(address: Ipv6Addr) -> Option<Reach> {
        match address {
            _ if address.is_unspecified() || address.is_multicast() => None,
            _ if address.is_loopback() => Some(Reach::Loopback),
            _ if address.is_unicast_link_local() => Some(Reach::LinkLocal),
            _ if address.is_unique_local() => Some(Reach::Private),
            _ => Some(Reach::Global),
        }
    }
}

/// Who is behind `address`, as far as it tells: all ports of an IPv4 address, all of a /64 of IPv6.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// Whether a peer at `address`, named by a source that reaches as far as `source`, may be dialled.
///
/// Private addresses are normal from a tracker anywhere; loopback and link-local ones only from a source
/// that is as local. A source that is a person counts as [`Reach::Loopback`].
pub fn may_dial(address: SocketAddr, source: Reach) -> bool {
    address.port() != 0
        && Reach::of(address.ip()).is_some_and(|reach| reach >= Reach::Private || reach >= source)
}

/// The address of 4 or 16 bytes. An IPv4 address written as an IPv6 one is the former: it is dialled as such.
pub fn ip_from_bytes(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok();
    v4.or_else(|| <[u8; 16]>::try_from(bytes).map(|octets| IpAddr::from(octets).to_canonical()).ok())
}

/// The 4 or 16 bytes of an address.
pub fn ip_to_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_has_one_address_of_ipv4_or_64_bits_of_ipv6() {
        let subscriber = |text: &str| subscriber(text.parse().unwrap());
        assert_eq!(subscriber("192.0.2.1"), subscriber("::ffff:192.0.2.1"));
        assert_ne!(subscriber("192.0.2.1"), subscriber("192.0.2.2"));
        assert_eq!(subscriber("2001:db8::1"), subscriber("2001:db8::ffff:1"));
        assert_ne!(subscriber("2001:db8::1"), subscriber("2001:db8:0:1::1"));
    }

    #[test]
    fn an_address_is_its_bytes_and_one_in_clothes_of_ipv6_is_of_ipv4() {
        for text in ["1.2.3.4", "2001:db8::7"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(ip_from_bytes(&ip_to_bytes(address)), Some(address));
        }
        let mapped: IpAddr = "::ffff:1.2.3.4".parse().unwrap();
        assert_eq!(ip_from_bytes(&ip_to_bytes(mapped)), Some(mapped.to_canonical()));
        assert_eq!(ip_from_bytes(b"12345"), None);
    }

    #[test]
    fn a_source_may_not_name_an_address_more_local_than_itself() {
        let peer = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (address, source, allowed) in [
            ("127.0.0.1:1", Reach::Loopback, true),
            ("127.0.0.1:1", Reach::Private, false),
            ("[::ffff:127.0.0.1]:1", Reach::Global, false),
            ("[::1]:1", Reach::Global, false),
            ("169.254.169.254:80", Reach::Global, false),
            ("169.254.1.1:80", Reach::LinkLocal, true),
            ("10.0.0.1:1", Reach::Global, true),
            ("8.8.8.8:1", Reach::Loopback, true),
            ("8.8.8.8:0", Reach::Loopback, false),
            ("0.0.0.0:1", Reach::Loopback, false),
            ("224.0.0.1:1", Reach::Loopback, false),
            ("255.255.255.255:1", Reach::Loopback, false),
            ("[ff02::1]:1", Reach::Loopback, false),
        ] {
            assert_eq!(may_dial(peer(address), source), allowed, "{address} from {source:?}");
        }
    }
}
