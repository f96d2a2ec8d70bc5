//! Real files in temporary folders.

use super::{Disk, Sample, target};
use crate::engine::disk_job::Existing;

#[test]
fn a_download_ends_as_the_files_of_the_torrent() {
    let sample =
        Sample::new(&[(100_000, false), (0, false), (31_072, true), (5, false), (70_001, false)], 65_536);
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(sample.storage(target(dir.path())));
    assert_eq!(disk.open(), Ok(Existing::Nothing));
    assert!(dir.path().join("t/f1").exists(), "an empty file is there from the start");
    disk.download(&sample);
    for file in [0, 1, 3, 4] {
        let path = dir.path().join(format!("t/f{file}"));
        assert!(std::fs::read(path).unwrap() == sample.file(file), "file {file}");
    }
    let names = std::fs::read_dir(dir.path().join("t")).unwrap().count();
    assert_eq!(names, 4, "no pad file and no part file");
    assert_eq!(disk.check(0..sample.layout.piece_count()), Ok(vec![0, 1, 2, 3]));
}
