//! The program under test as a child process with a home of its own, killed when the test lets go of it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A btget that runs, or has ended.
pub(crate) struct Btget {
    pub(crate) child: Child,
    command: String,
    stderr: PathBuf,
}

impl Btget {
    /// `btget TORRENT -d OUT ARGS...` with the home, the state and the logs below `work`. Only what the arguments
    /// name can be a source: no DHT, no local discovery. `BTGET_TEST_PROGRAM` names another build to test.
    pub(crate) fn download(work: &Path, torrent: &Path, out: &Path, args: &[&str]) -> Btget {
        Btget::download_by(&[], work, torrent, out, args)
    }

    /// The same, run by the command `by`, such as one that changes the user.
    pub(crate) fn download_by(by: &[&str], work: &Path, torrent: &Path, out: &Path, args: &[&str]) -> Btget {
        let home = work.join("home");
        fs::create_dir_all(&home).expect("the test's folder takes a folder");
        let stderr = work.join("btget.stderr");
        let program = std::env::var_os("BTGET_TEST_PROGRAM").unwrap_or(env!("CARGO_BIN_EXE_btget").into());
        let mut words = by.iter().map(Into::into).chain([program]);
        let mut command = Command::new(words.next().expect("the program is one"));
        command
            .args(words)
            .arg(torrent)
            .arg("-d")
            .arg(out)
            .args(["--no-dht", "--no-lsd", "--no-portmap"])
            .args(args);
        for variable in ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
            command.env(variable, &home);
        }
        command.current_dir(work).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&stderr).expect("the test's folder takes a file"));
        let child = command.spawn().expect("btget starts");
        Btget { child, command: format!("{command:?}"), stderr }
    }

    /// What it has written to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        fs::read(&self.stderr).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// Waits for the end; an error says what happened instead of exit code 0 within the limit.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        let what = loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => break format!("{status}"),
                Ok(None) if Instant::now() > deadline => break format!("still running after {limit:?}"),
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Err(error) => break format!("{error}"),
            }
        };
        Err(format!("{what}\n  command: {}\n  stderr:\n{}", self.command, self.stderr()))
    }
}

impl Drop for Btget {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
