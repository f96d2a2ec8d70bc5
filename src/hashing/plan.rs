//! Which kernel takes how many messages, on this processor.
//!
//! What was measured decides (`cargo bench --bench hashing`): SHA instructions win for few messages, wide
//! vectors for many, since they cost the same however many of their lanes are busy.
//! `BTGET_HASH_KERNEL` names one kernel for everything, for tests and measurements; whether it can be had is asked
//! with [`require_kernel`], before anything is hashed.

use std::sync::OnceLock;

use super::kernel::{Compress, Functions, Kernel};
use super::running::{Padding, Running, to_bytes};
use super::scheduler::{self, Lane};
use super::{Run, RunningHash};
use crate::base::hash::{Sha1Hash, Sha256Hash};

/// Messages that any kernel takes side by side, at most.
pub const MAX_LANES: usize = 16;

/// Names a kernel, for tests and measurements.
const VARIABLE: &str = "BTGET_HASH_KERNEL";

/// The kernel that is asked for is not here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {why}", VARIABLE)]
pub struct KernelError {
    why: String,
}

/// An error when the environment names a kernel that cannot be had.
pub fn require_kernel() -> Result<(), KernelError> {
    wanted().map(drop)
}

/// What the environment asks for.
fn wanted() -> Result<Option<Plan>, KernelError> {
    std::env::var_os(VARIABLE).map(|name| Plan::named(&name.to_string_lossy())).transpose()
}

/// Which kernels hash, by how many messages there are.
#[derive(Clone)]
pub struct Plan {
    sha1: Table<5>,
    sha256: Table<8>,
}

/// One algorithm's functions, by how many messages there are.
#[derive(Clone)]
pub(super) struct Table<const WORDS: usize> {
    steps: [Step<WORDS>; MAX_LANES],
}

/// How the next blocks are hashed.
#[derive(Clone, Copy)]
pub(super) struct Step<const WORDS: usize> {
    /// Messages that go side by side.
    pub(super) lanes: usize,
    pub(super) compress: Compress<WORDS>,
}

impl<const WORDS: usize> Table<WORDS> {
    fn new(kernel: impl Fn(usize) -> Kernel, algorithm: impl Fn(Functions) -> Compress<WORDS>) -> Self {
        let step = |at| {
            let kernel = kernel(at + 1);
            let functions = kernel.functions().expect("only kernels that the processor has are chosen");
            Step { lanes: kernel.lanes(), compress: algorithm(functions) }
        };
        Table { steps: std::array::from_fn(step) }
    }

    /// Messages that go side by side, at most.
    pub(super) fn width(&self) -> usize {
        self.steps[MAX_LANES - 1].lanes
    }

    /// For so many busy lanes, at least one.
    pub(super) fn step(&self, busy: usize) -> Step<WORDS> {
        self.steps[busy - 1]
    }
}

