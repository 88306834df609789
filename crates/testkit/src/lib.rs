//! For tests: fake parts of the world that tell the truth.
//!
//! Life of a fake engine: a room under test orders it through [`FakeRuntime`], which serves its
//! probe on the very socket that the order names; the test then makes it load slowly, crash or
//! vanish, and looks at what the room does about it. What only speaks HTTP is an [`upstream`], whose
//! every byte is in the test's hands; what is only asked for its name and version is a [`script`].
//! Models lie on a [`FileHost`], which can be a hub or a registry, and lose its thread in the middle. Blobs lie in an [`S3Server`], which
//! can be asked as Google's store, or in [`Azurite`].
//! Where the real runtime shall run, an [`engine_fake`] stands in llama-server's place: a program of its own,
//! which takes its memory from a [`device_ledger`] that the test can read.

mod azurite;
pub mod device_ledger;
pub mod engine_fake;

mod file_host;
mod halt;

mod resident;
mod runtime_fake;
mod s3_server;
mod sample_token;
mod script;
mod signature;

pub mod upstream;

pub use azurite::Azurite;
pub use file_host::{Asked, FileHost, HostedFile};
pub use halt::halt;
pub use recipe::{Quant, Shape, Sizes, random as random_model};
pub use resident::resident;
pub use runtime_fake::{FakeRuntime, Script};
pub use s3_server::{Manners, S3Server};
pub use sample_token::{sample_token, token_text};
pub use script::{program, script};
pub use signature::signature;
