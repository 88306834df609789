//! Where do blobs live, and how much room may they take?

use std::path::PathBuf;
use std::time::Duration;

use base::ByteSize;

use crate::bucket::BucketConfig;

/// Free bytes that are left alone, so that databases and logs on the same disk go on.
const RESERVE: ByteSize = ByteSize::mib(512);
/// What nobody refers to is kept for so long: a pull may be followed by a deployment.
const GRACE: Duration = Duration::from_hours(24);

/// Where blobs live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The folder for blobs, parts and links.
    pub dir: PathBuf,
    /// Bytes of its disk that stay free.
    pub reserve: ByteSize,
    /// What nobody refers to stays for so long.
    pub grace: Duration,
    /// The object store in which blobs live; none where they live here.
    pub store: Option<BucketConfig>,
    /// The cache of a store takes so much at most; none for no limit.
    pub cache: Option<ByteSize>,
}

impl Config {
    /// In this folder, with the defaults.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), reserve: RESERVE, grace: GRACE, store: None, cache: None }
    }
}
