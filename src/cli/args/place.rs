//! Flags that say where data goes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::value;

/// Where data goes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Where")]
pub struct Place {
    /// Folder to download into
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Name of the file or folder to make, instead of the torrent's own (one target only)
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// How disk space is taken: sparse (as data comes), full (at once) or none (files grow)
    #[arg(long, value_name = "HOW", value_enum, default_value_t = AllocateChoice::Sparse, hide_possible_values = true)]
    pub allocate: AllocateChoice,
    /// What becomes of other data in the place: keep (exit code 13), rename (downloads to NAME.1), fail (any data that
    /// is not known as ours: exit code 13) or overwrite
    #[arg(long, value_name = "HOW", value_enum, default_value_t = ConflictChoice::Keep, hide_possible_values = true)]
    pub on_conflict: ConflictChoice,
    /// Disk space to leave free; a download that does not fit does not start (exit code 9), or waits when others take
    /// the space on the way
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = value::size)]
    pub reserve: u64,
    /// Gives files their final names from the start, instead of NAME.part until they are complete
    #[arg(long, overrides_with = "part")]
    pub no_part: bool,
    /// When complete files must be on the disk: none (as the system sees fit) or end (before they count)
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = SyncChoice::None, hide_possible_values = true)]
    pub sync: SyncChoice,
    /// Folder for what is remembered from run to run [default: $XDG_STATE_HOME/btget]
    #[arg(long, value_name = "DIR", overrides_with = "no_state")]
    pub state_dir: Option<PathBuf>,
    /// Remembers nothing: what is there is checked anew each time
    #[arg(long, overrides_with = "state_dir")]
    pub no_state: bool,
    /// Undoes --no-part
    #[arg(long, overrides_with = "no_part", hide = true)]
    pub part: bool,
}

/// How space is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum AllocateChoice {
    /// Files have their length at once and take space as data comes.
    Sparse,
    /// Files take all their space at once.
    Full,
    /// Files grow as data comes.
    None,
}

/// What becomes of other data in a download's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ConflictChoice {
    /// It stays, and the download ends.
    Keep,
    /// It stays, and the download goes under another name.
    Rename,
    /// Whatever is not known as ours stays, and the download ends at once.
    Fail,
    /// It is written over.
    Overwrite,
}

/// When complete files must be on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum SyncChoice {
    /// Whenever the system gets round to it.
    None,
    /// Before they count as complete.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::parse_main;

    #[test]
    fn data_goes_into_this_folder_sparsely_and_with_part_names_unless_told_otherwise() {
        let place = parse_main(&["x"]).unwrap().place;
        assert_eq!(place.dir, PathBuf::from("."));
        assert_eq!((place.allocate, place.no_part, place.output), (AllocateChoice::Sparse, false, None));
        let place =
            parse_main(&["x", "--dir=/d", "-o", "n", "--allocate", "full", "--no-part"]).unwrap().place;
        assert_eq!((place.dir, place.output), (PathBuf::from("/d"), Some(PathBuf::from("n"))));
        assert_eq!((place.allocate, place.no_part), (AllocateChoice::Full, true));
        assert!(parse_main(&["x", "--allocate", "holey"]).is_err());
    }

    #[test]
    fn other_data_is_kept_and_a_little_space_left_free_unless_told_otherwise() {
        let place = parse_main(&["x"]).unwrap().place;
        assert_eq!((place.on_conflict, place.reserve), (ConflictChoice::Keep, 64 << 20));
        for (word, choice) in [
            ("keep", ConflictChoice::Keep),
            ("rename", ConflictChoice::Rename),
            ("fail", ConflictChoice::Fail),
            ("overwrite", ConflictChoice::Overwrite),
        ] {
            let place = parse_main(&["x", "--on-conflict", word, "--reserve", "0"]).unwrap().place;
            assert_eq!((place.on_conflict, place.reserve), (choice, 0));
        }
        assert!(parse_main(&["x", "--on-conflict", "replace"]).is_err());
    }

    #[test]
    fn of_part_and_no_part_the_last_one_counts() {
        assert!(!parse_main(&["x", "--no-part", "--part"]).unwrap().place.no_part);
        assert!(parse_main(&["x", "--part", "--no-part"]).unwrap().place.no_part);
    }
}
