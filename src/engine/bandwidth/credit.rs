//! The other side of [`Action::Allow`](crate::engine::action::Action::Allow): what one connection may still move in
//! one direction, kept by whoever moves the bytes.

/// Bytes that may still move, or no limit at all. It may be overdrawn: what was too much counts against what is
/// allowed next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credit(i64);

/// Stands for no limit.
const UNLIMITED: i64 = i64::MAX;

impl Credit {
    /// So many bytes.
    pub const fn new(bytes: u32) -> Credit {
        Credit(bytes as i64)
    }

    /// Allows `bytes` more; [`u64::MAX`] lifts the limit for good.
    pub fn allow(&mut self, bytes: u64) {
        self.0 = if bytes == u64::MAX { UNLIMITED } else { self.0.saturating_add_unsigned(bytes) };
    }

    /// Notes that `bytes` have moved; says whether that counts.
    pub fn spend(&mut self, bytes: u64) -> bool {
        if self.0 == UNLIMITED {
            return false;
        }
        self.0 = self.0.saturating_sub_unsigned(bytes);
        true
    }

    /// How many bytes may move now; [`u64::MAX`] without a limit.
    pub fn left(self) -> u64 {
        if self.0 == UNLIMITED { u64::MAX } else { self.0.max(0).unsigned_abs() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_overdrawn_counts_against_what_is_allowed_next() {
        let mut credit = Credit::new(10);
        assert!(credit.spend(30));
        assert_eq!(credit.left(), 0);
        credit.allow(25);
        assert_eq!(credit.left(), 5);
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let mut credit = Credit::new(10);
        credit.allow(u64::MAX);
        assert!(!credit.spend(u64::MAX));
        assert_eq!(credit.left(), u64::MAX);
    }
}
