//! Why a file was refused, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use base::{Fault, Kind};

use crate::sniff::Code;

/// What can be wrong with a file or a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading failed.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A pipe, a device or the like.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// It can run code when it is opened.
    #[error("{} is {code}: whoever opens it runs what its author wrote", path.display())]
    RunsCode {
        /// Which.
        path: PathBuf,
        /// What it is.
        code: Code,
    },
    /// A name that leads out of its folder.
    #[error("`{}` cannot be the name of a file of a model: {why}", name.escape_default())]
    Name {
        /// As it was given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A link that leads out of its folder.
    #[error("{} is a link that leads out of its folder", path.display())]
    Link {
        /// Which.
        path: PathBuf,
    },
    /// The header breaks its format.
    #[error("{} is not a usable {format} file: {what}", path.display())]
    Corrupt {
        /// Which.
        path: PathBuf,
        /// What it should be.
        format: &'static str,
        /// What is wrong, and where.
        what: String,
    },
    /// It is not all there, or more than it should be.
    #[error("{} has {found} bytes, and its header speaks of {wanted}", path.display())]
    Length {
        /// Which.
        path: PathBuf,
        /// By its header.
        wanted: u64,
        /// As it is.
        found: u64,
    },
    /// The index names a file or a tensor that is not there.
    #[error("{} names {what}, which is not there", path.display())]
    Missing {
        /// The index.
        path: PathBuf,
        /// What it names.
        what: String,
    },
    /// More than is looked at.
    #[error("{} is too large to be looked at: {what}", path.display())]
    TooMuch {
        /// Which.
        path: PathBuf,
        /// What of it, and how much there may be.
        what: String,
    },
    /// No model file in it.
    #[error("{} holds no model that is known", path.display())]
    NoModel {
        /// The folder.
        path: PathBuf,
    },
}

impl Error {
    /// The file or the folder that it is about.
    pub fn path(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Name { .. } => None,
            Self::Read { path, .. }
            | Self::NotAFile { path }
            | Self::RunsCode { path, .. }
            | Self::Link { path }
            | Self::Corrupt { path, .. }
            | Self::Length { path, .. }
            | Self::Missing { path, .. }
            | Self::TooMuch { path, .. }
            | Self::NoModel { path } => Some(path),
        }
    }
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }
    pub(crate) fn corrupt(path: &Path, format: &'static str, what: impl std::fmt::Display) -> Self {
        Self::Corrupt { path: path.to_owned(), format, what: what.to_string() }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Kind::Forbidden,
            Self::Read { .. } => Kind::Unavailable,
            _ => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Read { .. } => "check the path, its rights and the disk",
            Self::NotAFile { .. } => "put the file itself there, or take it out of the folder",
            Self::RunsCode { .. } => "take the same model as safetensors or GGUF, or convert it where you trust its author",
            Self::Name { .. } => "use names such as `model.safetensors` or `onnx/model.onnx`, below the model's own folder",
            Self::Link { .. } => "copy the folder with the files that its links lead to (`cp -rL`), and name the copy",
            Self::Corrupt { .. } | Self::Length { .. } => "the download or the copy did not finish, or the file is damaged: fetch it again",
            Self::Missing { .. } => "fetch all files of the model, under the names that they were published with",
            Self::TooMuch { .. } => "keep only the files of one model in the folder",
            Self::NoModel { .. } => "name a .gguf or .onnx file, a folder with .safetensors files, or say `format: opaque`",
        };
        Some(text.to_owned())
    }
}
