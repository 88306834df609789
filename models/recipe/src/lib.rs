//! Life of a small model: it is given a little `world` of facts; `text`, `talk` and `story` make endless chats about it; `bpe`
//! learns a vocabulary from them; `net` is a network of random weights; `train` shows it the chats, `pass`
//! computes how wrong it was, `adam` moves its weights; `model` puts network and vocabulary into a `gguf` file, which any llama.cpp
//! serves. `ask` tries it without an engine; `shape` makes files of any size whose answers do not matter.
//!
//! Everything follows from a seed, to the last bit, on every machine.

pub mod shape;

mod ask;
mod train;

mod model;

mod read;

mod gguf;

mod quant;

mod half;

mod adam;
mod pass;

mod attention;
mod net;

mod gemm;
mod layers;

mod bpe;

mod text;

mod talk;

mod story;
mod world;

mod error;
mod rng;

pub use error::Error;
pub use gguf::{Fill, Gguf, Tensor, Value, write_gguf};
pub use model::{Model, pad};
pub use net::Sizes;
pub use quant::{ALL as QUANTS, NoSuchQuant, Quant};
pub use read::{Entry, Opened, read_gguf};
pub use rng::Rng;
pub use shape::{Shape, random};
pub use train::{Plan, Progress, train};
pub use world::{Fact, facts};
