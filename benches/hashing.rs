//! How fast the hash kernels are, by how many messages they have and where these lie.
//!
//! `cargo bench --bench hashing` prints GiB/s on one core, the best of many short samples, which others' work
//! disturbs least: each kernel with 1 to 16
//! messages, in the cache and in memory, beside the crates `sha1` and `sha2`; then the scheduler with
//! messages of random lengths. The choice in `hashing/plan.rs` is made from these tables. Words on the command
//! line choose tables: sha1, sha256, memory, scheduler.

#![allow(clippy::print_stdout, reason = "a bench is there to print")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use btget::base::random::Rng;
use btget::hashing::{Kernel, MAX_LANES, Plan, Run, RunningHash};
use sha1::Digest as _;

/// Bytes of a message that stays in the second cache with 15 others.
const SMALL: usize = 32 * 1024;
/// Bytes of a message that does not.
const LARGE: usize = 4 * 1024 * 1024;
/// A sample is about so long, and there are so many of each.
const SAMPLE: Duration = Duration::from_micros(500);
const SAMPLES: usize = 40;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |table: &str| wanted.is_empty() || wanted.iter().any(|word| word == table);
    let memory: Vec<u8> = (0..MAX_LANES * LARGE).map(|at| (at * 31 + at / 253) as u8).collect();
    // Adjacent blocks in a receive buffer have a header of 13 bytes between them, so no alignment is usual.
    let small: Vec<&[u8]> = memory.chunks(SMALL + 13).map(|bytes| &bytes[13..]).take(MAX_LANES).collect();
    let large: Vec<&[u8]> = memory.chunks(LARGE).map(|bytes| &bytes[13..]).collect();
    if is_wanted("sha1") {
        table("SHA-1, messages of 32 KiB in the cache", |plan, count| sha1(plan, &small[..count]));
    }
    if is_wanted("sha256") {
        table("SHA-256, messages of 32 KiB in the cache", |plan, count| sha256(plan, &small[..count]));
    }
    if is_wanted("memory") {
        table("SHA-1, messages of 4 MiB in memory", |plan, count| sha1(plan, &large[..count]));
        table("SHA-256, messages of 4 MiB in memory", |plan, count| sha256(plan, &large[..count]));
        println!("\nSHA-256, 1024 leaves of 16 KiB in memory");
        let leaves: Vec<&[u8]> = memory.chunks(16 * 1024).take(1024).collect();
        each_plan(|plan| sha256(plan, &leaves));
    }
    if is_wanted("scheduler") {
        let mut rng = Rng::from_number(1);
        let mut ends = |count: usize, most: usize| -> Vec<&[u8]> {
            let one = |_| {
                let start = rng.below(memory.len() / 4);
                &memory[start..start + 1 + rng.below(most)]
            };
            (0..count).map(one).collect()
        };
        for (count, most) in [(16, 256 * 1024), (64, 64 * 1024), (1000, 16 * 1024), (1000, 1000)] {
            println!("\nSHA-1, {count} messages of up to {most} bytes");
            let messages = ends(count, most);
            each_plan(|plan| sha1(plan, &messages));
        }
    }
}

/// GiB/s by kernel and number of messages.
fn table(title: &str, mut rate: impl FnMut(Option<&Plan>, usize) -> f64) {
    println!("\n{title}");
    let counts: Vec<usize> = (1..=MAX_LANES).collect();
    print!("{:>9}", "messages");
    counts.iter().for_each(|count| print!(" {count:>5}"));
    println!();
    let mut row = |name: &str, plan: Option<&Plan>| {
        print!("{name:>9}");
        for count in &counts {
            print!(" {:>5.2}", rate(plan, *count));
        }
        println!();
    };
    row("crate", None);
    for kernel in Kernel::ALL {
        if let Some(plan) = Plan::only(kernel) {
            row(&kernel.to_string(), Some(&plan));
        }
    }
    row("plan", Some(&Plan::automatic()));
}

/// GiB/s by kernel.
fn each_plan(mut rate: impl FnMut(Option<&Plan>) -> f64) {
    println!("{:>9} {:.2}", "crate", rate(None));
    for kernel in Kernel::ALL {
        if let Some(plan) = Plan::only(kernel) {
            println!("{:>9} {:.2}", kernel.to_string(), rate(Some(&plan)));
        }
    }
    println!("{:>9} {:.2}", "plan", rate(Some(&Plan::automatic())));
}

/// The crate's own rate without a plan.
fn sha1(plan: Option<&Plan>, messages: &[&[u8]]) -> f64 {
    best(messages, || match plan {
        None => messages.iter().for_each(|message| {
            black_box(sha1::Sha1::digest(message));
        }),
        Some(plan) => {
            let bytes: Vec<[&[u8]; 1]> = messages.iter().map(|message| [*message]).collect();
            let mut hashes = vec![RunningHash::default(); messages.len()];
            let mut runs: Vec<Run<'_>> =
                hashes.iter_mut().zip(&bytes).map(|(hash, bytes)| Run { hash, bytes }).collect();
            plan.advance(&mut runs);
            black_box(hashes);
        }
    })
}

/// The crate's own rate without a plan.
fn sha256(plan: Option<&Plan>, messages: &[&[u8]]) -> f64 {
    best(messages, || match plan {
        None => messages.iter().for_each(|message| {
            black_box(sha2::Sha256::digest(message));
        }),
        Some(plan) => {
            black_box(plan.sha256_each(messages));
        }
    })
}

/// GiB/s of `work` on all of `messages`.
fn best(messages: &[&[u8]], mut work: impl FnMut()) -> f64 {
    let bytes: usize = messages.iter().map(|message| message.len()).sum();
    let sample = |_| {
        let (start, mut rounds) = (Instant::now(), 0);
        while rounds == 0 || start.elapsed() < SAMPLE {
            work();
            rounds += 1;
        }
        (rounds * bytes) as f64 / start.elapsed().as_secs_f64() / f64::from(1 << 30)
    };
    (0..SAMPLES).map(sample).fold(0.0, f64::max)
}
