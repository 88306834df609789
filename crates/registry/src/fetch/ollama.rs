//! What does an Ollama-style registry hold under a name?
//!
//! In: `[HOST/][NAMESPACE/]NAME[:TAG]`. Out: the layers of the model and of its projector with their digests, and what the others say: licence,
//! parameters, template. Fails: on what cannot be served (an adapter); as the other side refuses. From: the OCI distribution
//! API, image manifest version 2, and Ollama's layer types. A registry that wants to know who asks gets an anonymous token, as with `docker pull`.

use ::http::{HeaderMap, HeaderValue, header};
use base::Secret;
use blobs::Digest;
use blobs::web::{Reply, Web, bearer};
use serde::Deserialize;
use serde_json::Value;
use spec::{Card, Parameters};

use super::Fetching;
use super::file::refused;
use super::plan::{Plan, Wanted};
use crate::error::Error;

mod template;

/// Small layers and manifests.
const LONGEST_TEXT: usize = 256 << 10;
/// Longest licence that stands in a card.
const LONGEST_WORD: usize = 200;
const MANIFEST: HeaderValue = HeaderValue::from_static("application/vnd.docker.distribution.manifest.v2+json");
const UNAUTHORIZED: u16 = 401;

/// A place in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    base: String,
    name: String,
    tag: String,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Debug, Deserialize)]
struct Layer {
    #[serde(rename = "mediaType")]
    kind: String,
    digest: String,
    size: u64,
}

impl Layer {
    /// The last word of its type.
    fn is(&self, word: &str) -> bool {
        self.kind.strip_prefix("application/vnd.ollama.image.") == Some(word)
    }
}

pub(super) async fn plan(web: &Web, fetching: &Fetching, text: &str) -> Result<Plan, Error> {
    let place = Place::parse(text, &fetching.ollama)
        .ok_or_else(|| Error::BadSource { source_text: format!("ollama:{text}"), what: "is not ollama:[HOST/][NAMESPACE/]NAME[:TAG]" })?;
    let mut registry = Registry { web, place: &place, token: None };
    let (manifest, revision) = registry.manifest().await?;
    if manifest.layers.iter().any(|layer| layer.is("adapter")) {
        return Err(Error::BadSource {
            source_text: format!("ollama:{text}"),
            what: "is an adapter of another model, which is not served",
        });
    }
    let model = manifest.layers.iter().find(|layer| layer.is("model"));
    let model =
        model.ok_or_else(|| Error::NotThere { host: place.base.clone(), what: format!("model in {}", place.name), near: Vec::new() })?;
    let mut files = vec![registry.wanted(model, format!("{}.gguf", place.file_stem()))?];
    if let Some(projector) = manifest.layers.iter().find(|layer| layer.is("projector")) {
        files.push(registry.wanted(projector, format!("{}-{}.gguf", crate::parts::PROJECTOR, place.file_stem()))?);
    }
    let (card, template) = registry.card(&manifest).await?;
    Ok(Plan { files, revision, card, template })
}

struct Registry<'a> {
    web: &'a Web,
    place: &'a Place,
    token: Option<Secret>,
}

