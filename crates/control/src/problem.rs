//! How an error looks to the caller.
//!
//! In: an [`Error`]. Out: a [`Problem`] (RFC 9457) on its way to the door, which knows the request id and
//! whether the caller gets it as it is or in the older envelope.

use axum::response::{IntoResponse, Response};
use base::{Fault as _, Kind, Retry};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Error;

/// An error as the caller reads it (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:penstock:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, the same for each of its occurrences.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// What a program can tell problems apart by.
    pub code: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The same id stands in the log and in the header `x-request-id`.
    pub request_id: String,
    /// Every field that is wrong, when it is the body's fields that are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Finding>,
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// Where, as a path: `replicas.max`.
    pub field: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl From<&spec::Problem> for Finding {
    fn from(problem: &spec::Problem) -> Self {
        Self { field: problem.field.clone(), what: problem.what.clone(), hint: problem.hint.clone() }
    }
}

/// An error on its way to the door, which gives it its request id and its form.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) problem: Problem,
    pub(crate) kind: Kind,
    pub(crate) retry: Retry,
    /// For the log: the error with all of its sources.
    pub(crate) chain: String,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = (self.status(), self.code());
        let problem = Problem {
            kind: format!("urn:penstock:problem:{code}"),
            title: title(code, status),
            status: status.as_u16(),
            detail: self.public(),
            code: code.to_owned(),
            hint: self.hint(),
            request_id: String::new(),
            problems: findings(&self),
        };
        let refusal = Refusal { problem, kind: self.kind(), retry: self.retry(), chain: base::chain(&self) };
        let mut response = status.into_response();
        response.extensions_mut().insert(refusal);
        response
    }
}

/// Every field that is wrong.
fn findings(error: &Error) -> Vec<Finding> {
    match error {
        Error::Invalid(invalid) | Error::Access(access::Error::Invalid(invalid)) => invalid.0.iter().map(Finding::from).collect(),
        Error::Misfit(misfit) => vec![misfit.finding()],
        Error::Model { field, source } => {
            let hint = source.hint().unwrap_or_default();
            vec![Finding { field: (*field).to_owned(), what: source.public(), hint }]
        }
        _ => Vec::new(),
    }
}

/// The code in words, or the status' own words where the code is as general as that.
fn title(code: &str, status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) if code == "internal" => reason.to_owned(),
        _ => code.replace('_', " "),
    }
}
