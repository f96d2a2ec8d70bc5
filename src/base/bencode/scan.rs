//! The scanner: bytes to a table of values, in one pass and without recursion.

use super::Limits;
use super::value::{Document, Kind, SoftErrorKind, Token};

/// Why bytes are not a bencoded value, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{kind} (byte {offset})")]
pub struct ScanError {
    /// Offset of the byte that is wrong, from 0.
    pub offset: usize,
    /// What is wrong there.
    pub kind: ScanErrorKind,
}

/// What is wrong with bencoded bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScanErrorKind {
    /// The bytes end within a value.
    #[error("the data ends too early")]
    Truncated,
    /// A byte that starts no value.
    #[error("no bencoded value starts here")]
    NoValue,
    /// A dictionary's key is not a string.
    #[error("a dictionary's key is not a string")]
    KeyNotString,
    /// A dictionary ends after a key.
    #[error("a dictionary's last key has no value")]
    KeyWithoutValue,
    /// A dictionary has a key twice.
    #[error("a dictionary has the same key twice")]
    DuplicateKey,
    /// An integer that is not `-?[0-9]+`.
    #[error("malformed integer")]
    BadInteger,
    /// A string's length is not a number.
    #[error("malformed string length")]
    BadLength,
    /// A string is longer than the bytes that are left.
    #[error("a string is longer than the data")]
    StringTooLong,
    /// Deeper than [`Limits::depth`].
    #[error("lists and dictionaries are nested too deeply")]
    TooDeep,
    /// More values than [`Limits::tokens`], or more bytes than can be counted.
    #[error("too many values")]
    TooMany,
}

/// Digits of a string's length, leading zeros counted: 2^64 has 20.
const LENGTH_DIGITS: usize = 20;

/// Finds every value of the bencoded value at the start of `bytes`.
///
/// Takes time in proportion to `bytes` and 16 bytes a value. Bytes beyond the value's end are not looked at:
/// see [`Document::end`].
pub fn scan(bytes: &[u8], limits: Limits) -> Result<Document<'_>, ScanError> {
    if u32::try_from(bytes.len()).is_err() {
        return Err(ScanError { offset: 0, kind: ScanErrorKind::TooMany });
    }
    let mut scanner = Scanner { bytes, at: 0, limits, tokens: Vec::new(), open: Vec::new() };
    scanner.scan_value()?;
    Ok(Document::new(bytes, scanner.tokens))
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
    tokens: Vec<Token>,
    open: Vec<Open>,
}

/// A list or dictionary whose end has not come yet.
struct Open {
    token: usize,
    dict: Option<OpenDict>,
}

#[derive(Default)]
struct OpenDict {
    last_key: Option<usize>,
    is_value_due: bool,
    is_unsorted: bool,
}

