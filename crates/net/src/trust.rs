//! Whose certificates does a call to another machine believe?
//!
//! Those of the system's authorities. In: nothing. Out: with what TLS is spoken. Fails: when the system has no authorities, or they cannot be
//! read; whoever asks next tries again. Holds: what was read, once for the whole process. It is read when first somebody asks: that takes longer
//! than most of a start, and a machine without authorities serves its own models all the same.

use std::io;
use std::sync::OnceLock;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::ClientConfig;
use rustls::crypto::ring;

/// TLS with whom the system trusts; cheap once it was asked for.
pub fn trust() -> io::Result<ClientConfig> {
    static READ: OnceLock<ClientConfig> = OnceLock::new();
    if let Some(read) = READ.get() {
        return Ok(read.clone());
    }
    let builder = ClientConfig::builder_with_provider(ring::default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let config = builder.with_native_roots()?.with_no_client_auth();
    Ok(READ.get_or_init(|| config).clone())
}
