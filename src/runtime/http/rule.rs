//! Which addresses an HTTP request may go to, at every hop.
//!
//! An address may not be more local than its source: a URL that a stranger chose leads to this machine only
//! where the engine said so, and an answer from far away never redirects to here.

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;
use url::Host;

use crate::base::address::Reach;
use crate::engine::action::AddressFamily;
use crate::engine::input::HttpFailure;

/// What may be asked, from the widest to the narrowest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Allowed {
    /// Whatever a person named.
    Anything,
    /// This machine and everything from this site outwards.
    ThisMachine,
    /// Everything from this site outwards.
    Elsewhere,
}

/// A rule for addresses; as a key it also names the client that keeps it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct AddressRule {
    pub(super) allowed: Allowed,
    /// 4, 6, or any.
    pub(super) version: Option<u8>,
}

impl AddressRule {
    pub(super) fn new(allowed: Allowed, family: Option<AddressFamily>) -> AddressRule {
        let version = family.map(|family| match family {
            AddressFamily::V4 => 4,
            AddressFamily::V6 => 6,
        });
        AddressRule { allowed, version }
    }

    /// Those of `addresses` that may be connected to.
    pub(super) fn filter(&self, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, HttpFailure> {
        let of_family: Vec<IpAddr> =
            addresses.into_iter().filter(|address| self.has_family(*address)).collect();
        if of_family.is_empty() {
            return Err(HttpFailure::NoSuchFamily);
        }
        let allowed: Vec<IpAddr> = of_family.into_iter().filter(|address| self.allows(*address)).collect();
        if allowed.is_empty() { Err(TOO_LOCAL) } else { Ok(allowed) }
    }

    /// Whether `url` may be asked, as far as its text tells.
    pub(super) fn check(&self, url: &Url) -> Result<(), HttpFailure> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HttpFailure::Refused("only http and https URLs are fetched"));
        }
        match url.host() {
            Some(Host::Ipv4(address)) => self.filter(vec![IpAddr::V4(address)]).map(drop),
            // An IPv4 address written as an IPv6 one is reached over IPv4.
            Some(Host::Ipv6(address)) => self.filter(vec![address.to_canonical()]).map(drop),
            Some(Host::Domain(_)) => Ok(()),
            None => Err(HttpFailure::Refused("the URL names no host")),
        }
    }

    /// The rule for where `server` redirects to, `url`.
    pub(super) fn after(&self, server: Option<SocketAddr>, url: &Url) -> AddressRule {
        let is_here = server.is_some_and(|server| Reach::of(server.ip()) == Some(Reach::Loopback));
        let stays = is_here && (self.allowed == Allowed::Anything || url.path().starts_with("/announce"));
        AddressRule { allowed: if stays { self.allowed } else { Allowed::Elsewhere }, ..*self }
    }

    fn has_family(&self, address: IpAddr) -> bool {
        self.version.is_none_or(|version| (version == 4) == address.is_ipv4())
    }

    fn allows(&self, address: IpAddr) -> bool {
        match (self.allowed, Reach::of(address)) {
            (_, None) => false,
            (Allowed::Anything, Some(_)) | (_, Some(Reach::Private | Reach::Global)) => true,
            (Allowed::ThisMachine, Some(reach)) => reach == Reach::Loopback,
            (Allowed::Elsewhere, Some(_)) => false,
        }
    }
}

const TOO_LOCAL: HttpFailure = HttpFailure::Refused("the address is more local than its source allows");

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allowed: Allowed, family: Option<AddressFamily>, url: &str) -> Result<(), HttpFailure> {
        AddressRule::new(allowed, family).check(&Url::parse(url).unwrap())
    }

    #[test]
    fn only_a_person_may_name_any_address() {
        for (url, here, elsewhere) in [
            ("http://127.0.0.1/", true, false),
            ("http://[::1]/", true, false),
            ("http://[::ffff:127.0.0.1]/", true, false),
            ("http://2130706433/", true, false),
            ("http://169.254.169.254/", false, false),
            ("http://[fe80::1]/", false, false),
            ("http://10.0.0.1/", true, true),
            ("http://8.8.8.8/", true, true),
            ("http://name.example/", true, true),
        ] {
            assert!(check(Allowed::Anything, None, url).is_ok(), "{url}");
            assert_eq!(check(Allowed::ThisMachine, None, url).is_ok(), here, "{url}");
            assert_eq!(check(Allowed::Elsewhere, None, url).is_ok(), elsewhere, "{url}");
        }
        for url in ["http://0.0.0.0/", "http://[::]/", "http://224.0.0.1/", "file:///etc/passwd", "ftp://a/"]
        {
            assert!(check(Allowed::Anything, None, url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_host_without_an_address_of_the_family_is_told_apart() {
        let missing = Err(HttpFailure::NoSuchFamily);
        assert_eq!(check(Allowed::Elsewhere, Some(AddressFamily::V6), "http://8.8.8.8/"), missing);
        assert_eq!(check(Allowed::Elsewhere, Some(AddressFamily::V4), "http://[2001:db8::1]/"), missing);
        let rule = AddressRule::new(Allowed::Elsewhere, Some(AddressFamily::V4));
        let mixed = ["2001:db8::1", "10.0.0.1", "127.0.0.1"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(rule.filter(mixed.to_vec()), Ok(vec![mixed[1]]));
        assert_eq!(rule.filter(vec![mixed[2]]), Err(TOO_LOCAL));
    }

    #[test]
    fn a_redirect_never_leads_closer_than_where_it_comes_from() {
        let after = |allowed, server: &str, url: &str| {
            let url = Url::parse(url).unwrap();
            AddressRule::new(allowed, None).after(Some(server.parse().unwrap()), &url).allowed
        };
        for source in ["8.8.8.8:80", "10.0.0.1:80", "[2001:db8::1]:80", "169.254.1.1:80"] {
            assert_eq!(after(Allowed::Anything, source, "http://127.0.0.1/announce"), Allowed::Elsewhere);
        }
        assert_eq!(
            after(Allowed::ThisMachine, "127.0.0.1:1", "http://[::1]/announce?a"),
            Allowed::ThisMachine
        );
        assert_eq!(after(Allowed::ThisMachine, "127.0.0.1:1", "http://[::1]/admin"), Allowed::Elsewhere);
        assert_eq!(after(Allowed::Anything, "127.0.0.1:1", "http://127.0.0.1:2/a"), Allowed::Anything);
        assert_eq!(after(Allowed::Elsewhere, "127.0.0.1:1", "http://127.0.0.1/announce"), Allowed::Elsewhere);
    }
}
