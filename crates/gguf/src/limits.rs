//! How much of a file is believed before it is called absurd.
//!
//! From: the largest public models (some 2,000 tensors and 100 keys a file, vocabularies of 262,144
//! tokens and 514,906 merges, tokenizers of 30 MB), with room for ten times as much.

/// Keys in the metadata.
pub const KEYS: u64 = 16_384;
/// Tensors in one file.
pub const TENSORS: u64 = 131_072;
/// Bytes in the name of a key or a tensor.
pub const NAME_BYTES: u64 = 512;
/// Bytes in one text value.
pub const TEXT_BYTES: u64 = 64 << 20;
/// Elements in one array.
pub const ARRAY_ITEMS: u64 = 16 << 20;
/// Bytes from the start of the file to the end of the tensor table.
pub const HEADER_BYTES: u64 = 512 << 20;
/// Dimensions of a tensor.
pub const DIMENSIONS: u32 = 4;
/// The largest alignment of tensor data, in bytes.
pub const ALIGNMENT: u64 = 1 << 20;
/// Layers of a model: more than this in `block_count` is not computed with.
pub const LAYERS: u64 = 4_096;

/// Bytes of one text value that are kept in memory; a longer one is known by its length only.
pub const KEPT_TEXT_BYTES: u64 = 1 << 20;
/// Bytes of all text values together that are kept in memory.
pub const KEPT_BYTES: u64 = 16 << 20;
/// Elements of an array that are kept when only the header is wanted: one for each layer, not one
/// for each token.
pub const KEPT_ITEMS: u64 = LAYERS;
