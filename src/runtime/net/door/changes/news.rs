//! What messages of rtnetlink say that was not known: links that were down are up, addresses are new. Much else is said
//! again and again, such as how long an address is still good for, and is no news.

use std::collections::{BTreeMap, BTreeSet};

/// Kinds of messages.
const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const DEL_ADDRESS: u16 = 21;
/// Before each message: length, kind, flags, number, port.
const HEADER: usize = 16;
/// Before an address's attributes: family, prefix, flags, scope, link.
const ADDRESS_HEADER: usize = 8;
/// A link's flag for one that carries data.
const RUNNING: u32 = 0x40;
/// Attributes of an address: of the other end where there is one, and of ours.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
/// Links and addresses that are remembered.
const KNOWN: usize = 4_096;

/// What is known so far; at first nothing.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Links by number, and whether they carry data.
    links: BTreeMap<u32, bool>,
    /// Addresses by link.
    addresses: BTreeSet<(u32, Vec<u8>)>,
}

impl News {
    /// Takes messages; says whether the network is better than before.
    pub(super) fn is_better(&mut self, mut messages: &[u8]) -> bool {
        let mut is_better = false;
        while let Some(length) = number(messages, 0).map(|length| length as usize)
            && (HEADER..=messages.len()).contains(&length)
        {
            let kind = short(messages, 4).unwrap_or_default();
            is_better |= self.on_message(kind, &messages[HEADER..length]);
            messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        is_better
    }

    fn on_message(&mut self, kind: u16, body: &[u8]) -> bool {
        let Some(link) = number(body, 4) else { return false };
        match kind {
            NEW_LINK => {
                let is_up = number(body, 8).is_some_and(|flags| flags & RUNNING != 0);
                // One that is told of for the first time is likely to have been up before.
                self.links.len() < KNOWN && self.links.insert(link, is_up) == Some(false) && is_up
            }
            DEL_LINK => {
                self.links.remove(&link);
                false
            }
            NEW_ADDRESS => {
                self.addresses.len() < KNOWN
                    && address(body).is_some_and(|address| self.addresses.insert((link, address)))
            }
            DEL_ADDRESS => {
                address(body).map(|address| self.addresses.remove(&(link, address)));
                false
            }
            _ => false,
        }
    }
}

/// Our own address in the body of a message.
fn address(body: &[u8]) -> Option<Vec<u8>> {
    let mut attributes = body.get(ADDRESS_HEADER..)?;
    let mut found = None;
    while let (Some(length), Some(kind)) = (short(attributes, 0), short(attributes, 2)) {
        let value = attributes.get(4..usize::from(length))?;
        if kind == LOCAL || kind == ADDRESS && found.is_none() {
            found = Some(value.to_vec());
        }
        attributes = attributes.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn link(number: u32, flags: u32) -> Vec<u8> {
        let body = [[0; 4], number.to_ne_bytes(), flags.to_ne_bytes(), [0; 4]].concat();
        message(NEW_LINK, &body)
    }

    fn address(kind: u16, link: u32, address: [u8; 4], valid: u8) -> Vec<u8> {
        let mut body = [[2, 24, 0, 0], link.to_ne_bytes()].concat();
        for (kind, value) in [(ADDRESS, address), (6, [valid; 4])] {
            body.extend(8_u16.to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value);
        }
        message(kind, &body)
    }

    #[test]
    fn a_link_that_comes_back_is_news_and_one_that_stays_is_none() {
        let mut news = News::default();
        let told: Vec<bool> = [RUNNING, RUNNING | 1, 1, 1, RUNNING, RUNNING]
            .map(|flags| news.is_better(&link(3, flags)))
            .into();
        assert_eq!(told, [false, false, false, false, true, false]);
        assert!(news.is_better(&[link(3, 0), link(4, 0), link(3, RUNNING)].concat()));
    }

    #[test]
    fn an_address_is_news_once_however_often_its_life_is_prolonged() {
        let mut news = News::default();
        let (here, there) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        assert!(news.is_better(&address(NEW_ADDRESS, 1, here, 10)));
        assert!(!news.is_better(&address(NEW_ADDRESS, 1, here, 20)));
        assert!(news.is_better(&address(NEW_ADDRESS, 1, there, 10)));
        assert!(!news.is_better(&address(DEL_ADDRESS, 1, here, 10)));
        assert!(news.is_better(&address(NEW_ADDRESS, 1, here, 10)));
    }

    proptest! {
        #[test]
        fn anything_may_be_said(bytes: Vec<u8>, cut: prop::sample::Index) {
            let mut news = News::default();
            news.is_better(&bytes);
            let whole = [link(1, 0), address(NEW_ADDRESS, 1, [1; 4], 1)].concat();
            news.is_better(&whole[..cut.index(whole.len())]);
        }
    }
}
