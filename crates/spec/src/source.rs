//! Where the files of a model come from.
//!
//! In: `file:./tiny.gguf`, `hf:org/repo[/file]`, `ollama:name[:tag]`, `s3://…`, `http(s)://…`, or a registry name
//! `name[:tag|@digest]`. Out: a [`Source`]. A bare path that begins with `/`, `./`, `../` or `~/`,
//! or ends in `.gguf`, is a file. Fails: with what was expected.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::check::{Invalid, Problem};
use crate::name::Name;

/// A place to get a model from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A file of this machine.
    File(PathBuf),
    /// A repository on a model hub: `org/repo` with an optional file in it.
    Hub(String),
    /// An object in S3 or a store like it, in GCS or in Azure.
    S3(String),
    /// A URL.
    Http(String),
    /// A name in an Ollama-style registry, with host and tag where they are given.
    Ollama(String),
    /// A name in our registry, with tag or digest.
    Registry {
        /// The model.
        name: Name,
        /// `latest` when not given; `@sha256:…` for a digest.
        tag: Option<String>,
    },
    /// Somebody sent the files here.
    Upload,
}

/// How a source is written whose files were sent here.
const UPLOAD: &str = "upload:";

impl Source {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let wrong = |what: &str| {
            Invalid::one(
                "model",
                format!("`{text}` {what}"),
                "write file:PATH, hf:ORG/REPO, ollama:NAME, s3://BUCKET/KEY, https://… or NAME[:TAG]",
            )
        };
        if text.is_empty() {
            return Err(wrong("names no model"));
        }
        if let Some(path) = text.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(wrong("has no path")) } else { Ok(Self::File(path.into())) };
        }
        // As URLs of their own kind, as some write them.
        let after = |scheme: &str| text.strip_prefix(scheme).map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        if let Some(rest) = after("hf:") {
            return if rest.split('/').filter(|p| !p.is_empty()).count() >= 2 {
                Ok(Self::Hub(rest.to_owned()))
            } else {
                Err(wrong("is not hf:ORG/REPO"))
            };
        }
        if let Some(rest) = after("ollama:") {
            return if rest.is_empty() { Err(wrong("names no model")) } else { Ok(Self::Ollama(rest.to_owned())) };
        }
        if text == UPLOAD {
            return Ok(Self::Upload);
        }
        if ["s3://", "gs://", "az://"].iter().any(|scheme| text.starts_with(scheme)) {
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

impl Source {
    /// Its files lie on another machine.
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Hub(_) | Self::S3(_) | Self::Http(_) | Self::Ollama(_))
    }

    /// What a model from there may be called when nobody says.
    pub fn suggested_name(&self) -> Option<Name> {
        let text = match self {
            Self::Registry { name, .. } => return Some(name.clone()),
            Self::Hub(rest) => rest.split([':', '@']).next()?.split('/').nth(1)?,
            Self::Ollama(rest) => rest.rsplit('/').next()?.split(':').next()?,
            Self::S3(url) | Self::Http(url) => url.split(['?', '#']).next()?.rsplit('/').next()?,
            Self::File(path) => path.file_name()?.to_str()?,
            Self::Upload => return None,
        };
        let lower = text.to_ascii_lowercase();
        let stem = [".gguf", ".onnx", "-gguf"].iter().fold(lower.as_str(), |stem, ending| stem.strip_suffix(ending).unwrap_or(stem));
        // Of a split model the number of its part says nothing.
        let stem = stem.split_once("-00001-of-").map_or(stem, |(stem, _)| stem);
        Name::parse(stem).ok()
    }
}

/// Whether a URL has a name or a password before its host.
pub(crate) fn tells_a_password(url: &str) -> bool {
    let authority = url.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    authority.is_some_and(|authority| authority.contains('@'))
}

impl Source {
    /// A password in it would be shown to whoever sees this field.
    pub fn password_problem(&self, field: &str) -> Option<Problem> {
        let (Self::S3(url) | Self::Http(url)) = self else { return None };
        tells_a_password(url).then(|| Problem {
            field: field.to_owned(),
            what: "a password in it would be shown to whoever sees this model".to_owned(),
            hint: "write the address alone; what a server of models needs to know stands in the config".to_owned(),
        })
    }

    /// For the story: without what stands behind the `?` of a URL, which may open what it names.
    pub fn told(&self) -> String {
        self.shown().to_string()
    }

    /// The same for whoever may see it.
    #[must_use]
    pub fn shown(&self) -> Self {
        match self {
            Self::S3(url) => Self::S3(without_query(url)),
            Self::Http(url) => Self::Http(without_query(url)),
            other => other.clone(),
        }
    }

    /// The one that somebody means who was shown this one: what was kept from them is as it was.
    #[must_use]
    pub fn meant(self, before: Option<&Self>) -> Self {
        match before {
            Some(before) if before.shown() == self => before.clone(),
            _ => self,
        }
    }
}

fn without_query(url: &str) -> String {
    let (address, fragment) = url.split_once('#').map_or((url, String::new()), |(address, fragment)| (address, format!("#{fragment}")));
    match address.split_once('?') {
        Some((address, _)) => format!("{address}?…{fragment}"),
        None => url.to_owned(),
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Hub(rest) => write!(f, "hf:{rest}"),
            Self::Ollama(rest) => write!(f, "ollama:{rest}"),
            Self::S3(url) | Self::Http(url) => f.write_str(url),
            Self::Upload => f.write_str(UPLOAD),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_before_a_host_is_found_and_an_at_sign_elsewhere_is_none() {
        let problem = |text: &str| Source::parse(text).expect("a source").password_problem("source").is_some();
        for text in ["https://ann:pw@host/m.gguf", "http://ann@host", "s3://key:secret@bucket/m.gguf", "https://a:b@host?x"] {
            assert!(problem(text), "{text}");
        }
        for text in ["https://host/m@1.gguf", "https://host?by=ann@host", "hf:org/repo@main", "m@sha256:0123456789ab", "file:/a@b.gguf"] {
            assert!(!problem(text), "{text}");
        }
    }

    #[test]
    fn the_story_has_an_address_without_what_may_open_it() {
        let told = |text: &str| Source::parse(text).expect("a source").told();
        assert_eq!(told("https://host/m.gguf?X-Amz-Signature=s"), "https://host/m.gguf?…");
        assert_eq!((told("https://host/m.gguf"), told("file:/why?.gguf")), ("https://host/m.gguf".into(), "file:/why?.gguf".into()));
        assert_eq!(told("https://host/m.gguf?sig=s#sha256=ab"), "https://host/m.gguf?…#sha256=ab");
    }

    #[test]
    fn who_sends_back_what_they_were_shown_means_what_is_there() {
        let parsed = |text: &str| Source::parse(text).expect("a source");
        let there = parsed("https://host/m.gguf?sig=s");
        assert_eq!(parsed(&there.told()).meant(Some(&there)), there);
        let other = parsed("https://host/other.gguf?…");
        assert_eq!((other.clone().meant(Some(&there)), other.clone().meant(None)), (other.clone(), other));
    }
}
