//! How much a limit of the download rate lets us ask for.
//!
//! What is asked for comes, whether we read it or not, and waits meanwhile in the system's buffers, ours and the
//! peer's. So no more is out than the limit lets through in a second. Peers share that by their rates, with a
//! part in equal shares, from which newcomers show what they can do.

use std::ops::{Add, Sub};

use super::Context;
use super::active::Active;
use crate::base::layout::BLOCK_LENGTH;
use crate::base::rate::ByteRate;
use crate::base::time::Duration;
use crate::engine::input::ConnectionId;

/// What is out lasts so long at the limit.
const HORIZON: Duration = Duration::from_secs(1);
/// Blocks that may be out under any limit: at 2 KiB/s they take as long as a peer may let them lie.
const BLOCKS_MIN: usize = 2;
/// Of the budget, one part in so many is shared equally.
const EQUAL_PART: u64 = 4;

/// What peers under a limit are asked for.
#[derive(Clone, Copy, Default, Debug)]
pub(in crate::engine) struct Asking {
    /// Requests out.
    out: usize,
    /// Peers that may be asked.
    peers: usize,
    /// What these give, bytes a second.
    rate: u64,
}

impl Add for Asking {
    type Output = Asking;
    fn add(self, other: Asking) -> Asking {
        Asking {
            out: self.out + other.out,
            peers: self.peers + other.peers,
            rate: self.rate.saturating_add(other.rate),
        }
    }
}

impl Sub for Asking {
    type Output = Asking;
    fn sub(self, other: Asking) -> Asking {
        Asking {
            out: self.out - other.out,
            peers: self.peers - other.peers,
            rate: self.rate.saturating_sub(other.rate),
        }
    }
}

impl Active {
    /// How many requests a peer may have out under the limits.
    pub(super) fn requests_allowed(&mut self, ctx: &Context<'_>, connection: ConnectionId) -> usize {
        let limits =
            [(ctx.settings.limits.down, ctx.asked_elsewhere), (self.spec.limits.down, Asking::default())];
        if limits.iter().all(|(limit, _)| limit.is_none()) {
            return usize::MAX;
        }
        let here = self.asking(ctx);
        let Some(peer) = self.peers.get_mut(&connection) else { return 0 };
        if ctx.settings.is_unlimited(peer.address.ip()) {
            return usize::MAX;
        }
        let (out, rate) = (peer.requests.len(), peer.down.rate(ctx.now).0);
        let shares = limits.into_iter().filter_map(|(limit, elsewhere)| {
            let limit = limit?;
            Some(share(limit, here + elsewhere, out, rate))
        });
        shares.min().unwrap_or(usize::MAX)
    }

    /// What its peers under a limit are asked for.
    pub(in crate::engine) fn asking(&mut self, ctx: &Context<'_>) -> Asking {
        let mut asking = Asking::default();
        let is_limited = |address: std::net::SocketAddr| !ctx.settings.is_unlimited(address.ip());
        for peer in self.peers.values_mut().filter(|peer| is_limited(peer.address)) {
            asking.out += peer.requests.len();
            if peer.may_request() {
                asking.peers += 1;
                asking.rate += peer.down.rate(ctx.now).0;
            }
        }
        asking
    }
}

/// How many requests a peer may have out that has `out` and gives `rate`.
fn share(limit: ByteRate, all: Asking, out: usize, rate: u64) -> usize {
    let budget = (limit.over(HORIZON) / u64::from(BLOCK_LENGTH)).max(BLOCKS_MIN as u64);
    let equal = limit.0 / EQUAL_PART / all.peers.max(1) as u64 + 1;
    let weight = u128::from(all.rate) + u128::from(equal) * all.peers.max(1) as u128;
    let share = u128::from(budget) * u128::from(rate.saturating_add(equal)) / weight;
    let free = (budget as usize).saturating_sub(all.out);
    (share as usize).max(1).min(out + free)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: ByteRate = ByteRate(100 * BLOCK_LENGTH as u64);

    #[test]
    fn a_peer_alone_is_asked_for_a_second_of_the_limit() {
        let alone = Asking { out: 0, peers: 1, rate: LIMIT.0 };
        assert_eq!(share(LIMIT, alone, 0, LIMIT.0), 100);
        assert_eq!(share(ByteRate(1), Asking { out: 0, peers: 1, rate: 0 }, 0, 0), BLOCKS_MIN);
    }

    #[test]
    fn peers_share_by_rate_and_a_newcomer_has_a_part() {
        let all = Asking { out: 0, peers: 3, rate: LIMIT.0 };
        let shares = [3 * LIMIT.0 / 4, LIMIT.0 / 4, 0].map(|rate| share(LIMIT, all, 0, rate));
        assert_eq!(shares, [66, 26, 6]);
    }

    #[test]
    fn no_more_is_out_than_the_budget() {
        let all = Asking { out: 98, peers: 2, rate: LIMIT.0 };
        assert_eq!(share(LIMIT, all, 0, LIMIT.0 / 2), 2);
        assert_eq!(share(LIMIT, Asking { out: 120, ..all }, 30, LIMIT.0 / 2), 30);
    }
}
