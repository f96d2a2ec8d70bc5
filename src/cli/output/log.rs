//! The log of the lower floors (tracing), on the same screen as everything else, for `-vv`.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::Screen;
use super::escape::escape_sentence;

/// Sends the log to `screen`, as much of it as `-v` and `-vv` ask for. Only the first call in a process
/// counts: the log is the process's, not the run's.
pub fn init(screen: &Screen) {
    let level = match screen.verbose() {
        0 => return,
        1 => "btget=info",
        _ => "btget=debug",
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_ansi(false)
        .with_writer(LogWriter(screen.clone()))
        .finish();
    let _second_run = tracing::subscriber::set_global_default(subscriber);
}

struct LogWriter(Screen);

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine(self.0.clone())
    }
}

/// Takes one formatted event, which may hold what strangers wrote.
struct LogLine(Screen);

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.log(&escape_sentence(text.trim_end_matches('\n')));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
