//! Files of a version on their way here, in pieces, by the tus protocol, version 1.0.0 (tus.io/protocols/resumable-upload).
//!
//! In: the length and the SHA-256 of a file (`Repr-Digest`, or `sha256` in `Upload-Metadata`), then its bytes. Out: how far it is.
//! Fails: with what tus has for it: 409 for another offset, 412 for another version of tus, 413 for a file that is too large; 422 for
//! content that is not what was promised. The upload of a file is known by its digest and by who began it: they go on with it, from whatever
//! machine, and nobody else does. Extensions: creation, creation-with-upload, termination.

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::StreamExt as _;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use registry::{Digest, Receiving, Sender, Upload};
use serde_json::{Value, json};
use spec::Invalid;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::sent;
use crate::House;
use crate::door::Admin;
use crate::error::{Error, segment};
use crate::query::{Named, NamedPart};

const VERSION: &str = "1.0.0";
const EXTENSIONS: &str = "creation,creation-with-upload,termination";
const BYTES: &str = "application/offset+octet-stream";

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

pub(super) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(offer, begin)).routes(routes!(look, append, abort))
}

/// Proof that the caller speaks our tus.
struct Tus;

impl<S: Send + Sync> FromRequestParts<S> for Tus {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let said = parts.headers.get(TUS_RESUMABLE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        if said.as_deref() == Some(VERSION) { Ok(Self) } else { Err(Error::Tus { said }) }
    }
}

/// Say how files can be sent
#[utoipa::path(options, path = "/api/v1/models/{name}/versions/upload", operation_id = "describe_uploads", tag = "models",
    params(("name" = String, Path, description = "The model's name; a slash is written `%2F`")),
    responses((status = 204, description = "The version of tus and its extensions", headers(
        ("Tus-Version" = String, description = "`1.0.0`"), ("Tus-Extension" = String, description = "What is understood beside its core"),
        ("Tus-Max-Size" = String, description = "The largest file that is taken; absent for no limit")))))]
async fn offer(State(house): State<House>, Named(_): Named) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(TUS_VERSION, HeaderValue::from_static(VERSION));
    headers.insert(TUS_EXTENSION, HeaderValue::from_static(EXTENSIONS));
    if let Some(most) = house.registry.max_size() {
        headers.insert(TUS_MAX_SIZE, HeaderValue::from(most.0));
    }
    response
}

/// Begin to send a file
///
/// tus 1.0.0. The model needs not be there yet. An upload is gone on with and ended by who began it. A file of which they have sent a part, or
/// that is here and theirs to have, is answered with its `Upload-Offset`: send the rest, or nothing. When all files are here, make a version of them.
#[utoipa::path(post, path = "/api/v1/models/{name}/versions/upload", operation_id = "begin_upload", tag = "models",
    params(("name" = String, Path, description = "The model's name; a slash is written `%2F`"),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
        ("Upload-Length" = u64, Header, description = "Bytes of the file"),
        ("Repr-Digest" = Option<String>, Header, description = "Its SHA-256 (RFC 9530): `sha-256=:BASE64:`"),
        ("Upload-Metadata" = Option<String>, Header, description = "Instead of that: `sha256` and its hexadecimal digits in Base64")),
    responses((status = 201, description = "Begun", headers(("Location" = String, description = "Where to send the bytes"),
        ("Upload-Offset" = u64, description = "So many bytes are here")))))]
async fn begin(State(house): State<House>, admin: Admin, _tus: Tus, Named(name): Named, request: Request) -> Result<Response, Error> {
    let headers = request.headers();
    let length = number(headers, &UPLOAD_LENGTH)?;
    let digest = promised(headers)?;
    let sender = sent::sender(&house, &admin, &digest).await?;
    let mut upload = house.registry.begin_upload(&sender, &digest, length).await?;
    if headers.get(CONTENT_TYPE).is_some_and(|kind| kind == BYTES) && upload.offset == 0 {
        let receiving = house.registry.receive(&sender, &digest, 0).await?;
        upload = take((&house, &admin), receiving, request.into_body()).await?;
    }
    keep((&house, &admin), &sender, &upload).await?;
    admin.after(&told(&upload));
    let mut response = at(StatusCode::CREATED, &upload);
    let place = format!("/api/v1/models/{}/versions/upload/{}", segment(name.as_str()), digest.hex());
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// Say how much of a file is here
#[utoipa::path(head, path = "/api/v1/models/{name}/versions/upload/{digest}", operation_id = "look_at_upload", tag = "models",
    params(("name" = String, Path, description = "The model's name; a slash is written `%2F`"),
        ("digest" = String, Path, description = "The SHA-256 of the file, in hexadecimal"), ("Tus-Resumable" = String, Header, description = "`1.0.0`")),
    responses((status = 200, description = "So far it is", headers(("Upload-Offset" = u64, description = "So many bytes are here"),
        ("Upload-Length" = u64, description = "So many there are")))))]
