//! What kind of error it is, whether to ask again, and what to do about it.

use std::time::Duration;

use base::{Fault, Kind, Retry};

use super::{Error, Near};

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. } | Self::MissingPart { .. } | Self::NotFound { .. } | Self::NoVersion { .. } | Self::NoUpload(_) => {
                Kind::NotFound
            }
            Self::Permission { .. } | Self::Denied { .. } => Kind::Forbidden,
            Self::NotThere { .. } | Self::NoPull(_) => Kind::NotFound,
            Self::TooManyPulls(_) | Self::TooManyOfYours(_) => Kind::Limited,
            Self::Answered { .. } | Self::BadAnswer { .. } | Self::OtherRange { .. } | Self::List { .. } | Self::Moved { .. } => {
                Kind::Upstream
            }
            Self::Changed { .. }
            | Self::Busy(_)
            | Self::Taken(_)
            | Self::Mixed(_)
            | Self::OtherPull { .. }
            | Self::VersionInUse { .. }
            | Self::LastVersion { .. } => Kind::Conflict,
            Self::Format(error) => error.kind(),
            Self::Blobs(error) => error.kind(),
            Self::Read { .. } | Self::Changing { .. } | Self::Stopped => Kind::Unavailable,
            Self::Interrupted { .. } => Kind::Internal,
            Self::Store(error) => error.kind(),
            Self::NotAFile { .. }
            | Self::Empty { .. }
            | Self::Corrupt { .. }
            | Self::WrongPart { .. }
            | Self::UnknownArchitecture { .. }
            | Self::NoProjector { .. }
            | Self::Unreachable(_)
            | Self::BadSource { .. }
            | Self::UnknownFormat { .. }
            | Self::OtherFormat { .. }
            | Self::TooLarge { .. }
            | Self::NoBlobs
            | Self::NoSource
            | Self::NoFiles
            | Self::Unused { .. }
            | Self::Digest(_)
            | Self::Invalid(_)
            | Self::NoHome { .. } => Kind::Invalid,
        }
    }

    fn retry(&self) -> Retry {
        const UNTIL_WRITTEN: Duration = Duration::from_secs(5);
        match self {
            Self::Changing { .. } => Retry::After(UNTIL_WRITTEN),
            Self::Read { .. } | Self::OtherRange { .. } | Self::Moved { .. } => Retry::Safe,
            Self::Answered { status: 408 | 425 | 429 | 500..=599, after, .. } => after.map_or(Retry::Safe, Retry::After),
            Self::Store(error) => error.retry(),
            Self::Blobs(error) => error.retry(),
            _ => Retry::No,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Missing { near: Some(Near::File(file)), .. } => return Some(format!("did you mean {}?", file.display())),
            Self::Missing { near: Some(Near::Folder(folder)), .. } => {
                return Some(format!("check the path: it exists only up to {}", folder.display()));
            }
            Self::Missing { near: None, .. } => "check the path",
            Self::NotAFile { near: Some(Near::File(file)), .. } => return Some(format!("name the file in it: {}", file.display())),
            Self::NotAFile { .. } => "name a .gguf or .onnx file, or a folder with .safetensors files",
            Self::UnknownFormat { .. } => "GGUF, safetensors and ONNX are known; say `format: opaque` for what only its engine can read",
            Self::OtherFormat { .. } => "leave the format out: it is found out by itself",
            Self::Format(error) => return error.hint(),
            Self::TooLarge { .. } => "take a smaller one, or raise max_model_bytes in the server's config",
            Self::NoBlobs => "refer to files of the server's machine with file:PATH",
            Self::NoSource => "send the files first: `penstock push PATH NAME`",
            Self::NoUpload(_) => "begin it with POST",
            Self::NoFiles => "name its files, the main one first",
            Self::Unused { .. } => "leave it out, or name all files that the main one needs to be whole",
            Self::Blobs(error) => return error.hint(),
            Self::Digest(_) => "write sha256: and 64 hexadecimal digits",
            Self::Invalid(error) => return error.hint(),
            Self::Busy(_) => "send it again",
            Self::Taken(_) => "look whose it is now (`penstock model show`), then ask again or take another name; what has come is kept",
            Self::Mixed(_) => "take another name or tag; who may `update server` can take this one all the same",
            Self::VersionInUse { .. } => "move those to another version first",
            Self::LastVersion { .. } => "remove the whole model instead",
            Self::Permission { .. } => "give this user the right to read the file and to enter its folders",
            Self::Read { .. } => "check the disk, then try again",
            Self::Empty { .. } => "the download or the copy did not finish: fetch the file again",
            Self::Corrupt { source, .. } => return source.hint(),
            Self::MissingPart { .. } => "put all parts into the same folder, under the names that they were published with",
            Self::WrongPart { .. } => "fetch the parts again and keep their names",
            Self::UnknownArchitecture { suggestion: Some(near), .. } => {
                return Some(format!("`{near}` would be known; fetch the file again, or convert it anew with a current llama.cpp"));
            }
            Self::UnknownArchitecture { suggestion: None, .. } => "fetch another model, or update Penstock if this one is newer",
            Self::NoProjector { .. } => "name only the projector `mmproj-….gguf`, or leave it out",
            Self::Unreachable(_) => "download the files yourself and use file:PATH",
            Self::BadSource { .. } | Self::List { .. } => "write it as the reference of sources says: docs/reference/sources.md",
            Self::NotThere { .. } | Self::Denied { .. } | Self::Answered { .. } | Self::BadAnswer { .. } | Self::Moved { .. } => {
                return self.hint_of_host();
            }
            Self::OtherRange { .. } => "try again later; what has come is kept",
            Self::OtherPull { operation, .. } => {
                return Some(format!(
                    "wait until operation `{operation}` has ended and ask again, which fetches nothing twice; or stop it (`DELETE \
                     /api/v1/operations/{operation}`), which keeps what has come"
                ));
            }
            Self::TooManyPulls(_) | Self::TooManyOfYours(_) => "wait until one of them has ended, or stop one",
            Self::NoPull(_) => "it has ended: see `GET /api/v1/operations`",
            Self::NotFound { near: Some(near), .. } => return Some(format!("did you mean `{near}`?")),
            Self::NotFound { near: None, .. } => "register it first, or use file:PATH",
            Self::NoVersion { known, .. } => return Some(format!("it has {}", known.join(", "))),
            Self::Changed { .. } => "bring the old file back, or use the tag `latest` to serve the new one",
            Self::Changing { .. } => "wait until the download or the copy has finished",
            Self::NoHome { .. } => "write the whole path",
            Self::Stopped | Self::Interrupted { .. } => return None,
            Self::Store(error) => return error.hint(),
        };
        Some(text.to_owned())
    }
}

impl Error {
    /// What to do about what another machine has answered.
    fn hint_of_host(&self) -> Option<String> {
        let text = match self {
            Self::NotThere { near, .. } if near.is_empty() => {
                "check the name; what is private is shown only to those who bring a token (HF_TOKEN, or pull.hub_token_file)"
            }
            Self::NotThere { near, .. } => return Some(format!("there is {}", near.join(", "))),
            Self::Denied { with_token: false, .. } => {
                "it is private, or its licence must be accepted: make a token there, and start penstock with HF_TOKEN set or name its file in \
                 pull.hub_token_file"
            }
            Self::Denied { .. } => "accept the model's licence there with the account of this token, or use a token that may read it",
            Self::Answered { .. } => "try again later; what has come is kept",
            Self::BadAnswer { .. } => "check the address: this does not look like what it should be",
            Self::Moved { .. } => "try again: the newest state is fetched",
            _ => return None,
        };
        Some(text.to_owned())
    }
}
