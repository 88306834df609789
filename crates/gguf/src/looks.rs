//! What a file that is not GGUF looks like, so that a person sees at once what went wrong.
//!
//! In: the first bytes. Out: a guess by well-known marks. Fails: never. From: the safetensors and
//! git-lfs specifications, the magic numbers of `file(1)`.

use std::fmt;

/// How many first bytes [`Looks::at`] wants to see.
pub const WANTED: usize = 64;

/// The longest JSON header that a safetensors file may have, in bytes (by its specification).
const SAFETENSORS_HEADER: u64 = 100_000_000;

/// A guess at what a foreign file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looks {
    /// Nothing in it.
    Empty,
    /// Only zero bytes at the start: space that was reserved and never written.
    Zeros,
    /// A safetensors file.
    Safetensors,
    /// A zip archive, as PyTorch checkpoints are.
    Zip,
    /// A Python pickle: an older PyTorch checkpoint.
    Pickle,
    /// A web page, mostly an error or a login page saved under the model's name.
    Html,
    /// The small text that git-lfs leaves in place of the file.
    GitLfsPointer,
    /// JSON text.
    Json,
    /// A gzip, zstd, xz or bzip2 stream.
    Compressed,
    /// An HDF5 file (Keras).
    Hdf5,
    /// A predecessor of GGUF (GGML, GGMF, GGJT, GGLA).
    Ggml,
    /// A program.
    Program,
    /// Some other text.
    Text,
    /// None of these; the first four bytes.
    Unknown([u8; 4]),
}

impl Looks {
    /// Guesses from the first bytes (best [`WANTED`] of them).
    pub fn at(head: &[u8]) -> Self {
        let known: [(&[u8], Self); 19] = [
            (b"version https://git-lfs", Self::GitLfsPointer),
            (b"PK\x03\x04", Self::Zip),
            (b"\x80\x02", Self::Pickle),
            (b"\x80\x03", Self::Pickle),
            (b"\x80\x04", Self::Pickle),
            (b"\x1f\x8b", Self::Compressed),
            (b"\x28\xb5\x2f\xfd", Self::Compressed),
            (b"\xfd7zXZ", Self::Compressed),
            (b"BZh", Self::Compressed),
            (b"\x89HDF", Self::Hdf5),
            (b"lmgg", Self::Ggml),
            (b"fmgg", Self::Ggml),
            (b"tjgg", Self::Ggml),
            (b"algg", Self::Ggml),
            (b"\x7fELF", Self::Program),
            (b"MZ\x90", Self::Program),
            (b"#!/", Self::Program),
            (b"\xcf\xfa\xed\xfe", Self::Program),
            (b"%PDF", Self::Text),
        ];
        if head.is_empty() {
            return Self::Empty;
        }
        if let Some((_, looks)) = known.iter().find(|(mark, _)| head.starts_with(mark)) {
            return *looks;
        }
        if is_safetensors(head) {
            return Self::Safetensors;
        }
        if head.iter().all(|byte| *byte == 0) {
            return Self::Zeros;
        }
        by_text(head)
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Safetensors | Self::Zip | Self::Pickle | Self::Hdf5 => {
                "convert it to GGUF first (convert_hf_to_gguf.py of llama.cpp), or fetch the GGUF file of this model"
            }
            Self::Html | Self::Json => {
                "the server answered with a page in place of the file: check the URL and whether it needs a token, then fetch again"
            }
            Self::GitLfsPointer => "the large file itself was not fetched: run `git lfs pull`, or download it by its URL",
            Self::Compressed => "unpack it first",
            Self::Ggml => "this is a format from before GGUF: fetch the GGUF file of this model",
            Self::Empty | Self::Zeros => "the download never finished: fetch the file again",
            Self::Program | Self::Text | Self::Unknown(_) => "name a file in GGUF format (its first four bytes are `GGUF`)",
        }
    }
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Empty => "it is empty",
            Self::Zeros => "it begins with zeros only",
            Self::Safetensors => "it looks like safetensors",
            Self::Zip => "it looks like a zip archive, as PyTorch checkpoints are",
            Self::Pickle => "it looks like a Python pickle, as older PyTorch checkpoints are",
            Self::Html => "it looks like a web page",
            Self::GitLfsPointer => "it is a git-lfs pointer, not the file itself",
            Self::Json => "it looks like JSON",
            Self::Compressed => "it is compressed",
            Self::Hdf5 => "it looks like HDF5",
            Self::Ggml => "it is an old GGML file",
            Self::Program => "it looks like a program",
            Self::Text => "it looks like text",
            Self::Unknown(bytes) => {
                f.write_str("it begins with")?;
                return bytes.iter().try_for_each(|byte| write!(f, " {byte:02x}"));
            }
        };
        f.write_str(text)
    }
}

/// Eight bytes of header length, then a JSON object.
fn is_safetensors(head: &[u8]) -> bool {
    let Some((length, rest)) = head.split_first_chunk::<8>() else {
        return false;
    };
    u64::from_le_bytes(*length) <= SAFETENSORS_HEADER && rest.first() == Some(&b'{')
}

fn by_text(head: &[u8]) -> Looks {
    let plain = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    match head.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'<') => Looks::Html,
        Some(b'{' | b'[') => Looks::Json,
        _ if head.iter().all(plain) => Looks::Text,
        _ => Looks::Unknown(first_four(head)),
    }
}

fn first_four(head: &[u8]) -> [u8; 4] {
    let mut four = [0; 4];
    for (to, from) in four.iter_mut().zip(head) {
        *to = *from;
    }
    four
}
