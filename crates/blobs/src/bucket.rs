//! An object store by its URL.
//!
//! In: `s3://BUCKET/PREFIX`, `gs://…`, `az://CONTAINER/…`, or `file:PATH`, with options as its kind knows them; what is not said comes from the
//! environment, as their own tools read it. Out: a [`Bucket`]. Fails: on a URL or an option that its kind does not know, with the name.
//! Every connection goes through [`Web`].

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::Secret;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http_body_util::{BodyExt as _, StreamBody};
use net::Guard;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Attribute, ClientOptions, GetOptions, GetRange, ObjectStore, RetryConfig};

use crate::error::Error;
use crate::web::{Patience, Web};

/// A part of a large file goes up within this time, also on a slow line.
const ANSWER: Duration = Duration::from_mins(5);
const STALL: Duration = Duration::from_secs(30);

/// Where an object store is, and how it is entered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketConfig {
    /// `s3://BUCKET/PREFIX` and the like.
    pub url: String,
    /// What its kind knows, such as `endpoint` and `region`.
    pub options: BTreeMap<String, String>,
    /// The same, of what nobody may see.
    pub secrets: BTreeMap<String, Secret>,
}

/// An object store, or a folder of one; cheap to clone.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) prefix: Path,
    url: String,
}

/// One object as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its length.
    pub size: u64,
    /// What the store calls this state of it.
    pub version: String,
    /// The SHA-256 of its content in hexadecimal, as it was said when it was written.
    pub sha256: Option<String>,
}

