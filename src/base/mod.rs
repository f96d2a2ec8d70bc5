//! Floor 0: the words of the field.
//!
//! Hashes, indexes, geometry, time, rates, limits and single-message digests: the vocabulary that every
//! other floor speaks, and nothing that decides, parses a protocol or touches the outside world.

pub mod address;
pub mod bencode;
pub mod bitfield;
pub mod block_data;
pub mod digest;
pub mod file_map;
pub mod hash;
pub mod index;
pub mod invisible;
pub mod layout;
pub mod limit;
pub mod peer_id;
pub mod percent;
pub mod random;
pub mod rate;
pub mod size;
pub mod time;
