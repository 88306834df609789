//! Where the files of a model come from.
//!
//! In: `file:./tiny.gguf`, `hf:org/repo[/file]`, `s3://…`, `http(s)://…`, or a registry name
//! `name[:tag|@digest]`. Out: a [`Source`]. A bare path that begins with `/`, `./`, `../` or `~/`,
//! or ends in `.gguf`, is a file. Fails: with what was expected.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::check::Invalid;
use crate::name::Name;

/// A place to get a model from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A file of this machine.
    File(PathBuf),
    /// A repository on a model hub: `org/repo` with an optional file in it.
    Hub(String),
    /// An object in an S3-compatible store.
    S3(String),
    /// A URL.
    Http(String),
    /// A name in our registry, with tag or digest.
    Registry {
        /// The model.
        name: Name,
        /// `latest` when not given; `@sha256:…` for a digest.
        tag: Option<String>,
    },
}

impl Source {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let wrong = |what: &str| {
            Invalid::one("model", format!("`{text}` {what}"), "write file:PATH, hf:ORG/REPO, s3://BUCKET/KEY, https://… or NAME[:TAG]")
        };
        if text.is_empty() {
            return Err(wrong("names no model"));
        }
        if let Some(path) = text.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(wrong("has no path")) } else { Ok(Self::File(path.into())) };
        }
        if let Some(rest) = text.strip_prefix("hf:") {
            return if rest.split('/').filter(|p| !p.is_empty()).count() >= 2 {
                Ok(Self::Hub(rest.to_owned()))
            } else {
                Err(wrong("is not hf:ORG/REPO"))
            };
        }
        if text.starts_with("s3:") {
            return Ok(Self::S3(text.to_owned()));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Http(text.to_owned()));
        }
        let is_path = ["/", "./", "../", "~/"].iter().any(|p| text.starts_with(p));
        if is_path || text.to_ascii_lowercase().ends_with(".gguf") {
            return Ok(Self::File(text.into()));
        }
        let (name, tag) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(format!("@{digest}"))),
            None => match text.rsplit_once(':') {
                Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
                _ => (text, None),
            },
        };
        let name = Name::parse(name).ok().ok_or_else(|| wrong("is neither a path nor a model name"))?;
        Ok(Self::Registry { name, tag })
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Hub(rest) => write!(f, "hf:{rest}"),
            Self::S3(url) | Self::Http(url) => f.write_str(url),
            Self::Registry { name, tag: None } => write!(f, "{name}"),
            Self::Registry { name, tag: Some(tag) } if tag.starts_with('@') => write!(f, "{name}{tag}"),
            Self::Registry { name, tag: Some(tag) } => write!(f, "{name}:{tag}"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
