//! Peer ids (BEP 20).

use std::fmt;

use super::random::Rng;

/// The 20 bytes by which a peer names itself in handshakes and announces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

/// Azureus-style prefix: `bg` is used by no known client, then the version.
const OUR_PREFIX: &[u8; 8] = b"-bg0100-";

impl PeerId {
    /// A peer id of ours: the prefix and twelve letters and digits, which survive any tracker unescaped.
    pub fn random(rng: &mut Rng) -> PeerId {
        const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut id = [0; 20];
        id[..8].copy_from_slice(OUR_PREFIX);
        for byte in &mut id[8..] {
            *byte = LETTERS[rng.below(LETTERS.len())];
        }
        PeerId(id)
    }
}

/// The id as text, bytes that are not printable ASCII as `\xNN`: an id comes from strangers.
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in &self.0 {
            if byte.is_ascii_graphic() && byte != b'\\' {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_ids_are_printable_and_differ() {
        let mut rng = Rng::from_number(1);
        let (one, two) = (PeerId::random(&mut rng), PeerId::random(&mut rng));
        assert_ne!(one, two);
        assert!(one.to_string().starts_with("-bg0100-"));
        assert_eq!(one.to_string().len(), 20);
    }

    #[test]
    fn a_strangers_id_is_shown_escaped() {
        let id = PeerId(*b"-XX\x1b[2J-\\0123456789a");
        assert_eq!(id.to_string(), "-XX\\x1b[2J-\\x5c0123456789a");
    }
}
