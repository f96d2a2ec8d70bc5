//! What the system is told of reads to come. It is advice: where there is none, or it is not heeded, the read itself
//! is only slower, and it is the read that tells what is wrong.

use std::fs::File;

/// Has the system read these bytes of `file` ahead.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn read_ahead(file: &File, offset: u64, length: u64) {
    let length = std::num::NonZeroU64::new(length);
    // Without a length it would be all the rest.
    if length.is_some() {
        let _ = rustix::fs::fadvise(file, offset, length, rustix::fs::Advice::WillNeed);
    }
}

/// Tells the system that `file` is read from front to back.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn expect_sequence(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Sequential);
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn read_ahead(_: &File, _: u64, _: u64) {}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn expect_sequence(_: &File) {}
