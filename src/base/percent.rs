//! Percent-encoding, as URLs need it (RFC 3986).

/// Appends `bytes` to `text`, all but the unreserved characters as `%XX`.
pub fn push_percent_encoded(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
            text.extend(['%', char::from(high), char::from(low)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_means_nothing_in_a_url_stays() {
        let mut text = "a?b=".to_owned();
        push_percent_encoded(&mut text, "aZ09-._~ /?&=+%\u{e9}\0".as_bytes());
        assert_eq!(text, "a?b=aZ09-._~%20%2F%3F%26%3D%2B%25%C3%A9%00");
    }
}
