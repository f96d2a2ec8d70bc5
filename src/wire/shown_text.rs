//! Text from strangers, made fit to be shown to people.

use crate::base::invisible::is_unsafe;
use crate::base::limit;

/// `bytes` as text of at most [`limit::SHOWN_TEXT`] characters. What could move a terminal's cursor or turn
/// the direction of writing is escaped as `\u{1b}`, and what is not UTF-8 is U+FFFD.
pub fn shown_text(bytes: &[u8]) -> String {
    // No character has more than four bytes, so nothing beyond can be shown.
    let bytes = &bytes[..bytes.len().min(4 * limit::SHOWN_TEXT)];
    let text = String::from_utf8_lossy(bytes);
    let escaped = text.chars().flat_map(|char| {
        let plain = (!is_unsafe(char)).then_some(char);
        let escape = plain.is_none().then(|| char.escape_unicode());
        plain.into_iter().chain(escape.into_iter().flatten())
    });
    escaped.take(limit::SHOWN_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_strangers_cannot_touch_the_terminal() {
        assert_eq!(shown_text("Grüße 🙂".as_bytes()), "Grüße 🙂");
        assert_eq!(shown_text(b"\x1b[2Ja\nb\xff"), "\\u{1b}[2Ja\\u{a}b\u{fffd}");
        assert_eq!(shown_text("a\u{202e}b".as_bytes()), "a\\u{202e}b");
        assert_eq!(shown_text("\u{fff9}\u{e0041}".as_bytes()), "\\u{fff9}\\u{e0041}");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(shown_text(&[b'x'; 1 << 20]), "x".repeat(limit::SHOWN_TEXT));
        assert_eq!(shown_text("🙂".repeat(1000).as_bytes()), "🙂".repeat(limit::SHOWN_TEXT));
        assert_eq!(shown_text(&[0; 5000]).chars().count(), limit::SHOWN_TEXT);
    }
}
