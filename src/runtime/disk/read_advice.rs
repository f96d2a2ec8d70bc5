//! What the system is told of reads to come. It is advice: where there is none, or it is not heeded, the read itself
//! is only slower, and it is the read that tells what is wrong.

use std::fs::File;

/// Linux hears of one call no more than a disk takes in one request, and forgets the rest: mostly 512 KiB or more.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
const AT_ONCE: u64 = 512 * 1024;

/// Has the system read these bytes of `file` ahead.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn read_ahead(file: &File, offset: u64, length: u64) {
    let end = offset.saturating_add(length);
    let mut next = offset;
    // Never without a length: it would be all the rest.
    while let Some(length) = std::num::NonZeroU64::new(AT_ONCE.min(end - next)) {
        let _ = rustix::fs::fadvise(file, next, Some(length), rustix::fs::Advice::WillNeed);
        next += length.get();
    }
}

/// Tells the system that `file` is read from front to back.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn expect_sequence(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Sequential);
}

/// Tells the system that `file` is read once: that it was is no reason to keep it in memory rather than what other
/// programs use. What is in memory already stays. Linux heeds it from 6.3 on.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn expect_one_reading(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::NoReuse);
}

/// Takes back [`expect_one_reading`].
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn expect_any_reading(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Normal);
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn read_ahead(_: &File, _: u64, _: u64) {}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn expect_sequence(_: &File) {}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn expect_one_reading(_: &File) {}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn expect_any_reading(_: &File) {}
