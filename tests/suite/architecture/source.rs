//! Rust source as the rules see it: without comments and texts, as paths and as names.

/// `text` without comments and without the contents of texts; lines keep their numbers.
pub(super) fn strip(text: &str) -> String {
    let source: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < source.len() {
        let rest = &source[at..];
        let skipped = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => find(rest, "*/").map_or(rest.len(), |end| end + 2),
            ['r', '"', ..] | ['r', '#', '"' | '#', ..] if !ends_in_word(&code) => raw_text(rest),
            ['"', ..] => text_length(rest, '"'),
            ['\'', '\\', ..] | ['\'', _, '\'', ..] => text_length(rest, '\''),
            _ => 0,
        };
        if skipped == 0 {
            code.push(source[at]);
            at += 1;
        } else {
            code.extend(rest[..skipped].iter().filter(|c| **c == '\n'));
            code.push(' ');
            at += skipped;
        }
    }
    code
}

/// The part of `code` that is no test: tests stand last, in a module of their own.
pub(super) fn without_tests<'a>(path: &str, code: &'a str) -> &'a str {
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        return "";
    }
    code.match_indices("#[cfg(test)]")
        .find(|(at, marker)| code[at + marker.len()..].trim_start().starts_with("mod "))
        .map_or(code, |(at, _)| &code[..at])
}

/// Every path in `code` that begins with `crate`, `super` or `std`, groups taken apart:
/// `std::{fs, io::Read}` is `std::fs` and `std::io::Read`.
pub(super) fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate", "super", "std"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].trim_end();
            let is_root = !ends_in_word(&code[..at]) && !before.ends_with("::");
            if is_root && code[at + root.len()..].trim_start().starts_with("::") {
                read_tree(&code[at..], &[], &mut found);
            }
        }
    }
    found
}

/// Whether `code` names `name` (a word, or words joined by `::`), and not just as a part of longer words.
/// A name that ends in `*` is the beginning of a word.
pub(super) fn names(code: &str, name: &str) -> bool {
    let (name, is_open) = name.strip_suffix('*').map_or((name, false), |stem| (stem, true));
    code.match_indices(name).any(|(at, _)| {
        let after = &code[at + name.len()..];
        !ends_in_word(&code[..at]) && (is_open || name.ends_with(':') || !starts_in_word(after))
    })
}

/// Reads a path or a tree of paths at the start of `code`; returns what follows it.
fn read_tree<'a>(code: &'a str, prefix: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = prefix.to_vec();
    let mut code = code.trim_start();
    loop {
        if let Some(mut group) = code.strip_prefix('{') {
            loop {
                group = group.trim_start();
                if let Some(after) = group.strip_prefix('}') {
                    return after;
                }
                let after = read_tree(group, &path, found);
                let after =
                    after.split_once([',', '}', ';']).map_or("", |(skipped, _)| &after[skipped.len()..]);
                if after.is_empty() || after.starts_with(';') {
                    return after;
                }
                group = after.strip_prefix(',').unwrap_or(after);
            }
        }
        let length = code.find(|c| !is_word(c)).unwrap_or(code.len());
        if length == 0 {
            break;
        }
        path.push(code[..length].to_owned());
        match code[length..].trim_start().strip_prefix("::") {
            Some(after) => code = after.trim_start(),
            None => {
                code = &code[length..];
                break;
            }
        }
    }
    found.push(path);
    code
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn ends_in_word(code: &str) -> bool {
    code.chars().next_back().is_some_and(is_word)
}

fn starts_in_word(code: &str) -> bool {
    code.chars().next().is_some_and(is_word)
}

fn find(source: &[char], what: &str) -> Option<usize> {
    let what: Vec<char> = what.chars().collect();
    source.windows(what.len()).position(|window| window == what)
}

/// Length of the text, or of the character, at the start of `source`, quotes counted.
fn text_length(source: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < source.len() && source[at] != quote {
        at += if source[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(source.len())
}

fn raw_text(source: &[char]) -> usize {
    let hashes = source[1..].iter().take_while(|c| **c == '#').count();
    if source.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 2;
    find(&source[start..], &end).map_or(source.len(), |at| start + at + end.len())
}

#[test]
fn comments_and_texts_are_no_code() {
    let code = strip("a // tokio\n/* std::fs */ \"File::open \\\" x\" r#\"y \" z\"# 'c' '\\'' <'life> end");
    for absent in ["tokio", "std", "File", " x", " z", "'c'"] {
        assert!(!code.contains(absent), "{absent} in {code}");
    }
    assert!(code.contains("<'life> end") && code.contains('\n'), "{code}");
}

#[test]
fn groups_are_taken_apart() {
    let found =
        paths("use std::{fs, io::{Read, self}, net::TcpStream as Stream};\nfn f(x: crate::base::Hash) {}");
    let found: Vec<String> = found.iter().map(|path| path.join("::")).collect();
    let expected = ["crate::base::Hash", "std::fs", "std::io::Read", "std::io::self", "std::net::TcpStream"];
    assert_eq!(found, expected);
}

#[test]
fn a_name_is_a_whole_word() {
    assert!(names("let m = Mutex::new(1)", "Mutex"));
    assert!(!names("let m = FairMutexes::new(1)", "Mutex"));
    assert!(names("TcpSocket::new_v4()", "TcpSocket::new*"));
    assert!(names("use bytes::Bytes", "bytes::"));
    assert!(!names("to_bytes::<4>()", "bytes::"));
}
