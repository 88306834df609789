//! What can go wrong at the operators' face, and the status that each gets.
//!
//! In: an error of this room or of one below. Out: its status, its code and a hint. This is the only
//! file of the room that names statuses of errors. Fails: never.

use axum::extract::rejection::{BytesRejection, QueryRejection};
use base::{Fault, Kind, Retry};
use http::StatusCode;
use spec::{Invalid, Name};

use crate::json::{self, Misfit};

/// Why an ask of an operator is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Who asks is unknown, or may not.
    #[error(transparent)]
    Access(#[from] access::Error),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The registry refused or failed.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The model that a deployment names cannot be used.
    #[error("{field}: {source}")]
    Model {
        /// The field that names it.
        field: &'static str,
        /// Why.
        #[source]
        source: registry::Error,
    },
    /// The secrets refused or failed.
    #[error(transparent)]
    Vault(#[from] vault::Error),
    /// Deployments show the secret.
    #[error("secret `{secret}` is used by {}", users.join(", "))]
    SecretInUse {
        /// The secret.
        secret: Name,
        /// The deployments.
        users: Vec<String>,
    },
    /// The fleet refused or failed.
    #[error(transparent)]
    Fleet(#[from] fleet::Error),
    /// The value says something that cannot be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// The body is JSON of another shape.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// There is no body.
    #[error("the body is empty")]
    NoBody,
    /// The body is JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotObject,
    /// The body is not called JSON.
    #[error("the body is `{0}`, not JSON")]
    MediaType(String),
    /// The body is too long.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The most that is read.
        limit: usize,
    },
    /// The body broke off.
    #[error("the body could not be read")]
    Body(#[source] BytesRejection),
    /// The query of the URL is wrong.
    #[error("the query of the URL is wrong: {0}")]
    Query(#[source] QueryRejection),
    /// A header cannot be understood.
    #[error("header `{name}`: `{value}` {what}")]
    Header {
        /// The header.
        name: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with that.
        what: &'static str,
    },
    /// There is no such thing.
    #[error("there is no {noun} `{id}`")]
    NotFound {
        /// What was looked for.
        noun: &'static str,
        /// By this id or name.
        id: String,
    },
    /// Nothing is served at this path.
    #[error("there is nothing at `{0}`")]
    NoRoute(String),
    /// The path is served, but not with this method.
    #[error("{method} is not served at `{path}`")]
    Method {
        /// The method.
        method: http::Method,
        /// The path.
        path: String,
    },
    /// `If-Match` names another generation than the present one.
    #[error("`{name}` is at generation {actual} now")]
    Stale {
        /// What has it.
        name: Name,
        /// Its generation.
        actual: u64,
    },
    /// `If-Match`, and there is none.
    #[error("there is no `{0}` to match")]
    Nothing(Name),
    /// `If-None-Match: *`, and there is one.
    #[error("`{0}` exists already")]
    Exists(Name),
    /// Not the version of tus that is spoken here.
    #[error("uploads speak tus 1.0.0, not {}", said.as_deref().unwrap_or("HTTP alone"))]
    Tus {
        /// What the caller speaks.
        said: Option<String>,
    },
    /// The body of an upload is not called bytes.
    #[error("the body is `{0}`, not bytes of an upload")]
    NotBytes(String),
    /// It keeps changing under this change.
    #[error("`{0}` changes faster than this change can be made")]
    Busy(Name),
    /// The model is named by deployments.
    #[error("model `{model}` is used by {}", users.join(", "))]
    InUse {
        /// The model.
        model: Name,
        /// The deployments.
        users: Vec<String>,
    },
    /// Routes lead to the deployment.
    #[error("deployment `{deployment}` is a target of {}", routes.join(", "))]
    Routed {
        /// The deployment.
        deployment: Name,
        /// The routes.
        routes: Vec<String>,
    },
    /// No revision of this number, or none to go back to.
    #[error("`{name}` has no {}", number.map_or("revision to go back to".to_owned(), |number| format!("revision {number}")))]
    NoRevision {
        /// The deployment.
        name: Name,
        /// The one that was asked for.
        number: Option<u64>,
    },
    /// There is no instance, so there is no log.
    #[error("`{0}` has no instance now, so there is no log")]
    NoInstance(Name),
}

/// What RFC 6749 has for everything that is the asker's fault.
pub(crate) const OAUTH: StatusCode = StatusCode::BAD_REQUEST;

impl Error {
    /// There is no such thing.
    pub(crate) fn not_found(noun: &'static str, id: impl std::fmt::Display) -> Self {
        Self::NotFound { noun, id: id.to_string() }
    }

    fn fault(&self) -> Option<&dyn Fault> {
        match self {
            Self::Access(e) => Some(e),
            Self::Store(e) => Some(e),
            Self::Registry(e) | Self::Model { source: e, .. } => Some(e),
            Self::Vault(e) => Some(e),
            Self::Fleet(e) => Some(e),
            Self::Invalid(e) => Some(e),
            _ => None,
        }
    }

    /// The status; everything that has no status of its own takes that of its kind.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Store(store::Error::Stale { .. } | store::Error::StaleRoute { .. } | store::Error::StaleModel { .. })
            | Self::Stale { .. }
            | Self::Nothing(_)
            | Self::Exists(_)
            | Self::Tus { .. } => StatusCode::PRECONDITION_FAILED,
            Self::Model { field, source } if of_kind(source.kind()).is_client_error() => match *field {
                "model" | "source" | "files" => StatusCode::UNPROCESSABLE_ENTITY,
                _ => StatusCode::BAD_REQUEST, // all that older clients know
            },
            Self::Fleet(fleet::Error::NeverFree { .. }) | Self::Registry(registry::Error::Blobs(registry::BlobError::DiskFull { .. })) => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            Self::Vault(error) if error.is_disk_full() => StatusCode::INSUFFICIENT_STORAGE,
            Self::MediaType(_) | Self::NotBytes(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Registry(registry::Error::Blobs(registry::BlobError::Mismatch { .. })) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge { .. } | Self::Registry(registry::Error::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            other => of_kind(other.kind()),
        }
    }

    /// What a program can tell the errors apart by.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Store(store::Error::Taken(_) | store::Error::RouteTaken(_) | store::Error::NameTaken { .. }) => "name_taken",
            Self::Store(store::Error::Stale { .. } | store::Error::StaleRoute { .. } | store::Error::StaleModel { .. })
            | Self::Stale { .. }
            | Self::Nothing(_) => "stale_generation",
            Self::Exists(_) => "exists",
            Self::Model { .. } => "model_unusable",
            Self::Invalid(_) | Self::Access(access::Error::Invalid(_)) | Self::Registry(registry::Error::Invalid(_)) => "invalid_value",
            Self::NotJson(_) | Self::NoBody | Self::Body(_) => "bad_json",
            Self::Misfit(_) | Self::NotObject => "bad_field",
            Self::MediaType(_) | Self::NotBytes(_) => "wrong_media_type",
            Self::Tus { .. } => "wrong_tus_version",
            Self::Registry(registry::Error::TooLarge { .. }) => "too_large",
            Self::TooLarge { .. } => "body_too_large",
            Self::Query(_) => "bad_query",
            Self::Header { .. } => "bad_header",
            Self::NoRoute(_) => "no_such_path",
            Self::Method { .. } => "method_not_allowed",
            Self::Store(store::Error::Deleting(_)) => "being_deleted",
            Self::Busy(_) => "changing",
            Self::InUse { .. } | Self::SecretInUse { .. } | Self::Routed { .. } | Self::Registry(registry::Error::VersionInUse { .. }) => {
                "in_use"
            }
            Self::NoRevision { .. } => "no_revision",
            Self::NoInstance(_) => "no_instance",
            Self::Store(store::Error::Quota { .. })
            | Self::Registry(registry::Error::Store(store::Error::Quota { .. }))
            | Self::Access(access::Error::Quota { .. }) => "quota_reached",
            Self::Fleet(fleet::Error::NeverFree { .. }) => "does_not_fit",
            Self::Fleet(fleet::Error::NotFree { .. }) => "no_room",
            other => other.kind().as_str(),
        }
    }
}

/// The status of a kind.
fn of_kind(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Limited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::Upstream => StatusCode::BAD_GATEWAY,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        if let Some(fault) = self.fault() {
            return fault.kind();
        }
        match self {
            Self::NotFound { .. } | Self::NoRoute(_) | Self::NoRevision { .. } | Self::NoInstance(_) => Kind::NotFound,
            Self::Busy(_)
            | Self::InUse { .. }
            | Self::SecretInUse { .. }
            | Self::Routed { .. }
            | Self::Stale { .. }
            | Self::Nothing(_)
            | Self::Exists(_) => Kind::Conflict,
            _ => Kind::Invalid,
        }
    }

    fn retry(&self) -> Retry {
        match self.fault() {
            Some(fault) => fault.retry(),
            None => Retry::No,
        }
    }

    fn public(&self) -> String {
        match (self, self.fault()) {
            (Self::Model { field, source }, _) => format!("{field}: {}", source.public()),
            (_, Some(fault)) => fault.public(),
            (_, None) => self.to_string(),
        }
    }

    fn hint(&self) -> Option<String> {
        let own = match self {
            Self::Store(store::Error::Taken(name)) => {
                format!("change it with PATCH or PUT /api/v1/deployments/{}, or choose another name", segment(name.as_str()))
            }
            Self::Store(store::Error::Stale { .. } | store::Error::StaleRoute { .. } | store::Error::StaleModel { .. })
            | Self::Stale { .. } => "read it again, make the change on top of that, and send its ETag as If-Match".to_owned(),
            Self::Nothing(_) => "leave If-Match out to create it".to_owned(),
            Self::Exists(_) => "leave If-None-Match out to replace it".to_owned(),
            Self::NotJson(_) => "send one JSON object; mind quotes and trailing commas".to_owned(),
            Self::Misfit(misfit) => misfit.hint(),
            Self::NoBody | Self::NotObject => "send one JSON object; /docs shows its fields".to_owned(),
            Self::MediaType(_) => "send the header content-type: application/json".to_owned(),
            Self::NotBytes(_) => "send the header content-type: application/offset+octet-stream".to_owned(),
            Self::Tus { .. } => "send the header tus-resumable: 1.0.0; `penstock push PATH NAME` does all of it".to_owned(),
            Self::TooLarge { .. } => "a spec is small; name a file with file:PATH, or send it with `penstock push`".to_owned(),
            Self::Body(_) | Self::Busy(_) => "send it again".to_owned(),
            Self::Query(rejection) => {
                json::suggestion(&rejection.body_text()).unwrap_or_else(|| "/docs shows the parameters of each path".to_owned())
            }
            Self::Header { .. } => "use the ETag of the last answer, quotes and all, or *".to_owned(),
            Self::NotFound { noun: "service", .. } => "GET /api/v1/modserv/list lists what there is".to_owned(),
            Self::NotFound { noun, .. } => format!("GET /api/v1/{noun}s lists what there is"),
            Self::NoRoute(_) => "/docs shows every path; write a slash in a name as %2F".to_owned(),
            Self::Method { .. } => "/docs shows the methods of each path".to_owned(),
            Self::Routed { .. } => "take it out of those routes first, or delete them".to_owned(),
            Self::SecretInUse { .. } => "give those deployments another key first, or delete them".to_owned(),
            Self::InUse { .. } => "delete those deployments first, or give them another model".to_owned(),
            Self::NoRevision { name, .. } => format!("GET /api/v1/deployments/{}/revisions lists what there is", segment(name.as_str())),
            Self::NoInstance(name) => {
                format!("start one with POST /api/v1/deployments/{}/load, or add ?follow=1 to wait for it", segment(name.as_str()))
            }
            _ => return self.fault().and_then(Fault::hint),
        };
        Some(own)
    }
}

/// A name as a segment of a URL.
pub(crate) fn segment(name: &str) -> String {
    name.replace('/', "%2F")
}
