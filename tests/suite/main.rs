//! The project's promises, one file each.

mod architecture;
mod metainfo;
