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
