//! What options mean to the program as a whole: which families of addresses are used, what the command line and the
//! environment say together, and what is said of mistakes in either.

use std::time::Duration;

use crate::harness::payload::Payload;
use crate::setting::Setting;

#[test]
fn with_6_nobody_is_dialled_over_ipv4_and_with_4_nobody_over_ipv6() {
    let setting = Setting::new(Payload::single("film", 100_000, 16_384));
    let seed = setting.seed(Duration::ZERO);
    // The setting names its peer at 127.0.0.1 itself.
    let said = setting.ends_with(5, &mut setting.start(&["-6", "--stall", "1s"]));
    assert!(said.contains("--peer 127.0.0.1: it has no IPv6 address, and -6 takes no other"), "{said}");
    assert_eq!(seed.record().connections, 0);
    let said =
        setting.ends_with(5, &mut setting.start(&["-4", "--peer", "[::1]:9", "--stall", "0.1s", "-o", "x"]));
    assert!(said.contains("--peer ::1: it has no IPv4 address, and -4 takes no other"), "{said}");
    setting.complete(&mut setting.start(&["-4"]));
}
