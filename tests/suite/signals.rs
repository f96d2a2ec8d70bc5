//! Signals, terminals and pipes: whoever asks the program to stop need not wait, whatever it waits for itself; nothing
//! that is here is lost; and a terminal or a reader that goes away is no reason to stop.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::cli::{program, run, text};
use crate::disk_faults::{is_root, skipped};
use crate::harness::payload::Payload;
use crate::harness::program::Btget;
use crate::http_server::{HttpServer, nobody};
use crate::setting::{LIMIT, Setting, wait_for};

pub(crate) fn send(signal: &str, child: &Child) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(status.expect("kill runs").success());
}

/// Sends a signal, and says how it ended and how long that took.
fn end(btget: &mut Btget, signal: &str) -> (i32, Duration) {
    let began = Instant::now();
    send(signal, &btget.child);
    let status = btget.child.wait().expect("it is a child");
    (status.code().expect("it ends by itself"), began.elapsed())
}

/// `BTGET_SIGNAL_ROUNDS` says how often it is interrupted.
#[test]
fn an_interrupt_at_any_moment_ends_it_within_two_seconds_and_loses_nothing() {
    let rounds: u32 = std::env::var("BTGET_SIGNAL_ROUNDS").map_or(10, |text| text.parse().expect("a number"));
    let setting = Setting::new(Payload::single("interrupted", 24 << 20, 64 << 10));
    // Slow enough for so many rounds.
    let seed = setting.seed(Duration::from_millis(u64::from(3 + rounds / 8)));
    // The first answers once and then never again: it is to be told that we leave. The second never answers.
    let first = HttpServer::start(Ipv4Addr::LOCALHOST, |_, path| path.contains("event=started").then(nobody));
    let second = HttpServer::start(Ipv4Addr::LOCALHOST, |_, _| None);
    let (mut times, mut random) = (Vec::new(), 12_345_u64);
    for round in 0..rounds {
        let tracker = if round % 2 == 0 { &first } else { &second };
        let log = setting.work.path().join("btget.stderr");
        // A leftover would be taken for this round's.
        let _ = fs::remove_file(&log);
        let mut btget = setting.start(&["--tracker", &tracker.announce_url()]);
        // Its first line is said once signals are caught.
        wait_for("the start", || !btget.stderr().is_empty());
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_millis((random >> 33) % (6_000 / u64::from(rounds) + 200)));
        let signal = if round % 4 < 2 { "-INT" } else { "-TERM" };
        let (code, time) = end(&mut btget, signal);
        let said = btget.stderr();
        if said.contains("done, ") {
            break;
        }
        assert_eq!(code, if signal == "-INT" { 130 } else { 143 }, "round {round}: {said}");
        times.push(time);
    }
    times.sort();
    let [.., slowest] = times[..] else { panic!("it was never interrupted") };
    println!("{} rounds, median {:?}, slowest {slowest:?}", times.len(), times[times.len() / 2]);
    // The machine may be busy with other tests.
    assert!(
        times[times.len() / 2] <= Duration::from_secs(2) && slowest <= Duration::from_secs(8),
        "{times:?}"
    );
    assert!(!first.requests().is_empty() && !second.requests().is_empty(), "no tracker was asked");

    setting.complete(&mut setting.start(&[]));
    let record = seed.record();
    assert_eq!(record.faults, Vec::<String>::new());
    let again = record.sent.len() - setting.blocks();
    println!("{again} blocks of {} were fetched again", setting.blocks());
    // What was on its way when it ended.
    assert!(again <= 32 * times.len(), "{again} blocks were fetched again in {} rounds", times.len());
}

