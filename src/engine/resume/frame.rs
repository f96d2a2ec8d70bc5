//! How facts lie in a file: a head that says what it is, then frames, each a length, a digest and facts.
//!
//! A frame counts whole or not at all. Reading ends at the first that is not right: a torn end after a crash,
//! or damage. The head has a digest too, so that a flipped bit is not taken for a later version.

use super::fact::Fact;
use crate::base::digest;

/// The version that is written.
const VERSION: u8 = 1;
const MAGIC: &[u8; 7] = b"btget\0s";
const DIGEST: usize = 8;
const HEAD: usize = MAGIC.len() + 1 + DIGEST;

/// What a file turned out to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// The facts of each frame that is right, and whether something else follows them.
    Frames(Vec<Vec<Fact>>, bool),
    /// No journal.
    Foreign,
    /// A journal of a later version.
    Later,
}

/// The bytes that a file begins with.
pub fn head() -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.push(VERSION);
    let digest = digest::sha1(&head).0;
    head.extend(&digest[..DIGEST]);
    head
}

/// A frame of these facts.
pub fn frame(facts: &[Fact]) -> Vec<u8> {
    let mut bytes = vec![0; 4 + DIGEST];
    facts.iter().for_each(|fact| fact.encode(&mut bytes));
    let (start, body) = bytes.split_at_mut(4 + DIGEST);
    start[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
    start[4..].copy_from_slice(&digest::sha1(body).0[..DIGEST]);
    bytes
}

/// Reads a file's bytes.
pub fn read(bytes: &[u8]) -> Content {
    let Some((head, mut rest)) = bytes.split_at_checked(HEAD) else { return Content::Foreign };
    let (said, digest) = head.split_at(MAGIC.len() + 1);
    if !said.starts_with(MAGIC) || digest::sha1(said).0[..DIGEST] != *digest {
        return Content::Foreign;
    }
    if said[MAGIC.len()] != VERSION {
        return Content::Later;
    }
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let Some((facts, after)) = first_frame(rest) else { return Content::Frames(frames, true) };
        frames.push(facts);
        rest = after;
    }
    Content::Frames(frames, false)
}

fn first_frame(bytes: &[u8]) -> Option<(Vec<Fact>, &[u8])> {
    let (length, bytes) = bytes.split_first_chunk::<4>()?;
    let (digest, bytes) = bytes.split_first_chunk::<DIGEST>()?;
    let (body, after) = bytes.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    (digest::sha1(body).0[..DIGEST] == *digest).then_some(())?;
    Some((Fact::decode_all(body)?, after))
}
