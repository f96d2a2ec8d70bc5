//! Locks between processes. They lie on open files, so the system lets go of them when their holder ends.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};

/// A lock that is held until this value goes.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Somebody else holds the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy {
    /// Who, where that can be found out.
    pub pid: Option<u32>,
}

impl Lock {
    /// Takes the lock on `file` alone, or else together with others that share it; says whether it is shared.
    pub fn take_or_share(file: File) -> Result<(Lock, bool), Busy> {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok((Lock::share_in(file)?, true)),
            Ok(()) => Ok((Lock { file }, false)),
            Err(TryLockError::Error(error)) => Ok((Lock::none(file, &error), false)),
        }
    }

    /// Takes the lock on `file` together with others that share it.
    pub fn share_in(file: File) -> Result<Lock, Busy> {
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Err(Busy { pid: holder(&file) }),
            Ok(()) => Ok(Lock { file }),
            Err(TryLockError::Error(error)) => Ok(Lock::none(file, &error)),
        }
    }

    /// File systems that know no locks let everybody in.
    fn none(file: File, error: &std::io::Error) -> Lock {
        tracing::debug!(%error, "no locks here");
        Lock { file }
    }

    /// Writes our process's number into the file of a journal's lock, for systems that do not tell who holds
    /// it.
    pub(super) fn sign(&mut self) {
        // A lock without a name is a lock all the same.
        let _ = self.file.set_len(0).and_then(|()| write!(self.file, "{}", std::process::id()));
    }

    /// From here on, others may share it.
    pub fn share(&self) {
        // It stays ours alone then, which is safe.
        let _ = self.file.try_lock_shared();
    }

    /// Takes alone what was shared so far, if nobody else shares it. Of two who try at once, one gets it.
    pub fn unshare(&self) -> bool {
        // Where there are no locks, nobody is in the way.
        !matches!(self.file.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// The file that the lock lies on, and lies on for as long as that is open.
    pub fn into_file(self) -> File {
        self.file
    }
}

/// The list of locks is not read in one piece: while others lock and unlock, a line can slip through.
const LOOKS: usize = 5;

/// Who holds the lock on `file`.
fn holder(file: &File) -> Option<u32> {
    (0..LOOKS).find_map(|_| listed_holder(file)).or_else(|| {
        let mut file = file;
        let mut text = String::new();
        file.rewind().ok()?;
        file.take(16).read_to_string(&mut text).ok()?;
        text.parse().ok()
    })
}

/// As the system lists it: `1: FLOCK ADVISORY WRITE 708 00:13:1234 0 EOF`, where 1234 is the file's number.
#[cfg(target_os = "linux")]
fn listed_holder(file: &File) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let inode = file.metadata().ok()?.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = words[..] else { return None };
        (place.rsplit(':').next()? == inode).then_some(())?;
        pid.parse().ok().filter(|pid| *pid > 0)
    })
}

#[cfg(not(target_os = "linux"))]
fn listed_holder(_: &File) -> Option<u32> {
    None
}
