//! The extension protocol (BEP 10): which extensions there are, and how peers number them.
//!
//! Each side tells in its [`handshake`] by which numbers it wants to be addressed. We number our extensions
//! once and for all; what the other side chose is kept in [`ExtensionIds`]. What extensions say is in their
//! own messages, and whether to use one is for the engine.

pub mod handshake;

pub use handshake::ExtensionHandshake;

/// An extension that we know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Extension {
    /// The info dictionary from peers (BEP 9).
    Metadata,
    /// Peers from peers (BEP 11).
    Pex,
    /// Telling later that nothing more is wanted (BEP 21).
    UploadOnly,
    /// Taking a `have` back (BEP 54).
    DontHave,
    /// Connecting two peers behind address translation (BEP 55).
    Holepunch,
}

impl Extension {
    /// All of them.
    pub const ALL: [Extension; 5] = [
        Extension::Metadata,
        Extension::Pex,
        Extension::UploadOnly,
        Extension::DontHave,
        Extension::Holepunch,
    ];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Extension::Metadata => "ut_metadata",
            Extension::Pex => "ut_pex",
            Extension::UploadOnly => "upload_only",
            Extension::DontHave => "lt_donthave",
            Extension::Holepunch => "ut_holepunch",
        }
    }

    /// The number by which peers address it when they write to us; never 0, which is the handshake.
    pub const fn our_id(self) -> u8 {
        self as u8 + 1
    }

    /// The extension that a peer means by `id` when it writes to us.
    pub fn of_our_id(id: u8) -> Option<Extension> {
        Extension::ALL.into_iter().find(|extension| extension.our_id() == id)
    }
}

/// By which number one side wants each extension to be addressed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ExtensionIds {
    /// By [`Extension`]: `None` was not mentioned, 0 is off.
    ids: [Option<u8>; Extension::ALL.len()],
}

impl ExtensionIds {
    /// What we tell a peer that may use these `extensions`.
    pub fn ours(extensions: &[Extension]) -> ExtensionIds {
        let mut ours = ExtensionIds::default();
        extensions.iter().for_each(|extension| ours.set(*extension, extension.our_id()));
        ours
    }

    /// Numbers `extension`; 0 switches it off.
    pub fn set(&mut self, extension: Extension, id: u8) {
        self.ids[extension as usize] = Some(id);
    }

    /// The number to write before a message of `extension`; `None` when the other side does not want any.
    pub fn id_of(&self, extension: Extension) -> Option<u8> {
        self.ids[extension as usize].filter(|id| *id != 0)
    }

    /// Takes over what a further handshake says; what it does not mention stays (BEP 10).
    pub fn update(&mut self, later: &ExtensionIds) {
        for (id, later) in self.ids.iter_mut().zip(later.ids) {
            *id = later.or(*id);
        }
    }

    /// All that were mentioned, those that are off with 0.
    fn mentioned(&self) -> impl Iterator<Item = (Extension, u8)> {
        Extension::ALL.into_iter().zip(self.ids).filter_map(|(extension, id)| Some((extension, id?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_numbers_name_the_extensions_they_were_given_for() {
        for extension in Extension::ALL {
            assert_eq!(Extension::of_our_id(extension.our_id()), Some(extension));
        }
        assert_eq!(Extension::of_our_id(0), None);
        assert_eq!(Extension::of_our_id(200), None);
    }

    #[test]
    fn a_later_handshake_changes_only_what_it_mentions() {
        let mut ids = ExtensionIds::default();
        ids.set(Extension::Pex, 3);
        ids.set(Extension::Metadata, 4);
        let mut later = ExtensionIds::default();
        later.set(Extension::Pex, 0);
        ids.update(&later);
        assert_eq!((ids.id_of(Extension::Pex), ids.id_of(Extension::Metadata)), (None, Some(4)));
    }
}
