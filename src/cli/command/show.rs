//! `show`: what is in a torrent, for people and, with `--json`, for scripts.
//!
//! All text comes from whoever made the torrent, so people get it escaped and scripts get it as JSON that is
//! safe to print. Pad files are not shown: they exist on the wire only.

use std::io::{self, Write};

use serde::Serialize;

use super::{torrent, written};
use crate::base::size::size;
use crate::cli::args::ShowArgs;
use crate::cli::env::Env;
use crate::cli::error::CliError;
use crate::cli::output::escape::Escaped;
use crate::cli::output::json_text::to_json;
use crate::metainfo::{File, Metainfo};

/// Runs the command. A torrent that is refused leaves standard output empty.
pub fn run(args: &ShowArgs, env: &mut Env) -> Result<(), CliError> {
    let metainfo = torrent(&args.file, env)?;
    // One write: half a result helps nobody.
    let mut text = Vec::new();
    written(if args.json { show_json(&metainfo, &mut text) } else { show(&metainfo, &mut text) })?;
    written(env.stdout.write_all(&text).and_then(|()| env.stdout.flush()))
}

/// Writes `metainfo` to `out` for people.
pub fn show(metainfo: &Metainfo, out: &mut dyn Write) -> io::Result<()> {
    let mut line = |label: &str, text: &str| writeln!(out, "{label:<13}{text}");
    line("name", &Escaped(&metainfo.name).to_string())?;
    if let Some(hash) = metainfo.info_hashes.v1 {
        line("info hash", &hash.to_string())?;
    }
    if let Some(hash) = metainfo.info_hashes.v2 {
        line("info hash v2", &hash.to_string())?;
    }
    let files = metainfo.payload_files().count();
    let noun = if files == 1 { "file" } else { "files" };
    let total = metainfo.total_size;
    line("size", &format!("{} ({total} bytes) in {files} {noun}", size(total)))?;
    let layout = &metainfo.layout;
    line("pieces", &format!("{} of {}", layout.piece_count(), size(u64::from(layout.piece_length()))))?;
    if metainfo.is_private {
        line("private", "yes: peers come from its trackers only")?;
    }
    for (index, tier) in metainfo.trackers.iter().enumerate() {
        for (place, url) in tier.iter().enumerate() {
            let label = if index + place == 0 { "trackers" } else { "" };
            line(label, &format!("{:>2}  {}", index + 1, Escaped(url)))?;
        }
    }
    let nodes: Vec<String> = metainfo.nodes.iter().map(|(host, port)| format!("{host} {port}")).collect();
    for (label, texts) in [("web seeds", &metainfo.web_seeds), ("DHT nodes", &nodes)] {
        for (place, text) in texts.iter().enumerate() {
            line(if place == 0 { label } else { "" }, &Escaped(text).to_string())?;
        }
    }
    let created = metainfo.creation_date.map(date);
    for (label, text) in [
        ("comment", &metainfo.comment),
        ("created by", &metainfo.created_by),
        ("created", &created),
        ("source", &metainfo.source),
    ] {
        if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
            line(label, &Escaped(text).to_string())?;
        }
    }
    writeln!(out, "files")?;
    for (index, file) in metainfo.payload_files().enumerate() {
        let path = metainfo.path_of(file);
        writeln!(out, "{:>6}  {:>10}  {}{}", index + 1, size(file.length), Escaped(&path), remark(file))?;
    }
    Ok(())
}

fn remark(file: &File) -> &'static str {
    match file.attributes {
        attributes if attributes.symlink => "  (symbolic link, left out)",
        attributes if attributes.executable => "  (executable)",
        _ => "",
    }
}

/// Writes `metainfo` to `out` as one JSON object on one line.
pub fn show_json(metainfo: &Metainfo, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", to_json(&Document::of(metainfo)))
}

/// What `show --json` prints. A published format: fields are added, never renamed or taken away.
#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    info_hash: Option<String>,
    info_hash_v2: Option<String>,
    total_size: u64,
    piece_length: u32,
    num_pieces: u32,
    num_files: usize,
    private: bool,
    trackers: &'a [Vec<String>],
    web_seeds: &'a [String],
    nodes: &'a [(String, u16)],
    comment: Option<&'a str>,
    created_by: Option<&'a str>,
    creation_date: Option<i64>,
    source: Option<&'a str>,
    files: Vec<FileEntry>,
}

#[derive(Serialize)]
struct FileEntry {
    /// Relative to the download folder.
    path: String,
    length: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    symlink: bool,
}

