//! The authorization table: one row for each method of each route.
//!
//! In: nothing. Out: [`ROWS`]. A route that is added to a router is added here, or nobody may ask it.

use spec::Kind::{
    Allocations, Calls, Deployments, Events, Instances, Logs, Models, Nodes, Operations, Projects, Roles, Routes, Secrets, Server, Tokens,
    Usage, Users, Webhooks,
};
use spec::Verb::{Create, Delete, Get, List, Update, Use};

use super::Need::{self, Near, Public, Right, Within};
use super::{Face, Row};

const fn row(face: Face, method: &'static str, path: &'static str, need: Need) -> Row {
    Row { method, path, face, need, quiet: false }
}

const fn quiet(method: &'static str, path: &'static str, need: Need) -> Row {
    Row { quiet: true, ..control(method, path, need) }
}

const fn control(method: &'static str, path: &'static str, need: Need) -> Row {
    row(Face::Control, method, path, need)
}

const fn services(method: &'static str, path: &'static str, need: Need) -> Row {
    row(Face::Services, method, path, need)
}

const fn open_ai(method: &'static str, path: &'static str, need: Need) -> Row {
    row(Face::OpenAi, method, path, need)
}

const fn ollama(method: &'static str, path: &'static str, need: Need) -> Row {
    row(Face::Ollama, method, path, need)
}

const fn open(face: Face, method: &'static str, path: &'static str) -> Row {
    row(face, method, path, Public)
}

/// To call models.
const CALL: Need = Right(Use, Calls);
/// To be known.
const KNOWN: Need = Need::Caller;

