//! One file per promise.
mod metainfo;
