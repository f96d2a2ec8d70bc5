//! A torrent made for a test: content that looks random but is the same in every run, and its metainfo,
//! written by a few lines of bencode of its own so that the program's encoder is not tested against itself.

use std::fs;
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

/// Bytes in a block, the unit that peers ask for.
pub(crate) const BLOCK: usize = 16 * 1024;

/// One torrent's content and geometry.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    name: String,
    /// Paths below the torrent's name and their lengths; `None` for a single-file torrent.
    tree: Option<Vec<(String, usize)>>,
    piece_length: usize,
    bytes: Vec<u8>,
}

impl Payload {
    /// A torrent of one file.
    pub(crate) fn single(name: &str, length: usize, piece_length: usize) -> Payload {
        Payload { name: name.to_owned(), tree: None, piece_length, bytes: noise(name, length) }
    }

    /// A torrent of a folder; paths are written with `/`.
    pub(crate) fn tree(name: &str, files: &[(&str, usize)], piece_length: usize) -> Payload {
        let length = files.iter().map(|(_, length)| length).sum();
        let files = files.iter().map(|&(path, length)| (path.to_owned(), length)).collect();
        Payload { name: name.to_owned(), tree: Some(files), piece_length, bytes: noise(name, length) }
    }

    /// The content of all files, one after another.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn piece_length(&self) -> usize {
        self.piece_length
    }

    pub(crate) fn num_pieces(&self) -> usize {
        self.bytes.len().div_ceil(self.piece_length)
    }

    /// Each file's path below the download folder, and its content.
    pub(crate) fn files(&self) -> Vec<(PathBuf, &[u8])> {
        let Some(tree) = &self.tree else {
            return vec![(PathBuf::from(&self.name), &self.bytes)];
        };
        let mut start = 0;
        tree.iter()
            .map(|(path, length)| {
                let content = &self.bytes[start..start + length];
                start += length;
                (Path::new(&self.name).join(path), content)
            })
            .collect()
    }

    pub(crate) fn info_hash(&self) -> [u8; 20] {
        Sha1::digest(self.info_dict()).into()
    }

    /// Writes the .torrent file into `dir`, announcing to `announce` if that is given.
    pub(crate) fn write_torrent(&self, dir: &Path, announce: Option<&str>) -> PathBuf {
        let mut torrent = b"d".to_vec();
        if let Some(url) = announce {
            string(&mut torrent, b"announce");
            string(&mut torrent, url.as_bytes());
        }
        string(&mut torrent, b"info");
        torrent.extend(self.info_dict());
        torrent.push(b'e');
        let path = dir.join(format!("{}.torrent", self.name));
        fs::write(&path, torrent).expect("the test's folder takes a file");
        path
    }

    /// Says how the files below `dir` differ from this content, or nothing if they are the same.
    pub(crate) fn difference_in(&self, dir: &Path) -> Option<String> {
        for (path, content) in self.files() {
            match fs::read(dir.join(&path)) {
                Err(error) => return Some(format!("{}: {error}", path.display())),
                Ok(found) if found.len() != content.len() => {
                    return Some(format!("{}: {} bytes, not {}", path.display(), found.len(), content.len()));
                }
                Ok(found) => {
                    if let Some(at) = found.iter().zip(content).position(|(a, b)| a != b) {
                        return Some(format!("{}: differs at byte {at}", path.display()));
                    }
                }
            }
        }
        None
    }

    fn info_dict(&self) -> Vec<u8> {
        let mut info = b"d".to_vec();
        match &self.tree {
            None => {
                string(&mut info, b"length");
                integer(&mut info, self.bytes.len());
            }
            Some(files) => {
                string(&mut info, b"files");
                info.push(b'l');
                for (path, length) in files {
                    info.push(b'd');
                    string(&mut info, b"length");
                    integer(&mut info, *length);
                    string(&mut info, b"path");
                    info.push(b'l');
                    path.split('/').for_each(|part| string(&mut info, part.as_bytes()));
                    info.extend(b"ee");
                }
                info.push(b'e');
            }
        }
        string(&mut info, b"name");
        string(&mut info, self.name.as_bytes());
        string(&mut info, b"piece length");
        integer(&mut info, self.piece_length);
        string(&mut info, b"pieces");
        let hashes: Vec<u8> = self.bytes.chunks(self.piece_length).flat_map(Sha1::digest).collect();
        string(&mut info, &hashes);
        info.push(b'e');
        info
    }
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(format!("{}:", text.len()).bytes());
    out.extend(text);
}

fn integer(out: &mut Vec<u8>, value: usize) {
    out.extend(format!("i{value}e").bytes());
}

/// Bytes that no two names share (xorshift64*), so that data in the wrong place never passes for right.
fn noise(name: &str, length: usize) -> Vec<u8> {
    let digest = Sha1::digest(name);
    let mut state = digest.iter().fold(1_u64, |state, &byte| state << 7 ^ state >> 57 ^ u64::from(byte)) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
