//! Which file systems have no disk behind them. Only Linux is asked.

use std::fs::File;

/// `f_type` of a tmpfs, see statfs(2).
#[cfg(target_os = "linux")]
const TMPFS: u64 = 0x0102_1994;

/// Whether a file lies in memory.
#[cfg(target_os = "linux")]
pub(crate) fn is_in_memory(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|stat| stat.f_type.cast_unsigned() == TMPFS)
}

/// Whether what is at `path` lies in memory.
#[cfg(target_os = "linux")]
pub(crate) fn is_path_in_memory(path: &std::path::Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type.cast_unsigned() == TMPFS)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_in_memory(_: &File) -> bool {
    false
}