/// The metadata that says it.
pub(crate) const SHA256: &str = "sha256";

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl Bucket {
    /// Opens it; nothing is asked yet.
    pub fn open(config: &BucketConfig, guard: Guard) -> Result<Self, Error> {
        let url = config.url.as_str();
        let (scheme, rest) = url.split_once(':').ok_or_else(|| Error::BadUrl(url.to_owned()))?;
        let connector = Line(Web::new(guard, Patience { answer: ANSWER, stall: STALL }));
        let store: Arc<dyn ObjectStore> = match scheme {
            "s3" | "s3a" => Arc::new(s3(config, connector)?),
            "gs" => Arc::new(gcs(config, connector)?),
            "az" | "azure" | "abfs" | "abfss" => Arc::new(azure(config, connector)?),
            "file" => return Self::folder(rest.strip_prefix("//").unwrap_or(rest), url),
            _ => return Err(Error::BadUrl(url.to_owned())),
        };
        let path = rest.trim_start_matches('/').split_once('/').map_or("", |(_, path)| path);
        Ok(Self {
            store,
            prefix: Path::parse(path).map_err(|_bad| Error::BadUrl(url.to_owned()))?,
            url: url.trim_end_matches('/').to_owned(),
        })
    }

    fn folder(path: &str, url: &str) -> Result<Self, Error> {
        std::fs::create_dir_all(path).map_err(Error::io(path))?;
        let store = LocalFileSystem::new_with_prefix(path).map_err(Error::store(url))?.with_fsync(true);
        Ok(Self { store: Arc::new(store), prefix: Path::default(), url: url.to_owned() })
    }

    /// What an object is now; none if there is none.
    pub async fn look(&self, name: &str) -> Result<Option<Object>, Error> {
        match self.store.get_opts(&self.path(name), GetOptions::new().with_head(true)).await {
            Ok(seen) => {
                let sha256 = seen.attributes.get(&Attribute::Metadata(SHA256.into())).map(|said| str::to_owned(said));
                let version = seen.meta.e_tag.unwrap_or_else(|| seen.meta.last_modified.to_string());
                Ok(Some(Object { size: seen.meta.size, version, sha256 }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Error::store(&self.url)(error)),
        }
    }

    /// Its bytes from here on, if it still is in this state; a store that does not look at the condition is looked at itself.
    pub async fn read(&self, name: &str, from: u64, state: Option<&str>) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let range = (from > 0).then_some(GetRange::Offset(from));
        let if_match = state.filter(|state| state.starts_with('"')).map(str::to_owned);
        let wanted = if_match.clone();
        let got = self.store.get_opts(&self.path(name), GetOptions { range, if_match, ..GetOptions::default() }).await;
        let other = || Error::OtherState { url: format!("{self}/{name}") };
        let got = match got {
            Ok(got) if got.meta.e_tag.is_some() && wanted.is_some() && got.meta.e_tag != wanted => return Err(other()),
            Err(object_store::Error::Precondition { .. }) => return Err(other()),
            got => got.map_err(Error::store(&self.url))?,
        };
        let url = self.url.clone();
        Ok(got.into_stream().map(move |bytes| bytes.map_err(Error::store(&url))).boxed())
    }

    /// Where an object of this name lies.
    pub(crate) fn path(&self, name: &str) -> Path {
        name.split('/').filter(|piece| !piece.is_empty()).fold(self.prefix.clone(), Path::join)
    }
}

/// One option after the other, each by the name that its kind knows.
fn each<B, K: FromStr>(config: &BucketConfig, builder: B, set: impl Fn(B, K, &str) -> B) -> Result<B, Error> {
    let secrets = config.secrets.iter().map(|(key, secret)| (key, secret.expose()));
    let plain = config.options.iter().map(|(key, value)| (key, value.as_str()));
    plain.chain(secrets).try_fold(builder, |builder, (key, value)| match key.to_ascii_lowercase().parse::<K>() {
        Ok(known) => Ok(set(builder, known, value)),
        Err(_) => Err(Error::BadOption { url: config.url.clone(), option: key.clone() }),
    })
}

fn s3(config: &BucketConfig, connector: Line) -> Result<impl ObjectStore, Error> {
    let builder = AmazonS3Builder::from_env().with_url(bucket_url(config)).with_http_connector(connector).with_retry(retries());
    let builder = each(config, builder, |builder, key: AmazonS3ConfigKey, value| builder.with_config(key, value))?;
    builder.build().map_err(Error::store(&config.url))
}

fn gcs(config: &BucketConfig, connector: Line) -> Result<impl ObjectStore, Error> {
    let builder = GoogleCloudStorageBuilder::from_env().with_url(bucket_url(config)).with_http_connector(connector).with_retry(retries());
    let builder = each(config, builder, |builder, key: GoogleConfigKey, value| builder.with_config(key, value))?;
    builder.build().map_err(Error::store(&config.url))
}

fn azure(config: &BucketConfig, connector: Line) -> Result<impl ObjectStore, Error> {
    let builder = MicrosoftAzureBuilder::from_env().with_url(bucket_url(config)).with_http_connector(connector).with_retry(retries());
    let builder = each(config, builder, |builder, key: AzureConfigKey, value| builder.with_config(key, value))?;
    builder.build().map_err(Error::store(&config.url))
}

/// What fails for longer is told, and tried again by who asked.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 5, retry_timeout: ANSWER / 2, ..RetryConfig::default() }
}

/// Without the prefix, which is ours to add.
fn bucket_url(config: &BucketConfig) -> String {
    let mut pieces = config.url.splitn(4, '/');
    [pieces.next(), pieces.next(), pieces.next()].into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// Our client as the library wants it.
#[derive(Debug, Clone)]
struct Line(Web);

impl HttpConnector for Line {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Line {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.0.call(request).await.map_err(|error| HttpError::new(kind(&error), error))?;
        let (parts, body) = answer.into_parts();
        let stall = self.0.patience().stall;
        let frames = stream::unfold(body, move |mut body| async move {
            let frame = match tokio::time::timeout(stall, body.frame()).await {
                Ok(frame) => frame?.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error)),
                Err(late) => Err(HttpError::new(HttpErrorKind::Timeout, late)),
            };
            Some((frame, body))
        });
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(StreamBody::new(frames.fuse()))))
    }
}

fn kind(error: &Error) -> HttpErrorKind {
    match error {
        Error::Slow { .. } => HttpErrorKind::Timeout,
        Error::Line { .. } => HttpErrorKind::Request,
        _ => HttpErrorKind::Unknown,
    }
}
