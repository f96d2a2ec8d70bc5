//! A complete file gets its own name, and what else it lacks, in the order in which a crash does least harm.
//!
//! A file that is longer than it should be is cut before it gets the name that people take for complete. What that
//! does to its time of change is recorded before the file is synced, so that a sync that fails makes nothing else
//! doubtful. Its name is synced after its content: who finds the name on the disk finds a whole file.

/// A complete file, and what can be done to it.
pub trait CompleteFile {
    /// Why something has failed.
    type Error;
    /// Finds the file; an error when it is not there, or another has its place.
    fn look(&mut self) -> Result<Seen, Self::Error>;
    /// The error when it is shorter than it should be.
    fn too_short(&self) -> Self::Error;
    /// Cuts it; an error when it is not ours.
    fn cut(&mut self, length: u64) -> Result<(), Self::Error>;
    /// Lets it be executed, if it is to be.
    fn allow_execution(&mut self) -> Result<(), Self::Error>;
    /// Gives it its own name, if nothing is lost by that.
    fn take_name(&mut self) -> Result<(), Self::Error>;
    /// Writes down that it was changed.
    fn record(&mut self);
    /// Has its content on the disk.
    fn sync(&mut self) -> Result<(), Self::Error>;
    /// Has its name on the disk.
    fn sync_name(&mut self) -> Result<(), Self::Error>;
}

/// How a complete file is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Whether it has the name of an incomplete one.
    pub is_part: bool,
    /// Its length, bytes.
    pub length: u64,
}

/// Finishes a file that should be of this length; it `is_synced` before it counts where people want that.
pub fn finish<F: CompleteFile>(file: &mut F, length: u64, is_synced: bool) -> Result<(), F::Error> {
    let seen = file.look()?;
    if seen.length < length {
        return Err(file.too_short());
    }
    let is_longer = seen.length > length;
    if is_longer {
        file.cut(length)?;
    }
    file.allow_execution()?;
    if seen.is_part {
        file.take_name()?;
    }
    if is_longer {
        file.record();
    }
    if is_synced {
        file.sync()?;
        file.sync_name()?;
    }
    Ok(())
}
