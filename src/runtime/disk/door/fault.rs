//! Where tests have payload files fail: before each write, read and sync, by what a test has planned for the
//! download folder. Outside of tests there is nothing here, and asking costs nothing.

use std::io;
use std::path::Path;

/// What is about to be done to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::runtime) enum Call {
    Write,
    Read,
    Sync,
}

/// What is planned for one torrent's files.
#[derive(Clone, Default)]
pub(in crate::runtime) struct Faults {
    #[cfg(test)]
    plan: Option<planned::Plan>,
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faults")
    }
}

#[cfg(not(test))]
impl Faults {
    pub(in crate::runtime) fn of(_: &Path) -> Faults {
        Faults {}
    }

    #[inline]
    pub(in crate::runtime) fn before(&self, _: Call, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
impl Faults {
    pub(in crate::runtime) fn of(dir: &Path) -> Faults {
        Faults { plan: planned::of(dir) }
    }

    pub(in crate::runtime) fn before(&self, call: Call, path: &Path) -> io::Result<()> {
        self.plan.as_ref().map_or(Ok(()), |plan| plan(call, path))
    }
}

#[cfg(test)]
pub(in crate::runtime) mod planned {
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    use super::*;

    /// Fails, waits, or does nothing. The path is the file's final one, below the folder.
    pub(in crate::runtime) type Plan = Arc<dyn Fn(Call, &Path) -> io::Result<()> + Send + Sync>;

    static PLANS: Mutex<Vec<(PathBuf, Plan)>> = Mutex::new(Vec::new());

    fn plans() -> MutexGuard<'static, Vec<(PathBuf, Plan)>> {
        PLANS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `plan` asked for every storage with the folder `dir` that is made from here on.
    pub(in crate::runtime) fn plan(
        dir: &Path,
        plan: impl Fn(Call, &Path) -> io::Result<()> + Send + Sync + 'static,
    ) {
        plans().push((dir.to_owned(), Arc::new(plan)));
    }

    pub(super) fn of(dir: &Path) -> Option<Plan> {
        plans().iter().find(|(planned, _)| planned == dir).map(|(_, plan)| plan.clone())
    }
}
