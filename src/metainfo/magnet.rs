//! Magnet links: a torrent's identity and where to ask, as a URI (BEP 9, 52).

use super::Metainfo;
use crate::base::percent::push_percent_encoded;

/// The magnet link of a torrent: its info-hashes, name, trackers and web seeds, in this order. ASCII without
/// spaces or quotes, whatever the names hold.
pub fn magnet_link(metainfo: &Metainfo) -> String {
    let mut link = "magnet:?".to_owned();
    let hashes = &metainfo.info_hashes;
    let topics = [
        hashes.v1.map(|hash| format!("xt=urn:btih:{hash}")),
        // 12 20: a multihash of SHA-256 and 32 bytes.
        hashes.v2.map(|hash| format!("xt=urn:btmh:1220{hash}")),
    ];
    link.push_str(&topics.into_iter().flatten().collect::<Vec<_>>().join("&"));
    let name = std::iter::once(("dn", &metainfo.name));
    let trackers = metainfo.trackers.iter().flatten().map(|url| ("tr", url));
    let web_seeds = metainfo.web_seeds.iter().map(|url| ("ws", url));
    for (key, value) in name.chain(trackers).chain(web_seeds) {
        link.push('&');
        link.push_str(key);
        link.push('=');
        push_percent_encoded(&mut link, value.as_bytes());
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_hashes_name_trackers_and_web_seeds_escaped() {
        let torrent = "d8:announce12:http://t/a?b4:infod6:lengthi5e4:name6:a&b \u{e9}12:piece lengthi16384e6:pieces20:\
                       hhhhhhhhhhhhhhhhhhhhe8:url-list9:http://w/e";
        let metainfo = Metainfo::from_bytes(torrent.as_bytes()).unwrap();
        let hash = metainfo.info_hashes.v1.unwrap();
        assert_eq!(
            magnet_link(&metainfo),
            format!(
                "magnet:?xt=urn:btih:{hash}&dn=a%26b%20%C3%A9&tr=http%3A%2F%2Ft%2Fa%3Fb&ws=http%3A%2F%2Fw%2F"
            )
        );
    }

    #[test]
    fn a_torrent_of_both_versions_is_named_by_both() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/metainfo/hybrid-payload.torrent");
        let metainfo = Metainfo::from_bytes(&std::fs::read(path).unwrap()).unwrap();
        let hashes = metainfo.info_hashes;
        let expected =
            format!("magnet:?xt=urn:btih:{}&xt=urn:btmh:1220{}&dn=", hashes.v1.unwrap(), hashes.v2.unwrap());
        assert!(magnet_link(&metainfo).starts_with(&expected));
    }
}