impl Plan {
    /// This process's plan.
    pub fn current() -> &'static Plan {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        PLAN.get_or_init(|| {
            let wanted = wanted().inspect_err(|error| tracing::warn!("{error}"));
            wanted.ok().flatten().unwrap_or_else(Plan::automatic)
        })
    }

    /// The fastest for this processor.
    pub fn automatic() -> Plan {
        let first_of = |kernels: &[Kernel]| {
            kernels.iter().copied().find(|kernel| kernel.is_supported()).unwrap_or(Kernel::Portable)
        };
        let has_sha = Kernel::ShaNi.is_supported();
        Plan::of(|busy| first_of(for_sha1(busy, has_sha)), |busy| first_of(for_sha256(busy, has_sha)))
    }

    /// One kernel for everything, if this processor has it.
    pub fn only(kernel: Kernel) -> Option<Plan> {
        kernel.is_supported().then(|| Plan::of(|_| kernel, |_| kernel))
    }

    /// The kernel of this name.
    pub(super) fn named(name: &str) -> Result<Plan, KernelError> {
        let Some(kernel) = Kernel::from_name(name) else {
            let known = Kernel::ALL.map(|kernel| kernel.to_string()).join(", ");
            return Err(KernelError { why: format!("there is no kernel {name:?}; there are {known}") });
        };
        let missing =
            || KernelError { why: format!("this processor has not what the kernel {kernel} needs") };
        Plan::only(kernel).ok_or_else(missing)
    }

    fn of(sha1: impl Fn(usize) -> Kernel, sha256: impl Fn(usize) -> Kernel) -> Plan {
        Plan {
            sha1: Table::new(sha1, |functions| functions.sha1),
            sha256: Table::new(sha256, |functions| functions.sha256),
        }
    }

    /// How many messages of SHA-1 go side by side, at most.
    pub fn lanes(&self) -> usize {
        self.sha1.width()
    }

    /// Hashes each run into its message. The runs belong to different messages, so their order is free.
    pub fn advance(&self, runs: &mut [Run<'_>]) {
        let lanes = runs.iter_mut().map(|run| Lane::new(&mut run.hash.message, run.bytes)).collect();
        scheduler::advance(&self.sha1, lanes);
    }

    /// SHA-1 of each of many messages.
    pub fn sha1_each(&self, messages: &[&[u8]]) -> Vec<Sha1Hash> {
        digests(&self.sha1, &Running::SHA1, messages).map(|words| Sha1Hash(to_bytes(words))).collect()
    }

    /// SHA-256 of each of many messages, as the leaves of a merkle tree are (BEP 52).
    pub fn sha256_each(&self, messages: &[&[u8]]) -> Vec<Sha256Hash> {
        digests(&self.sha256, &Running::SHA256, messages).map(|words| Sha256Hash(to_bytes(words))).collect()
    }

    pub(super) fn finish(&self, hash: RunningHash) -> Sha1Hash {
        Sha1Hash(to_bytes(hash.message.finish(self.sha1.step(1).compress)))
    }
}

/// The kernels for so many messages of SHA-1, the fastest first.
fn for_sha1(busy: usize, has_sha: bool) -> &'static [Kernel] {
    use Kernel::{Avx2, Avx512, Avx512Vl, ShaNi};
    match busy {
        // Vectors with one busy lane are slower than what works on one message.
        1 => &[ShaNi],
        2..=4 => &[ShaNi, Avx512Vl, Avx2],
        5..=6 => &[Avx512Vl, ShaNi, Avx2],
        7..=8 => &[Avx512Vl, Avx2, ShaNi],
        // Eight, and then the one or two that are left.
        9..=10 if has_sha => &[Avx512Vl, Avx2, ShaNi],
        _ => &[Avx512, Avx512Vl, Avx2, ShaNi],
    }
}

/// The kernels for so many messages of SHA-256, the fastest first.
fn for_sha256(busy: usize, has_sha: bool) -> &'static [Kernel] {
    use Kernel::{Avx2, Avx512, Avx512Vl, ShaNi};
    match busy {
        1 => &[ShaNi],
        // SHA-256 has twice the rotations of SHA-1: vectors come up to the SHA instructions when all of
        // sixteen lanes are busy, and eight lanes don't.
        ..=13 if has_sha => &[ShaNi],
        _ if has_sha => &[Avx512, ShaNi],
        ..=8 => &[Avx512Vl, Avx2],
        _ => &[Avx512, Avx512Vl, Avx2],
    }
}

/// The padding goes through the lanes as the end of each message.
fn digests<const WORDS: usize>(
    table: &Table<WORDS>,
    empty: &Running<WORDS>,
    messages: &[&[u8]],
) -> impl Iterator<Item = [u32; WORDS]> {
    let padding: Vec<Padding> = messages.iter().map(|message| Padding::of(message.len() as u64)).collect();
    let bytes: Vec<[&[u8]; 2]> =
        messages.iter().zip(&padding).map(|(message, padding)| [*message, padding.bytes()]).collect();
    let mut running = vec![empty.clone(); messages.len()];
    let lanes = running.iter_mut().zip(&bytes).map(|(running, bytes)| Lane::new(running, bytes)).collect();
    scheduler::advance(table, lanes);
    running.into_iter().map(|running| running.state)
}