/// All routes of all faces.
#[rustfmt::skip]
pub static ROWS: &[Row] = &[
    open_ai("POST", "/v1/chat/completions", CALL),
    open_ai("POST", "/v1/completions", CALL),
    open_ai("POST", "/v1/embeddings", CALL),
    open_ai("GET", "/v1/models", KNOWN),
    open_ai("GET", "/v1/models/{*id}", KNOWN),
    open_ai("POST", "/v1/responses", CALL),
    open_ai("POST", "/v1/responses/input_tokens", CALL),
    open_ai("GET", "/v1/responses/{id}", CALL),
    open_ai("DELETE", "/v1/responses/{id}", CALL),
    open_ai("POST", "/v1/responses/{id}/cancel", CALL),
    open_ai("GET", "/v1/responses/{id}/input_items", CALL),
    row(Face::Anthropic, "POST", "/v1/messages", CALL),
    row(Face::Anthropic, "POST", "/v1/messages/count_tokens", CALL),
    ollama("POST", "/api/chat", CALL),
    ollama("POST", "/api/generate", CALL),
    ollama("POST", "/api/embed", CALL),
    ollama("POST", "/api/embeddings", CALL),
    ollama("GET", "/api/tags", KNOWN),
    ollama("GET", "/api/ps", KNOWN),
    ollama("POST", "/api/show", KNOWN),
    ollama("GET", "/api/version", Public),
    ollama("*", "/api/pull", Public),
    ollama("*", "/api/push", Public),
    ollama("*", "/api/create", Public),
    ollama("*", "/api/copy", Public),
    ollama("*", "/api/delete", Public),
    ollama("*", "/api/blobs/{*digest}", Public),
    row(Face::Lines, "POST", "/infer", CALL),
    row(Face::Lines, "GET", "/models", KNOWN),
    row(Face::Lines, "GET", "/status", KNOWN),
    open(Face::Health, "GET", "/healthz"),
    open(Face::Health, "GET", "/readyz"),
    row(Face::Health, "GET", "/metrics", Near(Get, Server)),

    control("GET", "/api/v1/deployments", Within(List, Deployments)),
    control("POST", "/api/v1/deployments", Within(Create, Deployments)),
    control("GET", "/api/v1/deployments/{name}", Within(Get, Deployments)),
    control("PUT", "/api/v1/deployments/{name}", Within(Update, Deployments)),
    control("PATCH", "/api/v1/deployments/{name}", Within(Update, Deployments)),
    control("DELETE", "/api/v1/deployments/{name}", Within(Delete, Deployments)),
    control("GET", "/api/v1/deployments/{name}/explain", Within(Get, Deployments)),
    control("GET", "/api/v1/deployments/{name}/logs", Within(Get, Logs)),
    control("GET", "/api/v1/deployments/{name}/revisions", Within(Get, Deployments)),
    control("GET", "/api/v1/deployments/{name}/rollout", Within(Get, Deployments)),
    control("POST", "/api/v1/deployments/{name}/rollout/pause", Within(Update, Deployments)),
    control("POST", "/api/v1/deployments/{name}/rollout/promote", Within(Update, Deployments)),
    control("POST", "/api/v1/deployments/{name}/rollout/resume", Within(Update, Deployments)),
    control("POST", "/api/v1/deployments/{name}/rollout/undo", Within(Update, Deployments)),
    control("POST", "/api/v1/deployments/{name}/load", Within(Update, Deployments)),
    control("POST", "/api/v1/deployments/{name}/unload", Within(Update, Deployments)),
    control("POST", "/api/v1/deployments/{name}/pin", Within(Update, Deployments)),
    control("POST", "/api/v1/deployments/{name}/unpin", Within(Update, Deployments)),
    control("POST", "/api/v1/fit", Right(Get, Deployments)),
    control("GET", "/api/v1/routes", Right(List, Routes)),
    control("POST", "/api/v1/routes", Right(Create, Routes)),
    control("GET", "/api/v1/routes/{name}", Right(Get, Routes)),
    control("PUT", "/api/v1/routes/{name}", Right(Update, Routes)),
    control("DELETE", "/api/v1/routes/{name}", Right(Delete, Routes)),
    control("GET", "/api/v1/models", Within(List, Models)),
    control("POST", "/api/v1/models", Within(Create, Models)),
    control("GET", "/api/v1/models/{name}", Within(Get, Models)),
    control("PATCH", "/api/v1/models/{name}", Within(Update, Models)),
    control("DELETE", "/api/v1/models/{name}", Within(Delete, Models)),
    control("GET", "/api/v1/models/{name}/history", Within(Get, Models)),
    control("PUT", "/api/v1/models/{name}/tags/{tag}", Within(Update, Models)),
    control("DELETE", "/api/v1/models/{name}/tags/{tag}", Within(Update, Models)),
    control("POST", "/api/v1/models/{name}/versions", Within(Update, Models)),
    control("PATCH", "/api/v1/models/{name}/versions/{digest}", Within(Update, Models)),
    control("DELETE", "/api/v1/models/{name}/versions/{digest}", Within(Update, Models)),
    control("OPTIONS", "/api/v1/models/{name}/versions/upload", Within(Create, Models)),
    control("POST", "/api/v1/models/{name}/versions/upload", Within(Create, Models)),
    control("HEAD", "/api/v1/models/{name}/versions/upload/{digest}", Within(Create, Models)),
    quiet("PATCH", "/api/v1/models/{name}/versions/upload/{digest}", Within(Create, Models)),
    control("DELETE", "/api/v1/models/{name}/versions/upload/{digest}", Within(Create, Models)),
    control("GET", "/api/v1/instances", Right(List, Instances)),
    control("GET", "/api/v1/instances/{id}", Right(Get, Instances)),
    control("GET", "/api/v1/instances/{id}/logs", Right(Get, Logs)),
    control("GET", "/api/v1/nodes", Right(List, Nodes)),
    control("GET", "/api/v1/nodes/{name}", Right(Get, Nodes)),
    control("GET", "/api/v1/nodes/{name}/allocations", Right(List, Allocations)),
    control("POST", "/api/v1/nodes/{name}/allocations", Right(Create, Allocations)),
    control("DELETE", "/api/v1/nodes/{name}/allocations/{id}", Right(Delete, Allocations)),
    control("GET", "/api/v1/blobs", Right(List, Models)),
    control("POST", "/api/v1/blobs/prune", Right(Delete, Models)),
    control("GET", "/api/v1/operations", Within(List, Operations)),
    control("GET", "/api/v1/operations/{id}", Within(Get, Operations)),
    control("DELETE", "/api/v1/operations/{id}", Within(Create, Models)),
    control("GET", "/api/v1/events", Right(List, Events)),
    control("GET", "/api/v1/webhooks", Right(List, Webhooks)),
    control("POST", "/api/v1/webhooks/{name}/resume", Right(Update, Webhooks)),
    control("GET", "/api/v1/projects", Within(List, Projects)),
    control("POST", "/api/v1/projects", Right(Create, Projects)),
    control("GET", "/api/v1/projects/{name}", Within(Get, Projects)),
    control("PUT", "/api/v1/projects/{name}", Right(Update, Projects)),
    control("PATCH", "/api/v1/projects/{name}", Right(Update, Projects)),
    control("DELETE", "/api/v1/projects/{name}", Right(Delete, Projects)),
    control("GET", "/api/v1/tokens", Within(List, Tokens)),
    control("POST", "/api/v1/tokens", Within(Create, Tokens)),
    control("GET", "/api/v1/tokens/{id}", Within(Get, Tokens)),
    control("PATCH", "/api/v1/tokens/{id}", Within(Update, Tokens)),
    control("DELETE", "/api/v1/tokens/{id}", Within(Delete, Tokens)),
    control("GET", "/api/v1/users", Right(List, Users)),
    control("POST", "/api/v1/users", Right(Create, Users)),
    control("GET", "/api/v1/users/{id}", Right(Get, Users)),
    control("PATCH", "/api/v1/users/{id}", Right(Update, Users)),
    control("DELETE", "/api/v1/users/{id}", Right(Delete, Users)),
    control("GET", "/api/v1/roles", Right(List, Roles)),
    control("POST", "/api/v1/roles", Right(Create, Roles)),
    control("GET", "/api/v1/roles/{name}", Right(Get, Roles)),
    control("PATCH", "/api/v1/roles/{name}", Right(Update, Roles)),
    control("DELETE", "/api/v1/roles/{name}", Right(Delete, Roles)),
    control("GET", "/api/v1/whoami", KNOWN),
    control("GET", "/api/v1/secrets", Right(List, Secrets)),
    control("POST", "/api/v1/secrets", Right(Create, Secrets)),
    control("DELETE", "/api/v1/secrets/{name}", Right(Delete, Secrets)),
    control("POST", "/api/v1/master-key/rotate", Right(Update, Secrets)),
    control("GET", "/api/v1/status", Right(Get, Server)),
    control("GET", "/api/v1/usage", Within(List, Usage)),
    control("GET", "/api/v1/usage/calls", Within(List, Usage)),
    control("*", "/api/v1/{*path}", KNOWN),

    services("GET", "/api/v1/modserv/list", Right(List, Deployments)),
    services("GET", "/api/v1/modserv/metrics", Right(Get, Deployments)),
    services("POST", "/api/v1/modserv/deploy", Right(Create, Deployments)),
    services("GET", "/api/v1/modserv/{id}", Right(Get, Deployments)),
    services("PUT", "/api/v1/modserv/{id}", Right(Update, Deployments)),
    services("DELETE", "/api/v1/modserv/{id}", Right(Delete, Deployments)),
    services("GET", "/api/v1/modserv/{id}/pipeline", Right(Get, Deployments)),

    open(Face::Pages, "GET", "/api/v1/openapi.json"),
    open(Face::Pages, "GET", "/docs"),
    open(Face::Pages, "GET", "/docs/"),
    open(Face::Pages, "GET", "/docs/{*path}"),
    open(Face::Pages, "GET", "/"),
    open(Face::Pages, "GET", "/console"),
    open(Face::Pages, "GET", "/console/"),
    open(Face::Pages, "GET", "/console/{*path}"),
    open(Face::Pages, "GET", "/auth/login"),
    open(Face::Pages, "GET", "/auth/callback"),
    open(Face::Pages, "GET", "/auth/session"),
    open(Face::Pages, "POST", "/auth/enter"),
    open(Face::Pages, "POST", "/auth/logout"),
    open(Face::Pages, "POST", "/auth/device"),
    open(Face::Pages, "POST", "/auth/token"),
];
