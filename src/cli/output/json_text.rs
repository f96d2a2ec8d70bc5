//! JSON that is safe to print.
//!
//! JSON allows characters in strings that a terminal obeys (DEL, C1 controls) or that turn text around (bidi).
//! They are written as `\uNNNN`: a program reads the same text, a person sees what is there.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::base::invisible::is_unsafe;

/// `value` as JSON on one line, without a line end.
///
/// # Panics
///
/// When `value` is of a type that JSON can't hold, such as a map whose keys are no strings.
pub fn to_json<T: Serialize>(value: &T) -> String {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, SafeFormatter);
    value.serialize(&mut serializer).expect("the type fits into JSON and a Vec takes all bytes");
    String::from_utf8(bytes).expect("JSON is written as UTF-8")
}

struct SafeFormatter;

impl Formatter for SafeFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, c) in text.char_indices().filter(|(_, c)| is_unsafe(*c)) {
            writer.write_all(&text.as_bytes()[plain..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = at + c.len_utf8();
        }
        writer.write_all(&text.as_bytes()[plain..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_back_as_it_was_and_printed_without_harm() {
        let text = "a\x1b[2J\n\x7f\u{9b}\u{202e}\u{e0001}\"日本語";
        let json = to_json(&[text]);
        assert!(!json.chars().any(is_unsafe), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
    }
}
