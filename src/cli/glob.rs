//! Patterns for paths, as shells have them: `*` and `?` within a name, `**` across folders, `[a-z]`, `[!a]`,
//! `\` before what is meant as it is.
//!
//! A pattern without a slash is for a name at any depth, one with a slash for the whole path.

/// A pattern that paths can match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glob {
    tokens: Vec<Token>,
    is_for_names: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    Byte(u8),
    /// `?`
    Any,
    /// `[...]`: ranges, and whether they are the ones not meant.
    Set(Vec<(u8, u8)>, bool),
    /// `*`
    Star,
    /// `**`
    StarStar,
}

impl Glob {
    /// Reads a pattern.
    pub fn new(pattern: &str) -> Result<Glob, String> {
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        let (rooted, pattern) = pattern.strip_prefix('/').map_or((false, pattern), |rest| (true, rest));
        let pattern = pattern.trim_end_matches('/');
        if pattern.is_empty() {
            return Err("a pattern such as *.tmp or cache/** is wanted".to_owned());
        }
        let mut bytes = pattern.as_bytes();
        let mut tokens = Vec::new();
        while let [first, rest @ ..] = bytes {
            bytes = rest;
            tokens.push(match first {
                b'?' => Token::Any,
                b'*' => {
                    let stars = bytes.iter().take_while(|byte| **byte == b'*').count();
                    bytes = &bytes[stars..];
                    if stars == 0 { Token::Star } else { Token::StarStar }
                }
                b'[' => set(&mut bytes)?,
                b'\\' => {
                    let [escaped, rest @ ..] = bytes else { return Err("it ends in a backslash".to_owned()) };
                    bytes = rest;
                    Token::Byte(*escaped)
                }
                byte => Token::Byte(*byte),
            });
            // `a/**/b` is `a/b` too.
            if tokens.last() == Some(&Token::StarStar)
                && matches!(tokens[..tokens.len() - 1].last(), None | Some(Token::Byte(b'/')))
                && let [b'/', rest @ ..] = bytes
            {
                bytes = rest;
            }
        }
        Ok(Glob { tokens, is_for_names: !rooted && !pattern.contains('/') })
    }

    /// Whether `path`, relative and with `/` between its parts, is meant.
    pub fn matches(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next().filter(|_| self.is_for_names);
        let text = name.unwrap_or(path);
        // Where to go on when it does not fit: after which star, and how much that has taken.
        let (mut token, mut at) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        let mut star_star: Option<(usize, usize)> = None;
        loop {
            match (self.tokens.get(token), text.get(at)) {
                (None, None) => return true,
                (Some(Token::Star), _) => {
                    token += 1;
                    star = Some((token, at));
                    continue;
                }
                (Some(Token::StarStar), _) => {
                    token += 1;
                    (star, star_star) = (None, Some((token, at)));
                    continue;
                }
                (Some(wanted), Some(byte)) if wanted.is(*byte) => {
                    (token, at) = (token + 1, at + 1);
                    continue;
                }
                _ => {}
            }
            let can_grow = |(_, end): &(usize, usize)| text.get(*end).is_some_and(|byte| *byte != b'/');
            star = star.filter(can_grow).map(|(token, end)| (token, end + 1));
            if star.is_none() {
                star_star =
                    star_star.filter(|(_, end)| *end < text.len()).map(|(token, end)| (token, end + 1));
            }
            match star.or(star_star) {
                Some((after, end)) => (token, at) = (after, end),
                None => return false,
            }
        }
    }
}

impl Token {
    fn is(&self, byte: u8) -> bool {
        match self {
            Token::Byte(wanted) => *wanted == byte,
            Token::Any => byte != b'/',
            Token::Set(ranges, is_not) => {
                let is_in = ranges.iter().any(|(first, last)| (*first..=*last).contains(&byte));
                byte != b'/' && is_in != *is_not
            }
            Token::Star | Token::StarStar => false,
        }
    }
}

/// What is in brackets; the opening one is passed already.
fn set(bytes: &mut &[u8]) -> Result<Token, String> {
    let is_not = matches!(bytes.first(), Some(b'!' | b'^'));
    let mut rest = &bytes[usize::from(is_not)..];
    let mut ranges = Vec::new();
    loop {
        match rest {
            [b']', after @ ..] if !ranges.is_empty() => {
                *bytes = after;
                return Ok(Token::Set(ranges, is_not));
            }
            [first, b'-', last, after @ ..] if *last != b']' => {
                ranges.push((*first, *last));
                rest = after;
            }
            [byte, after @ ..] => {
                ranges.push((*byte, *byte));
                rest = after;
            }
            [] => return Err("a [ has no ]".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_a_shell() {
        for (pattern, yes, no) in [
            ("*.tmp", &["a.tmp", "d/e/b.tmp", ".tmp"][..], &["a.tmp.x", "atmp"][..]),
            (".git", &[".git", "d/.git"], &["x.git", ".git/x"]),
            ("d/*", &["d/a", "d/"], &["d/a/b", "e/d/a", "da"]),
            ("d/**", &["d/a", "d/a/b"], &["d", "e/d/a"]),
            ("**/x", &["x", "a/x", "a/b/x"], &["ax", "a/xb"]),
            ("a/**/b", &["a/b", "a/c/b", "a/c/d/b"], &["a/cb", "ab"]),
            ("/top", &["top"], &["d/top"]),
            ("./d/a", &["d/a"], &["a"]),
            ("d/", &["d", "e/d"], &["da"]),
            ("?[a-c][!0-9]", &["xbz", "d/ycz"], &["xb1", "bz", "xdz"]),
            ("[]]", &["]"], &["["]),
            ("\\*", &["*"], &["a"]),
            ("*a*b*c", &["xaybzc", "aabbcc"], &["acb", "abcd"]),
            ("**/a*c/*.x", &["abc/1.x", "d/ac/.x"], &["a/c/1.x", "d/abc/1.y"]),
        ] {
            let glob = Glob::new(pattern).unwrap();
            for path in yes {
                assert!(glob.matches(path.as_bytes()), "{pattern} should match {path}");
            }
            for path in no {
                assert!(!glob.matches(path.as_bytes()), "{pattern} should not match {path}");
            }
        }
        assert!(Glob::new("*").unwrap().matches(b"\xff\xfe"));
        for pattern in ["", "/", "[", "[a", "[]", "a\\"] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let glob = Glob::new(&format!("{}b", "*a".repeat(100))).unwrap();
        assert!(!glob.matches("a".repeat(10_000).as_bytes()));
    }
}
