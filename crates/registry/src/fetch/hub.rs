//! What lies in a hub's repository?
//!
//! In: `OWNER/REPO[/FILE][@REVISION][:QUANTISATION]`. Out: the files that are served, at one commit, with their digests. Fails: with
//! near names where there is no such file; with how to give a token. From: the API of huggingface.co, which its mirrors speak too;
//! quantisations as llama.cpp's `-hf` picks them.

use ::http::{HeaderMap, Uri, header};
use base::Secret;
use blobs::web::{Reply, Web, bearer};
use serde::Deserialize;
use serde_json::Value;
use spec::Card;

use super::Fetching;
use super::file::refused;
use super::plan::{COMMITTED, Plan, Wanted, encoded};
use crate::error::Error;

mod pick;

/// A page of a long list of files.
const LONGEST_PAGE: usize = 16 << 20;
/// Pages of one list; each has a thousand files.
const MOST_PAGES: usize = 50;
/// Of what the hub says about a licence.
const LONGEST_WORD: usize = 200;

/// A place on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    repo: String,
    file: Option<String>,
    revision: String,
    quant: Option<String>,
}

/// What the list of files says of one.
#[derive(Debug, Clone, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    oid: String,
    lfs: Option<Lfs>,
}

#[derive(Debug, Clone, Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

pub(super) async fn plan(web: &Web, fetching: &Fetching, text: &str) -> Result<Plan, Error> {
    let place = Place::parse(text).ok_or_else(|| Error::BadSource {
        source_text: format!("hf:{text}"),
        what: "is not hf:OWNER/REPO[/FILE][@REVISION][:QUANTISATION]",
    })?;
    let hub = Hub { web, base: fetching.hub.trim_end_matches('/'), token: fetching.hub_token.as_ref() };
    let about = hub.about(&place).await?;
    let commit = about.get("sha").and_then(Value::as_str).unwrap_or(&place.revision).to_owned();
    let entries = hub.files(&place, &commit).await?;
    let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    let mut picked = pick::pick(&place, paths.iter().copied()).map_err(|why| why.at(&place, &entries))?;
    picked.extend(pick::projector(&place, &picked, &paths));
    let names = pick::names(&picked);
    let mut files = Vec::with_capacity(picked.len());
    for (path, name) in picked.iter().zip(names) {
        let Some(entry) = entries.iter().find(|entry| entry.path == *path) else { continue };
        files.push(hub.wanted(&place, &commit, entry, name)?);
    }
    Ok(Plan { files, revision: commit, card: card(&about), template: None })
}

struct Hub<'a> {
    web: &'a Web,
    base: &'a str,
    token: Option<&'a Secret>,
}

impl Hub<'_> {
    /// The commit of a revision, and what the repository says of itself.
    async fn about(&self, place: &Place) -> Result<Value, Error> {
        let url = format!("{}/api/models/{}/revision/{}", self.base, place.repo, encoded(&place.revision).replace('/', "%2F"));
        let mut reply = self.get(&url).await?;
        if !reply.status.is_success() {
            return Err(self.refused(&reply, place));
        }
        self.json(&mut reply).await
    }

    async fn files(&self, place: &Place, commit: &str) -> Result<Vec<Entry>, Error> {
        let mut url = format!("{}/api/models/{}/tree/{commit}?recursive=true", self.base, place.repo);
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut reply = self.get(&url).await?;
            if !reply.status.is_success() {
                return Err(self.refused(&reply, place));
            }
            let next = reply.header("link").and_then(next_page);
            let page: Vec<Entry> = self.json(&mut reply).await?;
            all.extend(page.into_iter().filter(|entry| entry.kind == "file"));
            let Some(next) = next else { return Ok(all) };
            let endless = |what: String| Error::List { host: reply.host(), what };
            url = self.own(&next).ok_or_else(|| endless(format!("goes on at `{next}`, which is no address")))?;
        }
        Err(Error::List { host: self.base.to_owned(), what: format!("has more than {MOST_PAGES} pages") })
    }

    /// An address at this very hub, since the token goes along: a mirror may pass on what another hub says.
    fn own(&self, link: &str) -> Option<String> {
        if link.starts_with(&format!("{}/", self.base)) {
            return Some(link.to_owned());
        }
        Some(format!("{}{}", self.base, link.parse::<Uri>().ok()?.path_and_query()?))
    }

    fn wanted(&self, place: &Place, commit: &str, entry: &Entry, name: String) -> Result<Wanted, Error> {
        let url = format!("{}/{}/resolve/{commit}/{}", self.base, place.repo, encoded(&entry.path));
        let digest = entry.lfs.as_ref().map(|lfs| lfs.oid.parse()).transpose()?;
        let size = entry.lfs.as_ref().map_or(entry.size, |lfs| lfs.size);
        // What is no large file has the digest of git.
        let version = if digest.is_some() { String::new() } else { format!("{COMMITTED}{}", entry.oid) };
        Ok(Wanted { name, url, token: self.token.cloned(), digest, size: Some(size), version, store: None })
    }

    async fn get(&self, url: &str) -> Result<Reply, Error> {
        let auth = self.token.and_then(bearer).map(|value| (header::AUTHORIZATION, value));
        Ok(self.web.get(url, HeaderMap::from_iter(auth)).await?)
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, reply: &mut Reply) -> Result<T, Error> {
        let body = reply.bytes(LONGEST_PAGE).await?;
        serde_json::from_slice(&body).map_err(|source| Error::BadAnswer { host: reply.host(), source })
    }

    /// The hub answers 401 for what does not exist, too, as long as it does not know who asks.
    fn refused(&self, reply: &Reply, place: &Place) -> Error {
        match refused(reply, &format!("{}/{}", self.base, place.repo), self.token) {
            Error::NotThere { host, .. } => {
                let what = match place.revision.as_str() {
                    "main" => format!("repository {}", place.repo),
                    revision => format!("revision {revision} of {}", place.repo),
                };
                Error::NotThere { host, what, near: Vec::new() }
            }
            other => other,
        }
    }
}