#[test]
fn an_interrupt_does_not_wait_for_a_resolver_that_does_not_answer() {
    if !is_root() {
        return skipped("only root may replace the list of resolvers");
    }
    let setting = Setting::new(Payload::single("unresolved", 1 << 20, 64 << 10));
    let list = setting.work.path().join("resolv.conf");
    let script = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", list.display());
    let by = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let peer = "nobody.example:6881";
    for (last, flags) in [(9, &["--tracker", "http://tracker.example/announce"][..]), (10, &["--peer", peer])]
    {
        let address = Ipv4Addr::new(127, 9, 9, last);
        let Ok(resolver) = UdpSocket::bind((address, 53)) else {
            return skipped(&format!("somebody else answers at {address}"));
        };
        fs::write(&list, format!("nameserver {address}\n")).expect("a file can be written");
        let mut btget = setting.start_by(&by, flags);
        let mut asked = [0; 512];
        resolver.set_read_timeout(Some(LIMIT)).expect("a timeout can be set");
        if resolver.recv(&mut asked).is_err() {
            return skipped(&format!("names are not looked up here: {}", btget.stderr()));
        }
        let (code, time) = end(&mut btget, "-INT");
        assert!(code == 130 && time <= Duration::from_secs(8), "{flags:?}: {code} after {time:?}");
    }
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    let setting = Setting::new(Payload::single("twice", 1 << 20, 64 << 10));
    let tracker =
        HttpServer::start(Ipv4Addr::LOCALHOST, |_, path| path.contains("event=started").then(nobody));
    let mut times = Vec::new();
    for _ in 0..3 {
        let mut btget = setting.start(&["--tracker", &tracker.announce_url()]);
        wait_for("an announce", || btget.stderr().contains("named 0 peers"));
        send("-INT", &btget.child);
        wait_for("the first", || btget.stderr().contains("stopping"));
        let (code, time) = end(&mut btget, "-TERM");
        assert_eq!(code, 143);
        times.push(time);
        fs::remove_file(setting.work.path().join("btget.stderr")).expect("it is there");
    }
    times.sort();
    println!("{times:?}");
    let median = times[times.len() / 2];
    assert!(median <= Duration::from_millis(800), "{times:?}");
}

#[test]
fn a_hang_up_asks_the_tracker_anew_and_usr1_says_how_it_goes() {
    let setting = Setting::new(Payload::single("asked", 1 << 20, 64 << 10));
    let tracker = HttpServer::start(Ipv4Addr::LOCALHOST, |_, _| Some(nobody()));
    let mut btget = setting.start(&["--tracker", &tracker.announce_url()]);
    wait_for("an announce", || btget.stderr().contains("named 0 peers"));
    for _ in 0..20 {
        send("-HUP", &btget.child);
    }
    wait_for("another", || tracker.requests().len() > 1);
    let requests = tracker.requests();
    // Sooner than the tracker's half hour and our own half minute, and yet not all at once.
    let gap = requests[1].at.duration_since(requests[0].at);
    assert!((Duration::from_secs(9)..Duration::from_secs(25)).contains(&gap), "{gap:?}");
    assert!(!requests[1].path.contains("event="), "{requests:?}");

    send("-USR1", &btget.child);
    wait_for("the status", || btget.stderr().contains("0 of 1 done, 0 failed"));
    assert!(btget.stderr().contains("asked  0.0%"), "{}", btget.stderr());
    assert_eq!(end(&mut btget, "-TERM").0, 143);
    assert_eq!(tracker.requests().len(), 3, "after twenty hang-ups: {:?}", tracker.requests());
}

