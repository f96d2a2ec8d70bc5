//! Floor 3.

pub mod disk;
