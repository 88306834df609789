//! What keeps strangers out and secrets in: TLS, proxies, headers, limits, secrets at rest, calls that lead inside.

mod headers;
mod limits;
mod names;
mod outbound;
mod pages;
mod proxies;
mod secrets;
mod teams;
pub(crate) mod tls;

/// A deployment that answers with what it is asked.
const ECHO: &str = "deployments:\n  - name: echo\n    engine: echo\n";
