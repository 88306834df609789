//! Files that Penstock keeps, as the document shows them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The files that are kept on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobSummary {
    /// How many.
    pub count: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Files that are being sent or fetched, or were left unfinished.
    pub unfinished: Vec<Unfinished>,
}

/// A file that is not whole yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unfinished {
    /// Its id.
    pub id: String,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes in all, if that is known.
    pub total: Option<u64>,
    /// When it last grew.
    #[schema(format = DateTime)]
    pub touched_at: String,
}

/// How to prune.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Prune {
    /// Only tell what would go.
    pub dry_run: bool,
    /// What was used within this time stays; `blobs.grace` when not given. A shorter one takes the right `update server`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<String>,
    /// Also in the object store; this takes the right `update server`.
    pub store: bool,
}

/// What went, or would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pruned {
    /// Nothing was taken away.
    pub dry_run: bool,
    /// Bytes in all, on this machine.
    pub freed: u64,
    /// Files that stay.
    pub kept: u64,
    /// Files that went.
    pub blobs: Vec<PrunedBlob>,
    /// Unfinished files that went.
    pub parts: Vec<PrunedPart>,
    /// Files that went from the object store.
    pub stored: Vec<PrunedBlob>,
}

/// A file that went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrunedBlob {
    /// Its content.
    pub digest: String,
    /// Its length.
    pub bytes: u64,
}

/// An unfinished file that went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrunedPart {
    /// Its id.
    pub id: String,
    /// Its length.
    pub bytes: u64,
}
