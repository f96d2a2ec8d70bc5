//! Another client as a child process: found, started in a process group of its own, killed when let go of.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A client that runs; the whole process group ends with this value.
pub(crate) struct PeerProcess {
    child: Child,
    log: PathBuf,
}

impl PeerProcess {
    /// Starts `command` with its home and its log in `work`, a folder that no other client uses.
    pub(crate) fn start<S: AsRef<OsStr>>(work: &Path, command: &[S]) -> PeerProcess {
        let log = work.join("peer.log");
        let file = File::create(&log).expect("the test's folder takes a file");
        // If the tests themselves are killed nobody lets go of the client: it must not stay for ever.
        let mut limited = Command::new("timeout");
        limited.args(["--signal=KILL", "600"]).args(command).process_group(0).current_dir(work);
        for variable in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "TRANSMISSION_HOME"] {
            limited.env(variable, work);
        }
        limited.stdin(Stdio::null()).stderr(file.try_clone().expect("a file can be duplicated")).stdout(file);
        let child = limited.spawn().expect("coreutils has timeout");
        PeerProcess { child, log }
    }

    /// What it has printed so far.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// The last lines of its log, for a failure's message.
    pub(crate) fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n    ")
    }
}

impl Drop for PeerProcess {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        // Errors mean that it has ended already.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Where the program is, or nothing: then the test that asks says so and passes, unless `BTGET_INTEROP=require`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    if is_set_to("off") {
        return not_here("BTGET_INTEROP=off");
    }
    on_path(program).or_else(|| not_here(&format!("no {program} on the PATH; {INSTALL}")))
}

/// As [`find`], for rqbit: on the PATH, or where install.sh puts it.
pub(crate) fn find_rqbit() -> Option<PathBuf> {
    if is_set_to("off") {
        return not_here("BTGET_INTEROP=off");
    }
    let built = home().join("bin/rqbit");
    let found = on_path("rqbit").or_else(|| built.is_file().then_some(built));
    found.or_else(|| not_here(&format!("no rqbit on the PATH or in {}; {INSTALL}", home().display())))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The Python that has libtorrent, where install.sh puts it.
pub(crate) fn find_libtorrent() -> Option<PathBuf> {
    if is_set_to("off") {
        return not_here("BTGET_INTEROP=off");
    }
    let python = home().join("bin/python");
    let imports = Command::new(&python).args(["-c", "import libtorrent"]).output();
    match imports {
        Ok(output) if output.status.success() => Some(python),
        _ => not_here(&format!("no libtorrent for Python in {}; {INSTALL}", home().display())),
    }
}

/// Where install.sh puts what is not the system's.
fn home() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interop");
    std::env::var_os("BTGET_INTEROP_HOME").map_or(default, PathBuf::from)
}

const INSTALL: &str = "tests/interop/install.sh installs it";

/// Says why the running test does not run; fails it if everything is required to be there.
pub(crate) fn not_here<T>(why: &str) -> Option<T> {
    assert!(!is_set_to("require"), "did NOT run: {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not through print macros, whose output a passing test keeps to itself.
    let _ =
        std::io::Write::write_all(&mut std::io::stderr(), format!("{test} did NOT run: {why}\n").as_bytes());
    None
}

fn is_set_to(value: &str) -> bool {
    std::env::var_os("BTGET_INTEROP").is_some_and(|set| set == value)
}
