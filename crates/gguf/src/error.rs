//! Why a file was refused: what is wrong, where in the file, and what to do next.
//!
//! From: the checks of llama.cpp's own loader, so that what we accept the engine does not refuse.

use std::fmt;
use std::path::PathBuf;

use base::{Fault, Kind, Retry};

use crate::looks::Looks;

/// Where in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the start.
    pub offset: u64,
    /// What was being read there.
    pub part: Part,
}

/// What was being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Magic, version and counts.
    Header,
    /// The name of the key with this number, from 0.
    KeyName(u64),
    /// The value of this key.
    Key(String),
    /// The name of the tensor with this number, from 0.
    TensorName(u64),
    /// The entry of this tensor in the table.
    Tensor(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            Part::Header => f.write_str("in the header")?,
            Part::KeyName(index) => write!(f, "in the name of key {index}")?,
            Part::Key(key) => write!(f, "in key `{key}`")?,
            Part::TensorName(index) => write!(f, "in the name of tensor {index}")?,
            Part::Tensor(name) => write!(f, "in tensor `{name}`")?,
        }
        write!(f, " at byte {}", self.offset)
    }
}

/// What has a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Keys in the metadata.
    Keys,
    /// Tensors in the table.
    Tensors,
    /// Bytes of a name.
    Name,
    /// Bytes of a text.
    Text,
    /// Elements of an array.
    Array,
    /// Dimensions of a tensor.
    Dimensions,
    /// Bytes of the whole header.
    Header,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys => "number of keys",
            Self::Tensors => "number of tensors",
            Self::Name => "length of a name",
            Self::Text => "length of a text",
            Self::Array => "length of an array",
            Self::Dimensions => "number of dimensions",
            Self::Header => "size of the header",
        })
    }
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// As it was named.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system failed while it was read.
    #[error("cannot read {place}")]
    Read {
        /// Where.
        place: Place,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something else.
    #[error("not a GGUF file: {0}")]
    NotGguf(Looks),
    /// Written for big-endian machines.
    #[error("a big-endian GGUF file (version {version}); the engines here read little-endian ones")]
    BigEndian {
        /// Its version, turned round.
        version: u32,
    },
    /// A version that nobody reads any more, or not yet.
    #[error("GGUF version {version}; versions 2 and 3 can be read")]
    Version {
        /// As it stands in the file.
        version: u32,
    },
    /// The file ends too early.
    #[error("cut short {place}: expected at least {expected} bytes, the file has {has}")]
    Truncated {
        /// Where it noticed.
        place: Place,
        /// Bytes that the file must have for this.
        expected: u64,
        /// Bytes that it has.
        has: u64,
    },
    /// A count or a length that no honest file has.
    #[error("absurd {what} {place}: {found}, at most {most} is read")]
    Absurd {
        /// Where.
        place: Place,
        /// What is counted.
        what: Limit,
        /// What the file says.
        found: u64,
        /// Our limit.
        most: u64,
    },
    /// A text that is not UTF-8.
    #[error("not UTF-8 {place}")]
    Utf8 {
        /// Where the text begins.
        place: Place,
        /// What is wrong with it.
        source: std::str::Utf8Error,
    },
    /// An empty name.
    #[error("an empty name {0}")]
    EmptyName(Place),
    /// A name that stood there before.
    #[error("the name `{name}` for the second time {place}")]
    Twice {
        /// Where.
        place: Place,
        /// The name.
        name: String,
    },
    /// A type of value that GGUF does not have.
    #[error("unknown value type {code} {place}")]
    ValueType {
        /// Where.
        place: Place,
        /// As it stands in the file.
        code: u32,
    },
    /// A key that every model has is not there.
    #[error("the key `{key}` is missing")]
    Missing {
        /// Its name.
        key: &'static str,
    },
    /// A key holds something else than it must.
    #[error("the key `{key}` must be {wanted}")]
    WrongValue {
        /// Its name.
        key: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// A tensor of a type that we do not know or that was taken out of GGUF.
    #[error("unknown tensor type {code} {place}")]
    TensorType {
        /// Where.
        place: Place,
        /// As it stands in the file.
        code: u32,
    },
    /// A tensor whose size cannot be.
    #[error("impossible shape {shape:?} for {kind} {place}")]
    Shape {
        /// Where.
        place: Place,
        /// Its dimensions.
        shape: Vec<u64>,
        /// Its type.
        kind: &'static str,
    },
    /// A tensor that does not begin where the one before ends.
    #[error("tensor `{name}` lies at offset {found} of the data, expected {expected}")]
    Offset {
        /// Which.
        name: String,
        /// Where it must lie.
        expected: u64,
        /// Where it lies.
        found: u64,
    },
    /// A tensor beyond the end of the file.
    #[error("cut short: tensor `{name}` ends at byte {end}, the file has {has}")]
    TensorOutside {
        /// Which.
        name: String,
        /// One past its last byte.
        end: u64,
        /// Bytes that the file has.
        has: u64,
    },
    /// A file without a vocabulary that we can read.
    #[error("no vocabulary in this file: the key `{key}` is missing or of another type")]
    NoVocabulary {
        /// What was looked for.
        key: &'static str,
    },
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Open { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Kind::NotFound,
            Self::Open { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => Kind::Forbidden,
            Self::Open { .. } | Self::Read { .. } => Kind::Unavailable,
            _ => Kind::Invalid,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Read { .. } => Retry::Safe,
            _ => Retry::No,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NotGguf(looks) => looks.hint(),
            Self::Open { .. } => "check the path and that this user may read it",
            Self::Read { .. } => "check the disk, then try again",
            Self::BigEndian { .. } => "fetch the little-endian file, or convert it with gguf_convert_endian.py",
            Self::Version { version: 0 | 1 } => "fetch a newer file of this model",
            Self::Version { .. } => "update Penstock, or fetch a file of version 3",
            Self::Truncated { .. } | Self::TensorOutside { .. } => {
                "the download or the copy did not finish: fetch the file again and compare its size"
            }
            Self::TensorType { .. } => "fetch another quantisation of this model, or update Penstock",
            Self::NoVocabulary { .. } => "token counts for this model are estimates",
            _ => "the file is damaged: fetch it again and compare its digest",
        };
        Some(text.to_owned())
    }
}
