//! Secrets, as far as anybody is shown them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A secret by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// What deployments call it.
    pub name: String,
    /// When it was first stored.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it was last given another value.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// The deployments that use it.
    pub used_by: Vec<String>,
}

/// A secret to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewSecret {
    /// What deployments call it.
    pub name: String,
    /// What it says; it is shown to nobody but their servers.
    #[schema(format = Password, write_only)]
    pub value: String,
}

/// A master key was rotated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rotated {
    /// How many secrets were sealed anew.
    pub secrets: u64,
}