impl Scanner<'_> {
    fn scan_value(&mut self) -> Result<(), ScanError> {
        loop {
            let first = self.peek()?;
            match first {
                b'e' => self.close()?,
                b'0'..=b'9' => self.scan_string()?,
                _ if self.is_key_due() => return self.fail(ScanErrorKind::KeyNotString),
                b'i' => self.scan_integer()?,
                b'd' => self.open(Kind::Dict)?,
                b'l' => self.open(Kind::List)?,
                _ => return self.fail(ScanErrorKind::NoValue),
            }
            if self.open.is_empty() {
                return Ok(());
            }
        }
    }

    fn peek(&self) -> Result<u8, ScanError> {
        self.bytes.get(self.at).copied().ok_or(ScanError { offset: self.at, kind: ScanErrorKind::Truncated })
    }

    fn fail<T>(&self, kind: ScanErrorKind) -> Result<T, ScanError> {
        Err(ScanError { offset: self.at, kind })
    }

    fn is_key_due(&self) -> bool {
        self.open.last().and_then(|open| open.dict.as_ref()).is_some_and(|dict| !dict.is_value_due)
    }

    fn open(&mut self, kind: Kind) -> Result<(), ScanError> {
        if self.open.len() >= self.limits.depth {
            return self.fail(ScanErrorKind::TooDeep);
        }
        self.mark_value();
        let token = self.push(self.at, self.at + 1, 1, kind, None)?;
        let dict = (kind == Kind::Dict).then(OpenDict::default);
        self.open.push(Open { token, dict });
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), ScanError> {
        let Some(open) = self.open.pop() else { return self.fail(ScanErrorKind::NoValue) };
        self.at += 1;
        self.tokens[open.token].end = self.at as u32;
        self.tokens[open.token].next = self.tokens.len() as u32;
        match open.dict {
            Some(dict) if dict.is_value_due => {
                Err(ScanError { offset: self.at - 1, kind: ScanErrorKind::KeyWithoutValue })
            }
            Some(dict) if dict.is_unsorted => self.check_keys_differ(open.token),
            _ => Ok(()),
        }
    }

    fn scan_integer(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        let digits_start = start + 1 + usize::from(self.bytes.get(start + 1) == Some(&b'-'));
        let digits = self.count_digits(digits_start);
        self.at = digits_start + digits;
        if self.peek()? != b'e' || digits == 0 {
            return self.fail(ScanErrorKind::BadInteger);
        }
        self.at += 1;
        let is_negative = digits_start == start + 2;
        let starts_with_zero = self.bytes[digits_start] == b'0';
        let soft = (starts_with_zero && (digits > 1 || is_negative)).then_some(SoftErrorKind::LeadingZero);
        self.mark_value();
        self.push(start, self.at, 1, Kind::Integer, soft)?;
        Ok(())
    }

    fn scan_string(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        let digits = self.count_digits(start);
        self.at = start + digits;
        if self.peek()? != b':' || digits > LENGTH_DIGITS {
            return self.fail(ScanErrorKind::BadLength);
        }
        let body = self.at + 1;
        let length = self.bytes[start..self.at]
            .iter()
            .try_fold(0usize, |sum, digit| sum.checked_mul(10)?.checked_add(usize::from(digit - b'0')));
        let end = length.and_then(|length| body.checked_add(length)).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else { return self.fail(ScanErrorKind::StringTooLong) };
        self.at = end;

        let mut soft = (self.bytes[start] == b'0' && digits > 1).then_some(SoftErrorKind::LeadingZero);
        if self.is_key_due() {
            let order = self.order_of_key(&self.bytes[body..end]);
            if order == std::cmp::Ordering::Equal {
                return Err(ScanError { offset: start, kind: ScanErrorKind::DuplicateKey });
            }
            if order == std::cmp::Ordering::Less {
                soft = Some(SoftErrorKind::UnsortedKey);
            }
        }
        let key = self.tokens.len();
        self.mark_string(key, soft == Some(SoftErrorKind::UnsortedKey));
        self.push(start, end, (digits + 1) as u8, Kind::String, soft)?;
        Ok(())
    }

    fn count_digits(&self, from: usize) -> usize {
        self.bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// How `key` stands to the key before it in the dictionary that is open.
    fn order_of_key(&self, key: &[u8]) -> std::cmp::Ordering {
        let last = self.open.last().and_then(|open| open.dict.as_ref()).and_then(|dict| dict.last_key);
        last.map_or(std::cmp::Ordering::Greater, |last| key.cmp(self.tokens[last].body(self.bytes)))
    }

    /// Notes in the dictionary that is open that a value has come.
    fn mark_value(&mut self) {
        if let Some(dict) = self.open.last_mut().and_then(|open| open.dict.as_mut()) {
            dict.is_value_due = false;
        }
    }

    /// Notes in the dictionary that is open that a string, a key or a value, has come.
    fn mark_string(&mut self, token: usize, is_unsorted: bool) {
        if let Some(dict) = self.open.last_mut().and_then(|open| open.dict.as_mut()) {
            if !dict.is_value_due {
                dict.last_key = Some(token);
                dict.is_unsorted |= is_unsorted;
            }
            dict.is_value_due = !dict.is_value_due;
        }
    }

    fn push(
        &mut self,
        start: usize,
        end: usize,
        head: u8,
        kind: Kind,
        soft: Option<SoftErrorKind>,
    ) -> Result<usize, ScanError> {
        let index = self.tokens.len();
        if index >= self.limits.tokens {
            return Err(ScanError { offset: start, kind: ScanErrorKind::TooMany });
        }
        let next = index as u32 + 1;
        self.tokens.push(Token { start: start as u32, end: end as u32, next, head, kind, soft });
        Ok(index)
    }

    /// In sorted dictionaries equal keys are neighbours and are found on the way; the others are sorted here.
    fn check_keys_differ(&self, dict: usize) -> Result<(), ScanError> {
        let mut keys = Vec::new();
        let (mut at, end) = (dict + 1, self.tokens.len());
        while at < end {
            keys.push((self.tokens[at].body(self.bytes), self.tokens[at].start));
            at = self.tokens[at + 1].next as usize;
        }
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(ScanError { offset: pair[1].1 as usize, kind: ScanErrorKind::DuplicateKey }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SoftErrorKind::*;
    use super::ScanErrorKind::*;
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_refused(bytes: &[u8], kind: ScanErrorKind, offset: usize) {
        let error = scan(bytes, Limits::MESSAGE).unwrap_err();
        assert_eq!(error, ScanError { offset, kind }, "{}", bytes.escape_ascii());
    }

    #[test]
    fn what_is_malformed_is_refused_at_its_byte() {
        for (bytes, kind, offset) in [
            (&b""[..], Truncated, 0),
            (b"<html>", NoValue, 0),
            (b"e", NoValue, 0),
            (b"i5", Truncated, 2),
            (b"ie", BadInteger, 1),
            (b"i-e", BadInteger, 2),
            (b"i+5e", BadInteger, 1),
            (b"i5-5e", BadInteger, 2),
            (b"i 5e", BadInteger, 1),
            (b"5:abcd", StringTooLong, 1),
            (b"18446744073709551616:a", StringTooLong, 20),
            (b"18446744073709551615:a", StringTooLong, 20),
            (b"000000000000000000001:a", BadLength, 21),
            (b"5abc", BadLength, 1),
            (b"-1:a", NoValue, 0),
            (b"li1e", Truncated, 4),
            (b"d1:ai1e", Truncated, 7),
            (b"d1:ae", KeyWithoutValue, 4),
            (b"di1ei2ee", KeyNotString, 1),
            (b"dd1:a1:be1:ce", KeyNotString, 1),
            (b"d1:ai1e1:ai2ee", DuplicateKey, 7),
            (b"d1:b1:x1:a1:x1:b1:xe", DuplicateKey, 13),
        ] {
            check_refused(bytes, kind, offset);
        }
    }

    #[test]
    fn what_is_untidy_is_read_and_marked() {
        for (bytes, soft) in [
            (&b"i03e"[..], Some((LeadingZero, 0))),
            (b"i-0e", Some((LeadingZero, 0))),
            (b"i-03e", Some((LeadingZero, 0))),
            (b"i0e", None),
            (b"l03:abce", Some((LeadingZero, 1))),
            (b"0:", None),
            (b"d1:bi1e1:ai1ee", Some((UnsortedKey, 7))),
            (b"d1:a1:b2:aa1:ae", None),
        ] {
            let document = scan(bytes, Limits::MESSAGE).unwrap();
            let found = document.root().soft_error().map(|error| (error.kind, error.offset));
            assert_eq!(found, soft, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        let limits = Limits { depth: 3, tokens: 5 };
        assert!(scan(b"llleee", limits).is_ok());
        assert_eq!(scan(b"lllleeee", limits).unwrap_err().kind, TooDeep);
        assert!(scan(b"li1ei1ei1ei1ee", limits).is_ok());
        assert_eq!(scan(b"li1ei1ei1ei1ei1ee", limits).unwrap_err().kind, TooMany);
        let deep = b"l".repeat(300_000);
        assert_eq!(scan(&deep, Limits::TORRENT).unwrap_err().kind, TooDeep);
    }

    #[test]
    fn a_million_unsorted_keys_are_read() {
        let mut bytes = b"d".to_vec();
        for key in (0..1_000_000).rev() {
            bytes.extend_from_slice(format!("6:{key:06}i1e").as_bytes());
        }
        bytes.push(b'e');
        let start = std::time::Instant::now();
        let document = scan(&bytes, Limits::TORRENT).unwrap();
        assert_eq!(document.root().as_dict().unwrap().count(), 1_000_000);
        // A second where nothing else runs; comparing each with each would take an hour.
        assert!(start.elapsed().as_secs() < 120);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop::sample::select(b"dlei0123456789:-ab".to_vec()), 0..60)) {
            if let Ok(document) = scan(&bytes, Limits { depth: 5, tokens: 20 }) {
                prop_assert!(document.end() <= bytes.len());
                prop_assert_eq!(document.root().span(), 0..document.end());
            }
        }

        #[test]
        fn no_garbage_makes_it_panic(bytes: Vec<u8>) {
            let _ = scan(&bytes, Limits::MESSAGE);
        }
    }
}
