//! How fast `create` and `verify` are, as whole commands.
//!
//! `cargo bench --bench making` makes a file of 1 GiB and a folder of 10,000 files of 50 KiB in the folder for temporary
//! files (`TMPDIR` chooses: files in memory, on a disk), and prints seconds and GiB/s, medians of 7 runs
//! after one that is not counted, with pieces of several lengths and with one thread and all. `MIB=64` makes
//! the file so long instead.

#![allow(clippy::print_stdout, reason = "a bench is there to print")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const RUNS: usize = 7;
const SMALL_FILES: usize = 10_000;
const SMALL: usize = 50 * 1024;

fn main() {
    let mib: usize = std::env::var("MIB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(1024);
    let work = tempfile::tempdir().expect("there is a folder for temporary files");
    let dir = work.path();
    let mut number = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        let words = (0..length / 8).flat_map(|_| {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            number.to_le_bytes()
        });
        words.collect()
    };
    fs::write(dir.join("one"), noise(mib << 20)).expect("it has room for the payload");
    fs::create_dir(dir.join("many")).expect("it is ours");
    for name in 0..SMALL_FILES {
        fs::write(dir.join("many").join(format!("{name:05}")), noise(SMALL)).expect("it has room");
    }
    let payloads = [("one", mib << 20), ("many", SMALL_FILES * SMALL)];
    for (name, bytes) in payloads {
        println!("\n{name}: {} MiB", bytes >> 20);
        for (piece, threads) in [("64K", None), ("1M", None), ("16M", None), ("1M", Some("1"))] {
            let mut options = vec!["--piece-length", piece];
            let mut checking = Vec::new();
            if let Some(threads) = threads {
                options.extend(["--check-threads", threads]);
                checking.extend(["--check-threads", threads]);
            }
            let made = format!("{name}.torrent");
            let create = [&["create", name, "-q", "-o", &made][..], &options].concat();
            let verify = [&["verify", made.as_str(), "-q"][..], &checking].concat();
            let made = dir.join(&made);
            let making = median(|| {
                let _ = fs::remove_file(&made);
                run(dir, &create);
            });
            let verifying = median(|| run(dir, &verify));
            let rate = |seconds: f64| bytes as f64 / f64::from(1 << 30) / seconds;
            println!(
                "pieces of {piece:>4}, {:>3} threads: create {making:.3} s, {:.2} GiB/s; verify {verifying:.3} s, {:.2} GiB/s",
                threads.unwrap_or("all"),
                rate(making),
                rate(verifying),
            );
        }
    }
}

fn run(dir: &Path, words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_btget"));
    command.args(words).current_dir(dir).stdin(Stdio::null());
    let status = command.status().expect("btget runs");
    assert!(status.success(), "{words:?}: {status}");
}

fn median(mut work: impl FnMut()) -> f64 {
    work();
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[RUNS / 2]
}
