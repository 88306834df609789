//! Files laid out as others lay them out.
//!
//! From: the API of huggingface.co (`/api/models/…/revision`, `/tree`, `/resolve`, `X-Linked-Etag`), and of Ollama's registry (`/v2/…/manifests`, `/blobs`).

use bytes::Bytes;
use serde_json::{Value, json};

use super::{FileHost, HostedFile};

/// The commit of every repository here.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

impl FileHost {
    /// A repository of a hub: paths with contents; those with a SHA-256 are large files, which the hub keeps elsewhere.
    pub fn add_hub(&self, repo: &str, token: Option<&str>, files: &[(&str, Bytes, Option<&str>)]) {
        let token = token.map(str::to_owned);
        let shown = |body: Value| HostedFile { token: token.clone(), ..HostedFile::of(body.to_string()) };
        let about = json!({ "id": repo, "sha": COMMIT, "cardData": { "license": "apache-2.0" } });
        for revision in ["main", COMMIT] {
            self.put(&format!("/api/models/{repo}/revision/{revision}"), shown(about.clone()));
        }
        let entry = |(path, bytes, sha256): &(&str, Bytes, Option<&str>)| match sha256 {
            Some(sha256) => json!({ "type": "file", "path": path, "size": bytes.len(), "oid": "pointer",
                "lfs": { "oid": sha256, "size": bytes.len(), "pointerSize": 134 } }),
            None => json!({ "type": "file", "path": path, "size": bytes.len(), "oid": format!("{:x}", super::checksum(bytes)) }),
        };
        let mut tree: Vec<Value> = files.iter().map(entry).collect();
        tree.push(json!({ "type": "directory", "path": "some", "size": 0, "oid": "x" }));
        // Two pages, as of a large repository.
        let rest = tree.split_off(tree.len() / 2);
        let first = format!("/api/models/{repo}/tree/{COMMIT}?recursive=true");
        let second = format!("{first}&cursor=2");
        let link = ("link".to_owned(), format!("<{}{second}>; rel=\"next\"", self.url()));
        self.put(&first, HostedFile { headers: vec![link], ..shown(Value::Array(tree)) });
        self.put(&second, shown(Value::Array(rest)));
        for (path, bytes, sha256) in files {
            self.add_resolved(repo, path, bytes, (*sha256, token.as_deref()));
        }
    }

    /// Large files lie elsewhere, and there the hub's token is not wanted.
    fn add_resolved(&self, repo: &str, path: &str, bytes: &Bytes, (sha256, token): (Option<&str>, Option<&str>)) {
        let place = format!("/{repo}/resolve/{COMMIT}/{path}");
        let token = token.map(str::to_owned);
        if let Some(sha256) = sha256 {
            let (elsewhere, tag) = (format!("/cdn/{sha256}"), format!("\"{sha256}\""));
            let headers = vec![
                ("x-linked-etag".to_owned(), tag.clone()),
                ("x-linked-size".to_owned(), bytes.len().to_string()),
                ("x-repo-commit".to_owned(), COMMIT.to_owned()),
            ];
            let redirect = Some(format!("{}{elsewhere}", self.url()));
            self.put(&place, HostedFile { headers, redirect, token, ..HostedFile::default() });
            self.put(&elsewhere, HostedFile { etag: Some(tag), ..HostedFile::of(bytes.clone()) });
        } else {
            let etag = Some(format!("\"{:x}\"", super::checksum(bytes)));
            self.put(&place, HostedFile { etag, token, ..HostedFile::of(bytes.clone()) });
        }
    }

    /// A model of an Ollama-style registry: layers by the last word of their type, each with its digest, `sha256:…`.
    pub fn add_ollama(&self, name: &str, tag: &str, layers: &[(&str, Bytes, &str)]) {
        let layer = |(kind, bytes, digest): &(&str, Bytes, &str)| json!({ "mediaType": format!("application/vnd.ollama.image.{kind}"), "digest": digest, "size": bytes.len() });
        let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "layers": layers.iter().map(layer).collect::<Vec<_>>() });
        self.put(&format!("/v2/{name}/manifests/{tag}"), HostedFile::of(manifest.to_string()));
        for (_, bytes, digest) in layers {
            self.put(&format!("/v2/{name}/blobs/{digest}"), HostedFile::of(bytes.clone()));
        }
    }
}
