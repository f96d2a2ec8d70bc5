//! Words to values: sizes, rates, durations, ports, addresses. Each says in its error what it wants.

use std::ops::RangeInclusive;

use crate::base::limit;
use crate::base::rate::ByteRate;
use crate::base::time::Duration;
use crate::metainfo::create::PIECE_LENGTH_MIN;
use crate::metainfo::usable_url;

/// A size in bytes: `512`, `64K`, `1.5G` (steps of 1024), `KiB` the same, `KB` in steps of 1000.
pub fn size(text: &str) -> Result<u64, String> {
    let wanted = || "a size is a number with K, M, G or T behind it, such as 64M or 1.5G".to_owned();
    let (number, unit) = number_and_unit(text).ok_or_else(wanted)?;
    let factor = byte_unit(&unit).ok_or_else(wanted)?;
    whole(number * factor).ok_or_else(|| "that size is too big".to_owned())
}

/// A rate in bytes a second: a size, `2M/s`, or bits as `8mbit`.
pub fn rate(text: &str) -> Result<ByteRate, String> {
    let wanted = || "a rate is a size a second, such as 500K, 2M or 8mbit".to_owned();
    let (number, unit) = number_and_unit(text).ok_or_else(wanted)?;
    let unit = unit.strip_suffix("/s").unwrap_or(&unit);
    let factor = match unit {
        "bit" => 1.0 / 8.0,
        "kbit" => 1e3 / 8.0,
        "mbit" => 1e6 / 8.0,
        "gbit" => 1e9 / 8.0,
        _ => byte_unit(unit).ok_or_else(wanted)?,
    };
    whole(number * factor).map(ByteRate).ok_or_else(|| "that rate is too high".to_owned())
}

/// A duration: plain seconds, or `90s`, `10m`, `1h30m`, `2d`, `500ms`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "a duration is such as 90, 90s, 10m, 1h30m or 2d".to_owned();
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let factor = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            // Only a number that stands alone may do without a unit: "1h30" could be either.
            "" if rest.len() == text.len() => 1.0,
            _ => return Err(wanted()),
        };
        seconds += number.parse::<f64>().map_err(|_| wanted())? * factor;
        rest = after;
    }
    if text.is_empty() {
        return Err(wanted());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| "that duration is too long".to_owned())
}

/// A port, or a range of ports: `6881` or `6881-6889`.
pub fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wanted = || "a port is a number from 1 to 65535, or a range such as 6881-6889".to_owned();
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wanted);
    let range = match text.split_once('-') {
        Some((first, last)) => port(first)?..=port(last)?,
        None => port(text)?..=port(text)?,
    };
    if range.is_empty() { Err(wanted()) } else { Ok(range) }
}

/// A host and a port: `example.org:6881`, `192.0.2.1:6881`, `[2001:db8::1]:6881`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPort {
    /// A name, or an address without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// Reads a [`HostPort`].
pub fn host_port(text: &str) -> Result<HostPort, String> {
    let wanted = || "HOST:PORT is wanted, such as example.org:6881 or [2001:db8::1]:6881".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wanted)?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wanted)?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '[', ']', '/', ' ']),
    };
    let host = bracketed.unwrap_or(host).to_owned();
    if is_good { Ok(HostPort { host, port }) } else { Err(wanted()) }
}

/// The URL of a tracker.
pub fn tracker(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| error.to_string())?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(text.to_owned()),
        "udp" => Err("udp trackers are not supported yet".to_owned()),
        _ => Err("a tracker's URL begins with http:// or https://".to_owned()),
    }
}

/// Trackers of one tier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tier(pub Vec<String>);

/// The URLs of trackers of one tier, with commas between them: http, https or udp.
pub fn tier(text: &str) -> Result<Tier, String> {
    let wanted = "a tracker is a URL such as http://t.example/announce or udp://t.example:6969";
    let url = |text: &str| usable_url(text, &["http", "https", "udp"]).ok_or_else(|| wanted.to_owned());
    Ok(Tier(text.split(',').map(url).collect::<Result<_, _>>()?))
}

/// The same; nothing is no tracker.
pub fn tier_or_none(text: &str) -> Result<Tier, String> {
    if text.is_empty() { Ok(Tier(Vec::new())) } else { tier(text) }
}

