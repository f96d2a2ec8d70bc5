//! The disk: executes the engine's [`DiskJob`](crate::engine::disk_job::DiskJob)s on worker threads.
//!
//! Everything about files is here: where they are opened (`door`), which names they have (`names`), what they should
//! hold (`storage`), handles on them (`payload`), how payload bytes fall into them (`transfer`), the jobs themselves
//! (`prepare`, `advance`, `finish`, `check`, `upload`), and what is remembered of them (`keep`). What to do and when
//! is the engine's business; a piece's state travels inside its job, so no two workers ever share one.

pub mod door;

mod advance;
mod check;
mod elsewhere;
mod error;
mod file_limit;
pub(super) mod file_system;
mod find_data;
mod finish;
mod keep;
pub(super) mod medium;
mod names;
mod open_files;
mod payload;
mod prepare;
mod queue;
pub(super) mod read_advice;
pub(super) mod read_buffer;
mod space;
pub mod special_file;
mod storage;
mod sync_behind;
mod target;
mod transfer;
mod unproven;
mod upload;
mod workers;
mod write_together;

#[cfg(test)]
mod tests;

pub(super) use check::sha1_of_zeros;
pub use file_limit::{is_too_many_files, raise_file_limit};
pub use find_data::{has_data, has_right_piece, looks_complete, names_on_disk};
pub use keep::{Keeping, SyncPolicy};
pub(super) use space::next_data;
pub use storage::Storage;
pub(super) use target::part_paths;
pub use target::{Allocate, FileSpec, OnConflict, Target};
pub use upload::{ReadFailure, Reader};
pub use workers::{DiskPool, UploadDone};