impl Place {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (path, quant) = match text.rsplit_once(':') {
            Some((path, quant)) if !quant.contains('/') => (path, Some(quant.to_owned())),
            _ => (text, None),
        };
        let (path, revision) = path.split_once('@').map_or((path, "main"), |(path, revision)| (path, revision));
        let mut pieces = path.splitn(3, '/');
        let (owner, name) = (pieces.next()?, pieces.next()?);
        let file = pieces.next().map(|file| file.trim_end_matches('/')).filter(|file| !file.is_empty()).map(str::to_owned);
        let is_word = |word: &str| {
            !word.is_empty() && !word.starts_with('.') && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        let is_revision = !revision.is_empty() && revision.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b));
        let is_quant = quant.as_ref().is_none_or(|quant| is_word(quant));
        let good = is_word(owner) && is_word(name) && is_revision && !revision.contains("..") && is_quant;
        good.then(|| Self { repo: format!("{owner}/{name}"), file, revision: revision.to_owned(), quant })
    }
}

/// `<URL>; rel="next"`.
fn next_page(link: &str) -> Option<String> {
    let one = link.split(',').find(|one| one.contains("rel=\"next\""))?;
    Some(one.split_once('<')?.1.split_once('>')?.0.to_owned())
}

/// What the repository says of its model.
fn card(about: &Value) -> Option<Card> {
    let data = about.get("cardData")?;
    let word = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default();
    let licence = match word("license") {
        "other" => word("license_name"),
        word => word,
    };
    let licence: String = licence.chars().take(LONGEST_WORD).collect();
    (!licence.is_empty()).then(|| Card { licence, ..Card::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        let place = |text: &str| {
            let place = Place::parse(text)?;
            Some((place.repo, place.file, place.revision, place.quant))
        };
        let some = |repo: &str, file: Option<&str>, revision: &str, quant: Option<&str>| {
            Some((repo.to_owned(), file.map(str::to_owned), revision.to_owned(), quant.map(str::to_owned)))
        };
        assert_eq!(place("o/r"), some("o/r", None, "main", None));
        assert_eq!(place("o/r:Q4_K_M"), some("o/r", None, "main", Some("Q4_K_M")));
        assert_eq!(place("o/r/sub/x.gguf@v1"), some("o/r", Some("sub/x.gguf"), "v1", None));
        assert_eq!(place("o/r@refs/pr/1:q8_0"), some("o/r", None, "refs/pr/1", Some("q8_0")));
        for bad in ["o", "", "o/", "/r", "../r", "o/r@", "o/r@../x", "o/r?x", "o/r:"] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_next_page_is_in_the_link() {
        assert_eq!(next_page("<https://h/x?cursor=1>; rel=\"next\"").as_deref(), Some("https://h/x?cursor=1"));
        assert_eq!(next_page("<https://h/x>; rel=\"prev\""), None);
    }
}