/// The program on a terminal of its own, of which the other end is kept.
struct OnTerminal {
    child: Child,
    terminal: Option<File>,
    /// Whether the one who reads is to let go of the terminal.
    is_gone: Arc<AtomicBool>,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl OnTerminal {
    fn start(dir: &Path, term: &str, args: &[&str]) -> OnTerminal {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
        grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("it is ours");
        let name = ptsname(&terminal, Vec::new()).expect("it has a name");
        let other = File::options().read(true).write(true).open(name.to_str().expect("a plain path"));
        let other: OwnedFd = other.expect("it can be opened").into();
        let stdio = || Stdio::from(other.try_clone().expect("it can be duplicated"));
        let inner = program(dir, args);
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(inner.get_program()).args(inner.get_args()).current_dir(dir);
        command.env("TERM", term).env("XDG_STATE_HOME", dir.join("state"));
        let child =
            command.stdin(stdio()).stdout(Stdio::null()).stderr(stdio()).spawn().expect("setsid runs");
        let terminal = File::from(terminal);
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let (mut reads, into) = (terminal.try_clone().expect("it can be duplicated"), Arc::clone(&shown));
        let is_gone = Arc::<AtomicBool>::default();
        let ends = Arc::clone(&is_gone);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reads.read(&mut buffer)
                && !ends.load(Ordering::SeqCst)
            {
                into.lock().expect("nobody panics with it").extend(&buffer[..count]);
            }
        });
        OnTerminal { child, terminal: Some(terminal), is_gone, shown }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("nobody panics with it")).into_owned()
    }

    /// Lets go of the terminal, when the next thing is shown: then the system tells the program with SIGHUP, and
    /// writing to it fails.
    fn hang_up(&mut self) {
        self.is_gone.store(true, Ordering::SeqCst);
        self.terminal = None;
    }

    fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it is there");
        stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"))
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn on_terminal(setting: &Setting, term: &str) -> OnTerminal {
    let (peer, torrent) = (setting.address.to_string(), setting.torrent.to_str().expect("a plain path"));
    OnTerminal::start(setting.work.path(), term, &[torrent, "-d", "out", "--peer", &peer, "--timeout", "90s"])
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_hangs_up_is_no_reason_to_stop() {
    let setting = Setting::new(Payload::single("hung-up", 8 << 20, 64 << 10));
    let seed = setting.seed(Duration::from_millis(2));
    let mut on = on_terminal(&setting, "xterm");
    wait_for("the bar", || on.shown().contains("hung-up\x1b[0m  ") && seed.record().sent.len() > 20);
    on.hang_up();
    let status = on.child.wait().expect("it is a child");
    assert_eq!(status.code(), Some(0), "{}", on.shown());
    assert_eq!(setting.payload.difference_in(&setting.out()), None);
}

#[cfg(target_os = "linux")]
#[test]
fn stopped_from_the_terminal_it_puts_its_bar_away_and_brings_it_back() {
    let setting = Setting::new(Payload::single("paused", 8 << 20, 64 << 10));
    let seed = setting.seed(Duration::from_millis(4));
    let mut on = on_terminal(&setting, "xterm");
    wait_for("the bar", || on.shown().contains("paused\x1b[0m  ") && seed.record().sent.len() > 20);
    // The key that stops.
    on.terminal.as_mut().expect("it is open").write_all(&[0x1a]).expect("it can be typed to");
    wait_for("the stop", || on.is_stopped());
    // What it has said last may come a moment later.
    wait_for("the bar's end", || on.shown().trim_end().ends_with("\x1b[2K"));
    let last = on.shown();
    send("-CONT", &on.child);
    wait_for("the bar again", || on.shown()[last.len()..].contains("paused\x1b[0m  "));
    assert_eq!(on.child.wait().expect("it is a child").code(), Some(0), "{}", on.shown());
    assert_eq!(setting.payload.difference_in(&setting.out()), None);
}

#[cfg(target_os = "linux")]
#[test]
fn a_dumb_terminal_gets_neither_bars_nor_colors() {
    let setting = Setting::new(Payload::single("plain", 1 << 20, 64 << 10));
    let _seed = setting.seed(Duration::from_millis(10));
    let mut on = on_terminal(&setting, "dumb");
    assert_eq!(on.child.wait().expect("it is a child").code(), Some(0));
    wait_for("the end", || on.shown().contains("plain: done"));
    assert!(!on.shown().contains('\x1b'), "{:?}", on.shown());
}

#[test]
fn a_reader_that_leaves_is_no_reason_to_stop() {
    let setting = Setting::new(Payload::single("unread", 2 << 20, 64 << 10));
    let _seed = setting.seed(Duration::from_millis(2));
    let peer = setting.address.to_string();
    let mut command = program(setting.work.path(), &["unread.torrent", "-d", "out", "--peer", &peer, "-vv"]);
    let mut child = command.args(["--timeout", "90s"]).spawn().expect("btget starts");
    drop((child.stderr.take(), child.stdout.take()));
    assert_eq!(child.wait().expect("it is a child").code(), Some(0));
    assert_eq!(setting.payload.difference_in(&setting.out()), None);
}

#[test]
fn a_result_that_nobody_takes_is_code_17_and_no_panic() {
    let setting = Setting::new(Payload::single("shown", 40_000, 16_384));
    fs::write(setting.work.path().join("data"), b"data").expect("a file can be written");
    for args in [
        &["show", "shown.torrent"][..],
        &["magnet", "shown.torrent"],
        &["verify", "shown.torrent"],
        &["create", "data", "-o", "-"],
        &["edit", "shown.torrent", "--comment", "c", "-o", "-"],
    ] {
        let full = File::options().write(true).open("/dev/full").expect("there is such a device");
        let output = program(setting.work.path(), args).stdout(full).output().expect("btget starts");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(17), "{args:?}: {said}");
        assert!(said.contains("cannot write the result") && !said.contains("panicked"), "{args:?}: {said}");
    }

    let closed = ["-c", "exec \"$@\" >&- 2>&-", "sh", env!("CARGO_BIN_EXE_btget"), "verify", "shown.torrent"];
    let status = Command::new("sh").args(closed).current_dir(setting.work.path()).status().expect("sh runs");
    assert_eq!(status.code(), Some(32));
}