/// The URL of a web seed.
pub fn web_seed(text: &str) -> Result<String, String> {
    usable_url(text, &["http", "https"]).ok_or_else(|| "a web seed is an http or https URL".to_owned())
}

/// The same; nothing is no web seed.
pub fn web_seed_or_none(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { web_seed(text) }
}

/// The length of a piece, bytes.
pub fn piece_length(text: &str) -> Result<u32, String> {
    let length = u32::try_from(size(text)?).ok();
    length
        .filter(|length| {
            length.is_power_of_two() && (PIECE_LENGTH_MIN..=limit::PIECE_LENGTH).contains(length)
        })
        .ok_or_else(|| "a piece's length is a power of two from 16K to 256M".to_owned())
}

/// How many threads; `None`: as many as suit the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Threads(pub Option<usize>);

/// Reads [`Threads`].
pub fn threads(text: &str) -> Result<Threads, String> {
    match text.parse() {
        _ if text == "auto" => Ok(Threads(None)),
        Ok(number @ 1..=limit::CHECK_THREADS) => Ok(Threads(Some(number))),
        _ => Err(format!("auto or a number from 1 to {} is wanted", limit::CHECK_THREADS)),
    }
}

/// A number, and what follows it in lower case.
fn number_and_unit(text: &str) -> Option<(f64, String)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start().to_ascii_lowercase()))
}

fn byte_unit(unit: &str) -> Option<f64> {
    let (letter, step) = match unit {
        "" | "b" => return Some(1.0),
        _ => match (unit.get(..1)?, unit.get(1..)?) {
            (letter, "" | "ib") => (letter, 1024.0_f64),
            (letter, "b") => (letter, 1000.0),
            _ => return None,
        },
    };
    let power = "kmgt".find(letter)? + 1;
    Some(step.powi(power as i32))
}

fn whole(number: f64) -> Option<u64> {
    (number <= i64::MAX as f64).then_some(number.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_letters_step_by_1024_and_b_steps_by_1000() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("64K", 65_536),
            ("64k", 65_536),
            ("1.5G", 3 << 29),
            ("2KiB", 2048),
            ("2KB", 2000),
            ("3 MB", 3_000_000),
            ("1T", 1 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", "-1", "1X", "1KK", "1,5G", "9999999999T", "1é", "nan", "inf", "1e3"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_may_be_given_in_bits() {
        assert_eq!(rate("8mbit"), Ok(ByteRate(1_000_000)));
        assert_eq!(rate("8Mbit/s"), Ok(ByteRate(1_000_000)));
        assert_eq!(rate("2M/s"), Ok(ByteRate(2 << 20)));
        assert_eq!(rate("500K"), Ok(ByteRate(500 << 10)));
        assert!(rate("fast").is_err());
    }

    #[test]
    fn durations_add_up_and_a_plain_number_is_seconds() {
        for (text, millis) in [
            ("90", 90_000),
            ("1.5", 1_500),
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("500ms", 500),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1h30", "10 m", "-5", "1y", "1..2s", "99999999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_are_one_or_a_range_that_is_not_empty() {
        assert_eq!(ports("6881"), Ok(6881..=6881));
        assert_eq!(ports("6881-6889"), Ok(6881..=6889));
        for text in ["0", "65536", "9-1", "1-", "-1", "x", ""] {
            assert!(ports(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_peer_is_a_name_or_an_address_and_a_port() {
        let peer = |host: &str, port| Ok(HostPort { host: host.to_owned(), port });
        assert_eq!(host_port("example.org:1"), peer("example.org", 1));
        assert_eq!(host_port("192.0.2.1:6881"), peer("192.0.2.1", 6881));
        assert_eq!(host_port("[2001:db8::1]:6881"), peer("2001:db8::1", 6881));
        for text in ["example.org", ":1", "a:0", "2001:db8::1:6881", "[x]:1", "http://a:1", "a:99999"] {
            assert!(host_port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tracker_is_asked_over_http() {
        assert!(tracker("http://t.example/announce?passkey=1").is_ok());
        assert!(tracker("udp://t.example:80").is_err_and(|error| error.contains("not supported yet")));
        assert!(tracker("t.example").is_err());
    }
}
