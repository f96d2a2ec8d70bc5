//! One torrent, one peer that has it, and the program that downloads it, in a folder of the test's own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::harness::free_address;
use crate::harness::payload::{BLOCK, Payload};
use crate::harness::program::Btget;
use crate::harness::scripted_peer::{Script, ScriptedPeer};

pub(crate) const LIMIT: Duration = Duration::from_secs(100);

pub(crate) struct Setting {
    pub(crate) work: tempfile::TempDir,
    pub(crate) payload: Payload,
    pub(crate) torrent: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Setting {
    pub(crate) fn new(payload: Payload) -> Setting {
        let work = tempfile::tempdir().expect("a folder for the test");
        let torrent = payload.write_torrent(work.path(), None);
        Setting { work, payload, torrent, address: free_address(Ipv4Addr::LOCALHOST) }
    }

    pub(crate) fn seed(&self, pause: Duration) -> ScriptedPeer {
        let script = Script {
            address: self.address,
            dials: false,
            pieces: 0..self.payload.num_pieces(),
            corrupts_every: 0,
            pause,
            leaves_when_served: false,
        };
        ScriptedPeer::start(&self.payload, script)
    }

    pub(crate) fn start(&self, flags: &[&str]) -> Btget {
        self.start_by(&[], flags)
    }

    /// The same, by a command that runs another.
    pub(crate) fn start_by(&self, by: &[&str], flags: &[&str]) -> Btget {
        let address = self.address.to_string();
        let mut args = vec!["--progress", "line", "-v", "--encryption", "off", "--peer", &address];
        args.extend(flags);
        if !flags.contains(&"--stall") {
            args.extend(["--timeout", "90s"]);
        }
        Btget::download_by(by, self.work.path(), &self.torrent, &self.out(), &args)
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.work.path().join("out")
    }

    pub(crate) fn state_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.work.path().join("home/btget")).expect("there is a state folder");
        let paths = entries.map(|entry| entry.expect("an entry can be read").path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "state")).collect()
    }

    pub(crate) fn blocks(&self) -> usize {
        self.payload.bytes().len().div_ceil(BLOCK)
    }

    pub(crate) fn complete(&self, btget: &mut Btget) {
        if let Err(what) = btget.wait(LIMIT) {
            panic!("btget did not finish: {what}");
        }
        assert_eq!(self.payload.difference_in(&self.out()), None);
    }

    /// Waits until it ends with this code; what it has said.
    pub(crate) fn ends_with(&self, code: i32, btget: &mut Btget) -> String {
        let end = btget.wait(LIMIT).expect_err("it does not succeed");
        assert!(end.starts_with(&format!("exit status: {code}\n")), "{end}");
        btget.stderr()
    }
}

pub(crate) fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} takes too long");
        std::thread::sleep(Duration::from_millis(1));
    }
}