/// The program with a standard error that is a full pipe from soon after the start on, asked for a line now and then.
/// What holds the pipe open, and ends with it, comes along.
fn unread(setting: &Setting, flags: &[&str]) -> (Child, std::io::PipeReader, std::thread::JoinHandle<()>) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe can be made");
    let peer = setting.address.to_string();
    let mut command = program(setting.work.path(), &["ignored.torrent", "-d", "out", "--peer", &peer]);
    let stderr = writer.try_clone().expect("it can be duplicated");
    let child = command.args(flags).stderr(stderr).spawn().expect("btget starts");
    // Waits for ever once the pipe is full, and ends with the reader.
    let filler = std::thread::spawn(move || while writer.write_all(&[b'.'; 4096]).is_ok() {});
    (child, reader, filler)
}

#[test]
fn while_nobody_reads_what_it_says_it_downloads_and_ends_when_it_is_complete() {
    for flags in [&[][..], &["-vv"]] {
        let setting = Setting::new(Payload::single("ignored", 4 << 20, 64 << 10));
        let seed = setting.seed(Duration::from_millis(4));
        let (mut child, reader, filler) = unread(&setting, flags);
        wait_for("all blocks", || {
            // Each asks for a line that nobody reads; before signals are caught it would be the end.
            if !seed.record().sent.is_empty() {
                send("-USR1", &child);
            }
            std::thread::sleep(Duration::from_millis(50));
            seed.record().sent.len() >= setting.blocks()
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        let ended = loop {
            match child.try_wait().expect("it is a child") {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    child.kill().expect("it runs");
                    panic!("{flags:?}: it does not end");
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        assert_eq!(ended.code(), Some(0), "{flags:?}");
        assert_eq!(setting.payload.difference_in(&setting.out()), None);
        drop(reader);
        filler.join().expect("it ends with the reader");
    }
}

#[test]
fn while_nobody_reads_what_it_says_it_ends_when_asked_to() {
    let setting = Setting::new(Payload::single("ignored", 4 << 20, 64 << 10));
    let seed = setting.seed(Duration::from_millis(4));
    let (mut child, reader, filler) = unread(&setting, &["-vv", "--seed"]);
    wait_for("a block", || !seed.record().sent.is_empty());
    wait_for("the file", || setting.payload.difference_in(&setting.out()).is_none());
    let began = Instant::now();
    send("-INT", &child);
    let status = child.wait().expect("it is a child");
    // It may not have taken note yet that it is complete.
    assert!(matches!(status.code(), Some(0 | 130)), "{status}");
    assert!(began.elapsed() <= Duration::from_secs(8), "{:?}", began.elapsed());
    drop(reader);
    filler.join().expect("it ends with the reader");
}

#[test]
fn too_few_open_files_are_said_with_their_cause() {
    let setting = Setting::new(Payload::single("poor", 40_000, 16_384));
    let script = ["-c", "ulimit -n 12; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_btget"), "poor.torrent"];
    let mut command = Command::new("sh");
    command.args(script).args(["--timeout", "300ms"]).current_dir(setting.work.path());
    let output = command.env("XDG_STATE_HOME", setting.work.path()).output().expect("sh runs");
    let said = text(&output.stderr);
    assert!(said.contains("Too many open files") && said.contains("ulimit -n"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    run(setting.work.path(), &["show", "poor.torrent"]);
}