async fn look(State(house): State<House>, admin: Admin, _tus: Tus, NamedPart(_, digest): NamedPart) -> Result<Response, Error> {
    let digest = parsed(&digest)?;
    let sender = sent::sender(&house, &admin, &digest).await?;
    let upload = house.registry.upload(&sender, &digest).await?;
    keep((&house, &admin), &sender, &upload).await?;
    let mut response = at(StatusCode::OK, &upload);
    response.headers_mut().insert(UPLOAD_LENGTH, HeaderValue::from(upload.length));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Send bytes of a file
///
/// From the offset that it has. What has come when the connection breaks is kept; the last byte makes the file whole, and it is held
/// against the digest that was promised.
#[utoipa::path(patch, path = "/api/v1/models/{name}/versions/upload/{digest}", operation_id = "send_upload", tag = "models",
    params(("name" = String, Path, description = "The model's name; a slash is written `%2F`"),
        ("digest" = String, Path, description = "The SHA-256 of the file, in hexadecimal"), ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
        ("Upload-Offset" = u64, Header, description = "The number of the first byte that is sent")),
    request_body(content = String, content_type = "application/offset+octet-stream"),
    responses((status = 204, description = "Taken", headers(("Upload-Offset" = u64, description = "So many bytes are here")))))]
async fn append(
    State(house): State<House>,
    admin: Admin,
    _tus: Tus,
    NamedPart(_, digest): NamedPart,
    request: Request,
) -> Result<Response, Error> {
    let headers = request.headers();
    let kind = headers.get(CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap_or_default());
    if kind != BYTES {
        return Err(Error::NotBytes(kind.to_owned()));
    }
    let (digest, from) = (parsed(&digest)?, number(headers, &UPLOAD_OFFSET)?);
    let receiving = house.registry.receive(&sent::sender(&house, &admin, &digest).await?, &digest, from).await?;
    let upload = take((&house, &admin), receiving, request.into_body()).await?;
    // One change of many pieces: it is told when the last of them is here.
    if upload.offset == upload.length {
        admin.after(&told(&upload));
    }
    Ok(at(StatusCode::NO_CONTENT, &upload))
}

/// Give up sending a file
#[utoipa::path(delete, path = "/api/v1/models/{name}/versions/upload/{digest}", operation_id = "abort_upload", tag = "models",
    params(("name" = String, Path, description = "The model's name; a slash is written `%2F`"),
        ("digest" = String, Path, description = "The SHA-256 of the file, in hexadecimal"), ("Tus-Resumable" = String, Header, description = "`1.0.0`")),
    responses((status = 204, description = "Given up")))]
async fn abort(State(house): State<House>, admin: Admin, _tus: Tus, NamedPart(_, digest): NamedPart) -> Result<Response, Error> {
    let digest = parsed(&digest)?;
    let sender = sent::sender(&house, &admin, &digest).await?;
    let before = house.registry.upload(&sender, &digest).await?;
    house.registry.abort_upload(&sender, &digest).await?;
    admin.before(&told(&before));
    Ok(empty(StatusCode::NO_CONTENT))
}

/// What who audits it sees of a file.
fn told(upload: &Upload) -> Value {
    json!({ "digest": upload.digest, "offset": upload.offset, "length": upload.length })
}

/// Takes what comes until there is no more, the sender is gone, or one piece is refused; what has come before stays, and is told from then on.
async fn take((house, admin): (&House, &Admin), mut receiving: Receiving, body: Body) -> Result<Upload, Error> {
    let mut bytes = body.into_data_stream();
    let mut taken = Ok(());
    while taken.is_ok()
        && let Some(Ok(next)) = bytes.next().await
    {
        taken = receiving.append(next).await;
    }
    let ended = receiving.end().await;
    if let Ok(upload) = &ended
        && upload.offset == upload.length
    {
        sent::note(house, admin, &upload.digest).await?; // it is theirs from now on
    }
    taken?;
    Ok(ended?)
}

/// What was cut off between its last byte and its end is theirs as well, once it is whole.
async fn keep((house, admin): (&House, &Admin), sender: &Sender, upload: &Upload) -> Result<(), Error> {
    if upload.offset == upload.length && !sender.may_have { sent::note(house, admin, &upload.digest).await } else { Ok(()) }
}

fn empty(status: StatusCode) -> Response {
    (status, [(TUS_RESUMABLE, HeaderValue::from_static(VERSION))]).into_response()
}

fn at(status: StatusCode, upload: &Upload) -> Response {
    let mut response = empty(status);
    response.headers_mut().insert(UPLOAD_OFFSET, HeaderValue::from(upload.offset));
    response
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Error> {
    let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let what = || if text.is_empty() { "it is missing".to_owned() } else { format!("`{text}` is not a number") };
    text.parse().ok().ok_or_else(|| Invalid::one(name.as_str(), what(), "send a number of bytes").into())
}

fn parsed(digest: &str) -> Result<Digest, Error> {
    Ok(digest.parse().map_err(registry::Error::Digest)?)
}

/// The digest that the sender promises.
fn promised(headers: &HeaderMap) -> Result<Digest, Error> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // RFC 9530: a dictionary of byte sequences.
    let of_repr = text(&REPR_DIGEST).split(',').find_map(|member| {
        let base64 = member.trim().strip_prefix("sha-256=:")?.strip_suffix(':')?;
        let bytes = BASE64_STANDARD.decode(base64).ok()?;
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| char::from_digit(u32::from(digit), 16)).collect::<Option<String>>()
    });
    let of_metadata = || {
        text(&UPLOAD_METADATA).split(',').find_map(|pair| {
            let base64 = pair.trim().strip_prefix("sha256 ")?;
            String::from_utf8(BASE64_STANDARD.decode(base64).ok()?).ok()
        })
    };
    let hint = "send the file's SHA-256 as Repr-Digest: sha-256=:BASE64:, or as sha256 in Upload-Metadata";
    let missing = || Invalid::one("repr-digest", "the file's digest is missing", hint);
    parsed(&of_repr.or_else(of_metadata).ok_or_else(missing)?)
}