impl Registry<'_> {
    async fn manifest(&mut self) -> Result<(Manifest, String), Error> {
        let url = format!("{}/v2/{}/manifests/{}", self.place.base, self.place.name, self.place.tag);
        let mut reply = self.get(&url).await?;
        if reply.status.as_u16() == UNAUTHORIZED
            && let Some(token) = self.anonymous(&reply).await?
        {
            self.token = Some(token);
            reply = self.get(&url).await?;
        }
        if !reply.status.is_success() {
            return Err(match refused(&reply, &url, self.token.as_ref()) {
                Error::NotThere { host, .. } => {
                    Error::NotThere { host, what: format!("model {}:{}", self.place.name, self.place.tag), near: Vec::new() }
                }
                other => other,
            });
        }
        let body = reply.bytes(LONGEST_TEXT).await?;
        let manifest = serde_json::from_slice(&body).map_err(|source| Error::BadAnswer { host: reply.host(), source })?;
        Ok((manifest, Digest::of(&body).to_string()))
    }

    fn wanted(&self, layer: &Layer, name: String) -> Result<Wanted, Error> {
        Ok(Wanted {
            name,
            url: self.blob(&layer.digest),
            token: self.token.clone(),
            digest: Some(layer.digest.parse()?),
            size: Some(layer.size),
            version: String::new(),
            store: None,
        })
    }

    /// What the small layers say, and a template for a file that has none.
    async fn card(&self, manifest: &Manifest) -> Result<(Option<Card>, Option<String>), Error> {
        let (mut card, mut other) = (Card::default(), None);
        for layer in &manifest.layers {
            if layer.is("license") && card.licence.is_empty() {
                let text = self.text(layer).await?;
                card.licence =
                    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().chars().take(LONGEST_WORD).collect();
            } else if layer.is("params") {
                (card.parameters, card.context_limit) = parameters(&self.text(layer).await?);
            } else if layer.is("template") {
                let text = self.text(layer).await?;
                if template::is_jinja(&text) {
                    card.chat_template = Some(text);
                } else {
                    other = template::jinja(&text);
                }
            }
        }
        Ok(((card != Card::default()).then_some(card), other))
    }

    async fn text(&self, layer: &Layer) -> Result<String, Error> {
        let mut reply = self.get(&self.blob(&layer.digest)).await?;
        if !reply.status.is_success() {
            return Err(refused(&reply, &self.blob(&layer.digest), self.token.as_ref()));
        }
        let body = reply.bytes(LONGEST_TEXT).await?;
        let (wanted, found) = (layer.digest.parse::<Digest>()?, Digest::of(&body));
        if wanted != found {
            return Err(blobs::Error::Mismatch { wanted, found }.into());
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// A token for everybody, from where the registry says.
    async fn anonymous(&self, reply: &Reply) -> Result<Option<Secret>, Error> {
        let Some(url) = reply.header("www-authenticate").and_then(token_url) else { return Ok(None) };
        let mut reply = self.web.get(&url, HeaderMap::new()).await?;
        if !reply.status.is_success() {
            return Ok(None);
        }
        let body = reply.bytes(LONGEST_TEXT).await?;
        let said: Value = serde_json::from_slice(&body).map_err(|source| Error::BadAnswer { host: reply.host(), source })?;
        let token = said.get("token").or_else(|| said.get("access_token")).and_then(Value::as_str);
        Ok(token.map(Secret::new))
    }

    async fn get(&self, url: &str) -> Result<Reply, Error> {
        let mut headers = HeaderMap::from_iter([(header::ACCEPT, MANIFEST)]);
        if let Some(value) = self.token.as_ref().and_then(bearer) {
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(self.web.get(url, headers).await?)
    }

    fn blob(&self, digest: &str) -> String {
        format!("{}/v2/{}/blobs/{digest}", self.place.base, self.place.name)
    }
}

impl Place {
    fn parse(text: &str, usual: &str) -> Option<Self> {
        let (path, tag) = match text.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            _ => (text, "latest"),
        };
        let scheme = ["http://", "https://"].into_iter().find(|scheme| path.starts_with(scheme)).unwrap_or("https://");
        let pieces: Vec<&str> = path.strip_prefix(scheme).unwrap_or(path).split('/').collect();
        let (host, namespace, name) = match pieces[..] {
            [name] => (None, "library", name),
            [namespace, name] => (None, namespace, name),
            [host, namespace, name] => (Some(host), namespace, name),
            _ => return None,
        };
        let is_word = |word: &&str| {
            !word.is_empty() && !word.starts_with('.') && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        let is_host = host.is_none_or(|host| host.split(':').all(|piece| is_word(&piece)));
        let base = host.map_or_else(|| usual.trim_end_matches('/').to_owned(), |host| format!("{scheme}{host}"));
        let good = is_host && [namespace, name, tag].iter().all(is_word);
        good.then(|| Self { base, name: format!("{namespace}/{name}"), tag: tag.to_owned() })
    }

    fn file_stem(&self) -> String {
        let name = self.name.strip_prefix("library/").unwrap_or(&self.name).replace('/', "-");
        format!("{name}-{}", self.tag)
    }
}

/// `Bearer realm="URL",service="…",scope="…"` as the URL to ask.
fn token_url(challenge: &str) -> Option<String> {
    let said = challenge.strip_prefix("Bearer ")?;
    let value = |key: &str| {
        let rest = said.split_once(&format!("{key}=\""))?.1;
        Some(rest.split_once('"')?.0)
    };
    let realm = value("realm").filter(|realm| realm.starts_with("https://") || realm.starts_with("http://"))?;
    let query: Vec<String> =
        ["service", "scope"].iter().filter_map(|key| Some(format!("{key}={}", super::plan::encoded(value(key)?)))).collect();
    Some(format!("{realm}{}{}", if realm.contains('?') { '&' } else { '?' }, query.join("&")))
}

/// Ollama's parameters, as far as a card has them, and its length of context.
fn parameters(text: &str) -> (Parameters, Option<u32>) {
    let said: Value = serde_json::from_str(text).unwrap_or_default();
    let real = |key: &str| said.get(key).and_then(Value::as_f64);
    let whole = |key: &str| said.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let parameters = Parameters {
        temperature: real("temperature"),
        top_p: real("top_p"),
        top_k: whole("top_k"),
        min_p: real("min_p"),
        repeat_penalty: real("repeat_penalty"),
        presence_penalty: real("presence_penalty"),
        frequency_penalty: real("frequency_penalty"),
        seed: whole("seed"),
        max_tokens: whole("num_predict"),
    };
    (parameters, whole("num_ctx").filter(|tokens| *tokens > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_ollama_reads_them() {
        let place = |text: &str| Place::parse(text, "https://registry.example/").map(|place| (place.base, place.name, place.tag));
        let some = |base: &str, name: &str, tag: &str| Some((base.to_owned(), name.to_owned(), tag.to_owned()));
        assert_eq!(place("tiny"), some("https://registry.example", "library/tiny", "latest"));
        assert_eq!(place("me/tiny:q4"), some("https://registry.example", "me/tiny", "q4"));
        assert_eq!(place("h.example:5000/me/tiny"), some("https://h.example:5000", "me/tiny", "latest"));
        assert_eq!(place("http://127.0.0.1:5000/me/tiny:x"), some("http://127.0.0.1:5000", "me/tiny", "x"));
        for bad in ["", "a/b/c/d", "../x", "a b", "x:", "x?y"] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_place_for_a_token_is_in_the_challenge() {
        let said = "Bearer realm=\"https://auth.example/token\",service=\"r\",scope=\"repository:library/tiny:pull\"";
        assert_eq!(token_url(said).unwrap(), "https://auth.example/token?service=r&scope=repository%3Alibrary/tiny%3Apull");
        assert_eq!(token_url("Basic realm=\"x\""), None);
    }
}
