//! Characters that do something else than show a letter.

/// Whether `c` shows nothing and may change how its neighbours are shown: bidi controls and zero-width
/// characters.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether showing `c` could do more than show a letter: control characters, which move a terminal's cursor,
/// invisible ones, separators of lines and paragraphs.
pub fn is_unsafe(c: char) -> bool {
    c.is_control() || is_invisible(c) || matches!(c, '\u{2028}' | '\u{2029}')
}
