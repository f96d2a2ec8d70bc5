//! The cursor over a scanned document.

use std::ops::Range;

/// A scanned value and everything in it; see [`scan`](super::scan).
#[derive(Clone, Debug)]
pub struct Document<'a> {
    bytes: &'a [u8],
    tokens: Vec<Token>,
}

/// One value or key: where it is, and which token comes after all that is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) next: u32,
    /// Bytes before the content: `i`, `d`, `l`, or a string's length and colon.
    pub(super) head: u8,
    pub(super) kind: Kind,
    pub(super) soft: Option<SoftErrorKind>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Integer,
    String,
    List,
    Dict,
}

impl Token {
    /// The bytes of a string.
    pub(super) fn body<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start as usize + usize::from(self.head)..self.end as usize]
    }
}

/// Something that the grammar forbids and that has one meaning all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{kind} (byte {offset})")]
pub struct SoftError {
    /// Offset of the value or key, from 0.
    pub offset: usize,
    /// What is untidy.
    pub kind: SoftErrorKind,
}

/// What is untidy about a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SoftErrorKind {
    /// A number with a leading zero, or -0.
    #[error("a number has a leading zero")]
    LeadingZero,
    /// A key that should stand before the one before it.
    #[error("a dictionary's keys are out of order")]
    UnsortedKey,
}

impl<'a> Document<'a> {
    pub(super) fn new(bytes: &'a [u8], tokens: Vec<Token>) -> Document<'a> {
        Document { bytes, tokens }
    }

    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        Value { document: self, token: 0 }
    }

    /// Offset of the first byte after the value.
    pub fn end(&self) -> usize {
        self.tokens[0].end as usize
    }

    /// What follows the value in the bytes that were scanned.
    pub fn trailing(&self) -> &'a [u8] {
        &self.bytes[self.end()..]
    }
}

/// A value within a [`Document`]. Reading it as something that it is not gives `None`, never an error.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    document: &'a Document<'a>,
    token: usize,
}

impl<'a> Value<'a> {
    /// The integer; `None` outside of 64 bits.
    pub fn as_int(self) -> Option<i64> {
        self.integer_text()?.parse().ok()
    }

    /// The integer when it is not negative; `None` outside of 64 bits.
    pub fn as_u64(self) -> Option<u64> {
        self.integer_text()?.parse().ok()
    }

    /// The integer when `T` can hold it.
    pub fn as_number<T: TryFrom<i64>>(self) -> Option<T> {
        T::try_from(self.as_int()?).ok()
    }

    /// The bytes of a string.
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        (self.token().kind == Kind::String).then(|| self.token().body(self.document.bytes))
    }

    /// A string that is valid UTF-8.
    pub fn as_str(self) -> Option<&'a str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// A string, with U+FFFD for what is not UTF-8.
    pub fn as_text(self) -> Option<String> {
        self.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The values of a list, in order.
    pub fn as_list(self) -> Option<List<'a>> {
        let (document, next, end) = self.inside(Kind::List)?;
        Some(List { document, next, end })
    }

    /// The keys and values of a dictionary, in the order in which they stand.
    pub fn as_dict(self) -> Option<Dict<'a>> {
        let (document, next, end) = self.inside(Kind::Dict)?;
        Some(Dict { document, next, end })
    }

    /// The value of `key`; `None` when this is no dictionary or has no such key. Takes time in proportion to
    /// the number of keys, not of what is in their values.
    pub fn get(self, key: impl AsRef<[u8]>) -> Option<Value<'a>> {
        self.as_dict()?.find(|(found, _)| *found == key.as_ref()).map(|(_, value)| value)
    }

    /// The value under `path`, key by key.
    pub fn at(self, path: &[&str]) -> Option<Value<'a>> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// Whether it is a dictionary.
    pub fn is_dict(self) -> bool {
        self.token().kind == Kind::Dict
    }

    /// Whether it is a list.
    pub fn is_list(self) -> bool {
        self.token().kind == Kind::List
    }

    /// Where the value stands in the bytes that were scanned.
    pub fn span(self) -> Range<usize> {
        self.token().start as usize..self.token().end as usize
    }

    /// The value as it stands, still bencoded: what info-hashes and signatures are made from.
    pub fn raw(self) -> &'a [u8] {
        &self.document.bytes[self.span()]
    }

    /// The first thing that is untidy in this value or in anything in it.
    pub fn soft_error(self) -> Option<SoftError> {
        let within = &self.document.tokens[self.token..self.token().next as usize];
        within
            .iter()
            .find_map(|token| token.soft.map(|kind| SoftError { offset: token.start as usize, kind }))
    }

    fn token(self) -> Token {
        self.document.tokens[self.token]
    }

    fn integer_text(self) -> Option<&'a str> {
        let token = self.token();
        let digits = &self.document.bytes[token.start as usize + 1..token.end as usize - 1];
        (token.kind == Kind::Integer).then(|| std::str::from_utf8(digits).unwrap_or_default())
    }

    fn inside(self, kind: Kind) -> Option<(&'a Document<'a>, usize, usize)> {
        let token = self.token();
        (token.kind == kind).then(|| (self.document, self.token + 1, token.next as usize))
    }
}

/// Shows the bytes, shortened.
impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let raw = self.raw();
        let shown = &raw[..raw.len().min(80)];
        write!(f, "{}{}", shown.escape_ascii(), if shown.len() < raw.len() { "..." } else { "" })
    }
}

/// The values of a list.
#[derive(Clone, Debug)]
pub struct List<'a> {
    document: &'a Document<'a>,
    next: usize,
    end: usize,
}

impl<'a> Iterator for List<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let token = (self.next < self.end).then_some(self.next)?;
        self.next = self.document.tokens[token].next as usize;
        Some(Value { document: self.document, token })
    }
}

/// The keys and values of a dictionary.
#[derive(Clone, Debug)]
pub struct Dict<'a> {
    document: &'a Document<'a>,
    next: usize,
    end: usize,
}

impl<'a> Iterator for Dict<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<(&'a [u8], Value<'a>)> {
        let key = (self.next < self.end).then_some(self.next)?;
        let value = key + 1;
        self.next = self.document.tokens[value].next as usize;
        let name = self.document.tokens[key].body(self.document.bytes);
        Some((name, Value { document: self.document, token: value }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, scan};

    #[test]
    fn values_are_found_by_path_with_their_raw_bytes() {
        let bytes = b"d4:infod5:filesld1:xi-3eee4:name3:abce8:intervali1800e1:\xff0:e-payload";
        let document = scan(bytes, Limits::MESSAGE).unwrap();
        let root = document.root();
        assert_eq!(root.get("interval").unwrap().as_int(), Some(1800));
        assert_eq!(root.at(&["info", "name"]).unwrap().as_str(), Some("abc"));
        assert_eq!(root.get("info").unwrap().raw(), b"d5:filesld1:xi-3eee4:name3:abce");
        assert_eq!(root.get(b"\xff").unwrap().as_bytes(), Some(&b""[..]));
        let file = root.at(&["info", "files"]).unwrap().as_list().unwrap().next().unwrap();
        assert_eq!(file.get("x").unwrap().as_int(), Some(-3));
        assert_eq!(file.get("x").unwrap().as_u64(), None);
        assert_eq!(root.at(&["info", "files", "x"]).map(|value| value.as_int()), None);
        assert_eq!(document.trailing(), b"-payload");
    }
}
