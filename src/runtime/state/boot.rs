//! Which run of the system this is: what was written in an earlier one may not have reached the disk.

/// The system's name for its present run. `None` where it has none: then nothing written counts.
#[cfg(target_os = "linux")]
pub(in crate::runtime) fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = id.trim();
    (!id.is_empty() && id.len() <= 64).then(|| id.to_owned())
}

/// No name is known for other systems' runs.
#[cfg(not(target_os = "linux"))]
pub(in crate::runtime) fn boot_id() -> Option<String> {
    None
}
