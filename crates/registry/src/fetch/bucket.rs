//! What lies in an object store?
//!
//! In: `s3://BUCKET/KEY[#sha256=…]`, `gs://…`, `az://…`. Out: the object, or all objects of a split model. Fails: as the store does.
//! Who may enter which store, and where a store is that is not in the cloud, stands in the config and in the environment.

use std::path::Path;

use blobs::{Bucket, BucketConfig, Digest};
use net::Guard;
use spec::Source;

use super::Fetching;
use super::plan::{Plan, Wanted};
use crate::error::Error;
use crate::parts;

pub(super) async fn plan(fetching: &Fetching, source: &str) -> Result<Plan, Error> {
    let (url, fragment) = source.split_once('#').unwrap_or((source, ""));
    let digest = fragment.strip_prefix("sha256=").map(str::parse::<Digest>).transpose()?;
    let bad = || Error::BadSource { source_text: Source::S3(source.to_owned()).told(), what: "is not s3://BUCKET/KEY" };
    let (root, key) = place(url).ok_or_else(bad)?;
    let name = key.rsplit('/').next().filter(|name| !name.is_empty()).ok_or_else(bad)?;
    let config = BucketConfig { url: root, ..fetching.stores.clone() };
    // Where the store is stands in the operator's config.
    let bucket = Bucket::open(&config, Guard::default())?;
    let names = parts::siblings(Path::new(name)).filter(|_| digest.is_none()).unwrap_or_else(|| vec![name.to_owned()]);
    let folder = key.strip_suffix(name).unwrap_or_default();
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let key = format!("{folder}{name}");
        let seen = bucket.look(&key).await?;
        let object = seen.ok_or_else(|| Error::NotThere { host: bucket.to_string(), what: key.clone(), near: Vec::new() })?;
        let (size, version) = (Some(object.size), object.version);
        let url = format!("{bucket}/{key}");
        files.push(Wanted { name, url, token: None, digest: digest.clone(), size, version, store: Some((bucket.clone(), key)) });
    }
    Ok(Plan { revision: files.first().map(|file| file.version.clone()).unwrap_or_default(), files, card: None, template: None })
}

/// The bucket's URL, and the key in it.
fn place(url: &str) -> Option<(String, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (bucket, key) = rest.split_once('/')?;
    Some((format!("{scheme}://{bucket}"), key))
}
