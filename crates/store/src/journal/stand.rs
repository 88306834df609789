//! How a journal stands, for metrics and for people.

/// What is wrong with a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// Its files have reached the quota: the database does not keep up.
    Full,
    /// Its files cannot be written.
    Unwritable,
}

impl Alarm {
    /// What it means, and what to do.
    pub fn words(self) -> &'static str {
        match self {
            Self::Full => "the usage journal has reached its quota, because the database takes no rows; see what holds the database up",
            Self::Unwritable => "the usage journal cannot be written; see that the disk of data_dir is there and has space",
        }
    }
}

/// How a journal stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalStand {
    /// Bytes of its files.
    pub bytes: u64,
    /// Rows that are not in the database yet.
    pub behind: u64,
    /// Rows that were lost since the start.
    pub lost: u64,
    /// What is wrong with it now.
    pub alarm: Option<Alarm>,
}
