//! Text from strangers, made fit for a terminal or a log.
//!
//! Names, comments, tracker messages and peer ids may hold terminal escapes, line ends that forge another line
//! of a log, or invisible characters that turn the text around. All of these are shown as escapes, so that
//! what is seen is what is there.

use std::fmt::{self, Write as _};

use crate::base::invisible::is_unsafe;

/// Shows a text with its control, bidi and invisible characters as escapes: `\n`, `\x1b`, `\u{202e}`.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '\n' => f.write_str("\\n"),
            '\r' => f.write_str("\\r"),
            '\t' => f.write_str("\\t"),
            _ if !is_unsafe(c) => f.write_char(c),
            _ if u32::from(c) < 0x100 => write!(f, "\\x{:02x}", u32::from(c)),
            _ => write!(f, "\\u{{{:x}}}", u32::from(c)),
        })
    }
}

/// `text` escaped; see [`Escaped`].
pub fn escape(text: &str) -> String {
    Escaped(text).to_string()
}

/// A sentence of ours with what strangers wrote in it, some of it perhaps escaped already: like [`escape`], but
/// backslashes stay as they are, so that nothing is escaped twice.
pub fn escape_sentence(text: &str) -> String {
    text.split('\\').map(escape).collect::<Vec<_>>().join("\\")
}

/// `bytes` as text, escaped; what is not UTF-8 as `\xNN`.
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&escape(chunk.valid()));
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_harm_is_shown_as_an_escape() {
        for (text, shown) in [
            ("plain / täxt 日本語 🎬", "plain / täxt 日本語 🎬"),
            ("\x1b[2J\x07", "\\x1b[2J\\x07"),
            ("a\r\nb\tc\0", "a\\r\\nb\\tc\\x00"),
            ("\u{9b}31m\x7f", "\\x9b31m\\x7f"),
            ("txt.\u{202e}exe\u{200b}", "txt.\\u{202e}exe\\u{200b}"),
            ("a\\b", "a\\\\b"),
            ("a\u{2028}b", "a\\u{2028}b"),
        ] {
            assert_eq!(escape(text), shown);
        }
        assert_eq!(escape_bytes(b"a\xff\xc0\xaeb\x1b"), "a\\xff\\xc0\\xaeb\\x1b");
    }

    #[test]
    fn a_sentence_is_not_escaped_twice() {
        assert_eq!(escape_sentence("no \\x1b[2J \x1b[2J \\\\"), "no \\x1b[2J \\x1b[2J \\\\");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left(bytes: Vec<u8>) {
            prop_assert!(!escape_bytes(&bytes).chars().any(is_unsafe));
        }
    }
}