impl Document<'_> {
    fn of(metainfo: &Metainfo) -> Document<'_> {
        let entry = |file: &File| FileEntry {
            path: metainfo.path_of(file),
            length: file.length,
            symlink: file.attributes.symlink,
        };
        Document {
            name: &metainfo.name,
            info_hash: metainfo.info_hashes.v1.map(|hash| hash.to_string()),
            info_hash_v2: metainfo.info_hashes.v2.map(|hash| hash.to_string()),
            total_size: metainfo.total_size,
            piece_length: metainfo.layout.piece_length(),
            num_pieces: metainfo.layout.piece_count(),
            num_files: metainfo.payload_files().count(),
            private: metainfo.is_private,
            trackers: &metainfo.trackers,
            web_seeds: &metainfo.web_seeds,
            nodes: &metainfo.nodes,
            comment: metainfo.comment.as_deref(),
            created_by: metainfo.created_by.as_deref(),
            creation_date: metainfo.creation_date,
            source: metainfo.source.as_deref(),
            files: metainfo.payload_files().map(entry).collect(),
        }
    }
}

/// Seconds since 1970 as `2014-12-14 20:31:19 UTC`; the number itself when it is no date of ours.
fn date(seconds: i64) -> String {
    const DAY: i64 = 24 * 60 * 60;
    const YEAR_10000: i64 = 253_402_300_800;
    if !(0..YEAR_10000).contains(&seconds) {
        return seconds.to_string();
    }
    // Years that begin in March, counted from the year 0: the leap day comes last.
    let days = seconds / DAY + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (seconds % DAY / 3600, seconds % 3600 / 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::invisible::is_unsafe;

    fn torrent() -> Metainfo {
        let comment = "x\x1b[31m\u{202e}\ny";
        let text = format!(
            "d8:announce15:udp://t.ex:80/a13:announce-listll15:udp://t.ex:80/a15:udp://u.ex:80/ael14:http://v.ex/an\
             ee7:comment{}:{comment}10:created by3:gen13:creation datei1418787579e4:infod5:filesld6:lengthi3e4:path\
             l1:d5:a.txteed4:attr1:p6:lengthi16381e4:pathl4:.pad5:16381eed4:attr1:x6:lengthi5e4:pathl1:beed4:attr1:\
             l6:lengthi0e4:pathl1:l1:ke12:symlink pathl1:beee4:name1:t12:piece lengthi16384e6:pieces40:{}7:privatei1e\
             e8:url-list13:http://w.ex/fe",
            comment.len(),
            "h".repeat(40),
        );
        Metainfo::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn people_get_a_listing_without_harm() {
        let mut out = Vec::new();
        show(&torrent(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let hash = torrent().info_hashes.v1.unwrap();
        let expected = format!(
            "name         t\n\
             info hash    {hash}\n\
             size         8 B (8 bytes) in 3 files\n\
             pieces       2 of 16 KiB\n\
             private      yes: peers come from its trackers only\n\
             trackers      1  udp://t.ex:80/a\n\
             {blank}  1  udp://u.ex:80/a\n\
             {blank}  2  http://v.ex/an\n\
             web seeds    http://w.ex/f\n\
             comment      x\\x1b[31m\\u{{202e}}\\ny\n\
             created by   gen\n\
             created      2014-12-17 03:39:39 UTC\n\
             files\n\
             {one}  t/d/a.txt\n\
             {two}  t/b  (executable)\n\
             {three}  t/l/k  (symbolic link, left out)\n",
            blank = " ".repeat(12),
            one = "     1         3 B",
            two = "     2         5 B",
            three = "     3         0 B",
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn scripts_get_one_object_on_one_line() {
        let mut out = Vec::new();
        show_json(&torrent(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.trim_end().chars().any(is_unsafe));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["name"], "t");
        assert_eq!(json["info_hash"], torrent().info_hashes.v1.unwrap().to_string());
        assert_eq!(json["info_hash_v2"], serde_json::Value::Null);
        assert_eq!(json["total_size"], 8);
        assert_eq!(json["piece_length"], 16_384);
        assert_eq!(json["num_pieces"], 2);
        assert_eq!(json["private"], true);
        assert_eq!(json["trackers"][1][0], "http://v.ex/an");
        assert_eq!(json["web_seeds"][0], "http://w.ex/f");
        assert_eq!(json["comment"], "x\x1b[31m\u{202e}\ny");
        assert_eq!(json["created_by"], "gen");
        assert_eq!(json["creation_date"], 1_418_787_579);
        assert_eq!(json["files"].as_array().unwrap().len(), 3);
        assert_eq!(json["files"][0], serde_json::json!({ "path": "t/d/a.txt", "length": 3 }));
    }

    #[test]
    fn dates_are_right_around_leap_days_and_nonsense_stays_a_number() {
        for (seconds, shown) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
            (-1, "-1"),
            (i64::MAX, "9223372036854775807"),
        ] {
            assert_eq!(date(seconds), shown);
        }
    }
}
