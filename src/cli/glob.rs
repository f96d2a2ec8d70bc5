//! Patterns for paths, as shells have them: `*` and `?` within a name, `**` across folders, `[a-z]`, `[!a]`,
//! `\` before what is meant as it is.
//!
//! A pattern without a slash is for a name at any depth, one with a slash for the whole path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use globset::{GlobBuilder, GlobMatcher};

/// A pattern that paths can match.
#[derive(Clone, Debug)]
pub struct Glob {
    matcher: GlobMatcher,
}

impl Glob {
    /// Reads a pattern.
    pub fn new(pattern: &str) -> Result<Glob, String> {
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        let (is_rooted, pattern) = pattern.strip_prefix('/').map_or((false, pattern), |rest| (true, rest));
        let pattern = pattern.trim_end_matches('/');
        if pattern.is_empty() {
            return Err("a pattern such as *.tmp or cache/** is wanted".to_owned());
        }
        let is_for_names = !is_rooted && !pattern.contains('/');
        let pattern = if is_for_names { format!("**/{pattern}") } else { pattern.to_owned() };
        let built = GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build();
        let matcher = built.map_err(|error| error.kind().to_string())?.compile_matcher();
        Ok(Glob { matcher })
    }

    /// Whether `path`, relative and with `/` between its parts, is meant.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.matcher.is_match(OsStr::from_bytes(path))
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
