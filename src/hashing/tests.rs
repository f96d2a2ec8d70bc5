use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::base::digest;

/// Every kernel of this processor, and the automatic choice.
fn plans() -> Vec<(String, Plan)> {
    let mut plans = vec![("automatic".to_owned(), Plan::automatic())];
    for kernel in Kernel::ALL {
        match Plan::only(kernel) {
            Some(plan) => plans.push((kernel.to_string(), plan)),
            None => println!("{kernel} is not tested: this processor has not what it needs"),
        }
    }
    plans
}

/// Bytes that differ from message to message.
fn message(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 253 + seed * 101 + 7) as u8).collect()
}

#[test]
fn runs_of_several_messages_do_not_mix() {
    for (name, plan) in plans() {
        let (mut one, mut two) = (RunningHash::default(), RunningHash::default());
        plan.advance(&mut [
            Run { hash: &mut one, bytes: &[b"ab", b"c"] },
            Run { hash: &mut two, bytes: &[b"x"] },
        ]);
        plan.advance(&mut [Run { hash: &mut two, bytes: &[b"yz"] }]);
        assert_eq!(plan.finish(one), digest::sha1(b"abc"), "{name}");
        assert_eq!(plan.finish(two), digest::sha1(b"xyz"), "{name}");
    }
}

#[test]
fn every_length_around_a_block_is_right_in_every_lane() {
    let messages: Vec<Vec<u8>> = (0..=260).map(|length| message(length, length)).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    for (name, plan) in plans() {
        for count in 1..=17 {
            for messages in messages.chunks(count) {
                let (sha1, sha256) = (plan.sha1_each(messages), plan.sha256_each(messages));
                assert_eq!((sha1.len(), sha256.len()), (messages.len(), messages.len()));
                for ((message, sha1), sha256) in messages.iter().zip(sha1).zip(sha256) {
                    let length = message.len();
                    assert_eq!(sha1, digest::sha1(message), "{name}: {count} messages, {length} bytes");
                    assert_eq!(sha256, digest::sha256(message), "{name}: {count} messages, {length} bytes");
                }
            }
        }
    }
}

#[test]
fn a_run_may_begin_and_end_anywhere() {
    let whole = message(3, 200);
    for (name, plan) in plans() {
        for first in 0..=130 {
            for second in [0, 1, 55, 56, 63, 64, 65] {
                let mut hash = RunningHash::default();
                let end = (first + second).min(whole.len());
                plan.advance(&mut [Run { hash: &mut hash, bytes: &[&whole[..first]] }]);
                plan.advance(&mut [Run {
                    hash: &mut hash,
                    bytes: &[&whole[first..end], b"", &whole[end..]],
                }]);
                assert_eq!(plan.finish(hash), digest::sha1(&whole), "{name}: {first} and {second}");
            }
        }
    }
}

#[test]
fn the_same_digests_come_from_every_kernel_for_long_messages() {
    let messages: Vec<Vec<u8>> = (0..35).map(|seed| message(seed, 16 * 1024)).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    for (name, plan) in plans() {
        for (at, found) in plan.sha256_each(&messages).into_iter().enumerate() {
            assert_eq!(found, digest::sha256(messages[at]), "{name}: {at}");
        }
        for (at, found) in plan.sha1_each(&messages).into_iter().enumerate() {
            assert_eq!(found, digest::sha1(messages[at]), "{name}: {at}");
        }
    }
}

#[test]
fn nothing_to_hash_is_no_harm() {
    for (name, plan) in plans() {
        plan.advance(&mut []);
        let mut hash = RunningHash::default();
        plan.advance(&mut [Run { hash: &mut hash, bytes: &[] }]);
        assert_eq!(plan.finish(hash), digest::sha1(b""), "{name}");
        assert!(plan.sha1_each(&[]).is_empty() && plan.sha256_each(&[]).is_empty(), "{name}");
    }
}

#[test]
fn a_length_of_more_than_four_gigabytes_of_bits_is_padded_right() {
    // 2^29 bytes are 2^32 bits; hashed in slices of the same megabyte.
    let zeros = vec![0; 1 << 20];
    let bytes: Vec<&[u8]> = vec![&zeros; 513];
    let mut hashes = vec![RunningHash::default(); 8];
    let mut runs: Vec<Run<'_>> = hashes.iter_mut().map(|hash| Run { hash, bytes: &bytes }).collect();
    advance(&mut runs);
    let mut expected = sha1::Sha1::default();
    bytes.iter().for_each(|bytes| sha1::Digest::update(&mut expected, bytes));
    let expected = Sha1Hash(sha1::Digest::finalize(expected).into());
    assert!(hashes.into_iter().all(|hash| hash.finish() == expected));
}

#[test]
fn a_kernel_is_found_by_its_name() {
    for kernel in Kernel::ALL {
        assert_eq!(Kernel::from_name(&kernel.to_string()), Some(kernel));
        assert!((1..=MAX_LANES).contains(&kernel.lanes()));
    }
    for (name, plan) in plans() {
        let lanes = Kernel::from_name(&name).map(Kernel::lanes);
        assert!(lanes.is_none_or(|lanes| plan.lanes() == lanes), "{name}");
    }
    assert_eq!(Kernel::from_name("sse9"), None);
    assert_eq!(Plan::named("portable").map(|plan| plan.lanes()), Ok(1));
    let error = Plan::named("sse9").map(|plan| plan.lanes()).unwrap_err().to_string();
    assert!(error.starts_with("BTGET_HASH_KERNEL: there is no kernel \"sse9\"; there are "), "{error}");
    assert!(Kernel::Portable.is_supported());
}

/// Messages, each as runs of slices: all of one step are hashed together, then all of the next.
fn split_messages() -> impl Strategy<Value = Vec<Vec<Vec<Vec<u8>>>>> {
    let slice = prop_oneof![
        vec(any::<u8>(), 0..200),
        (any::<u8>(), 0usize..40).prop_map(|(seed, blocks)| message(usize::from(seed), blocks * 64)),
    ];
    vec(vec(vec(slice, 0..4), 1..4), 1..=20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_put_aside_and_gone_on_with_come_out_whole(messages in split_messages()) {
        for (name, plan) in plans() {
            let mut hashes = vec![RunningHash::default(); messages.len()];
            for step in 0..4 {
                let bytes: Vec<Vec<&[u8]>> = messages
                    .iter()
                    .map(|message| message.get(step).into_iter().flatten().map(Vec::as_slice).collect())
                    .collect();
                let mut runs: Vec<Run<'_>> =
                    hashes.iter_mut().zip(&bytes).map(|(hash, bytes)| Run { hash, bytes }).collect();
                plan.advance(&mut runs);
            }
            for (hash, message) in hashes.into_iter().zip(&messages) {
                let whole = message.concat().concat();
                prop_assert_eq!(plan.finish(hash), digest::sha1(&whole), "{}: {} bytes", name, whole.len());
            }
        }
    }

    #[test]
    fn messages_of_different_lengths_each_get_their_own_digest(lengths in vec(0usize..3000, 1..40)) {
        let messages: Vec<Vec<u8>> =
            lengths.iter().enumerate().map(|(seed, length)| message(seed, *length)).collect();
        let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        for (name, plan) in plans() {
            let (sha1, sha256) = (plan.sha1_each(&messages), plan.sha256_each(&messages));
            for (at, message) in messages.iter().enumerate() {
                prop_assert_eq!(sha1[at], digest::sha1(message), "{}: {} bytes", name, message.len());
                prop_assert_eq!(sha256[at], digest::sha256(message), "{}: {} bytes", name, message.len());
            }
        }
    }
}
