//! Compression functions for several messages at once, and which of them this processor has.
//!
//! A kernel works on whole 64-byte blocks and on so many lanes side by side, each a state of its own and
//! data of its own. It knows nothing of messages: lengths, ends and padding are the scheduler's. All
//! `unsafe` of hashing is in this folder. A kernel's functions are handed out only after its instructions
//! were found on the processor, which is what makes it safe to call them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512vl;
mod portable;
#[cfg(target_arch = "x86_64")]
mod rounds;
#[cfg(target_arch = "x86_64")]
mod shani;

use std::fmt;

/// What the compression functions of SHA-1 and SHA-256 take at a time.
pub(super) type Block = [u8; 64];

/// Moves each state on by the first `count` blocks of its own data.
///
/// There are as many states as data, at least one and at most the kernel's lanes, and each data has at least
/// `count` blocks.
pub(super) type Compress<const WORDS: usize> = fn(&mut [[u32; WORDS]], &[&[Block]], usize);

/// A kernel's two functions. The words of the state tell them apart: five for SHA-1, eight for SHA-256.
#[derive(Clone, Copy)]
pub(super) struct Functions {
    pub(super) sha1: Compress<5>,
    pub(super) sha256: Compress<8>,
}

/// A way to hash several messages at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kernel {
    /// One message at a time, with the crates `sha1` and `sha2`, which use SHA instructions where there are
    /// any.
    Portable,
    /// Two interleaved messages, with the SHA instructions of x86.
    ShaNi,
    /// 8 lanes of AVX2.
    Avx2,
    /// 8 lanes of AVX-512VL: the width of AVX2, with rotations and three-way logic.
    Avx512Vl,
    /// 16 lanes of AVX-512.
    Avx512,
}

impl Kernel {
    /// All there are, for any processor.
    pub const ALL: [Kernel; 5] =
        [Kernel::Portable, Kernel::ShaNi, Kernel::Avx2, Kernel::Avx512Vl, Kernel::Avx512];

    /// How many messages it hashes side by side.
    pub fn lanes(self) -> usize {
        match self {
            Kernel::Portable => 1,
            Kernel::ShaNi => 2,
            Kernel::Avx2 | Kernel::Avx512Vl => 8,
            Kernel::Avx512 => 16,
        }
    }

    /// Whether this processor has what the kernel needs.
    pub fn is_supported(self) -> bool {
        self.functions().is_some()
    }

    /// The kernel of this name.
    pub fn from_name(name: &str) -> Option<Kernel> {
        Kernel::ALL.into_iter().find(|kernel| kernel.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Kernel::Portable => "portable",
            Kernel::ShaNi => "shani",
            Kernel::Avx2 => "avx2",
            Kernel::Avx512Vl => "avx512vl",
            Kernel::Avx512 => "avx512",
        }
    }

    /// Its functions, if this processor has what they need.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn functions(self) -> Option<Functions> {
        match self {
            Kernel::Portable => Some(portable::functions()),
            Kernel::ShaNi => shani::functions(),
            Kernel::Avx2 => avx2::functions(),
            Kernel::Avx512Vl => avx512vl::functions(),
            Kernel::Avx512 => avx512::functions(),
        }
    }

    /// Its functions, if this processor has what they need.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn functions(self) -> Option<Functions> {
        (self == Kernel::Portable).then(portable::functions)
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
