//! How does a model become a file? A writer for GGUF.
//!
//! In: metadata and tensors, each with its bytes, or random, or a hole. Out: a file. Fails: when the disk does, or when a tensor's
//! bytes do not fit its shape. Holds: the header in memory; random data goes out in small pieces. From: the GGUF
//! specification of ggml, version 3.

use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::error::Error;
use crate::quant::Quant;
use crate::rng::Rng;

/// The first four bytes of every file.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";
const VERSION: u32 = 3;
/// Where tensors start, unless the file says otherwise: at multiples of this.
pub(crate) const ALIGNMENT: u32 = 32;
/// Random bytes that are made at once: a whole number of blocks of every type.
const PIECE: u64 = 1 << 16;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// 8 bits.
    U8(u8),
    /// 8 bits, signed.
    I8(i8),
    /// 16 bits.
    U16(u16),
    /// 16 bits, signed.
    I16(i16),
    /// 32 bits.
    U32(u32),
    /// 32 bits, signed.
    I32(i32),
    /// 32 bits, floating.
    F32(f32),
    /// Yes or no.
    Bool(bool),
    /// Text.
    Text(String),
    /// Several values of one type; an empty list counts as one of texts.
    List(Vec<Value>),
    /// 64 bits.
    U64(u64),
    /// 64 bits, signed.
    I64(i64),
    /// 64 bits, floating.
    F64(f64),
}

/// What a tensor holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fill {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Random weights from this seed.
    Random(u64),
    /// Zeros that cost no disk where the file system knows holes.
    Hole,
}

/// A tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its sizes, the row's length first.
    pub shape: Vec<u64>,
    /// Its type.
    pub quant: Quant,
    /// What it holds.
    pub fill: Fill,
}

impl Tensor {
    /// How many bytes its shape asks for.
    pub fn bytes(&self) -> u64 {
        self.quant.bytes(self.shape.iter().product())
    }
}

/// A file that is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Gguf {
    /// The version in the header; engines want 3.
    pub version: u32,
    /// Where tensors start: at multiples of this, a power of two.
    pub alignment: u32,
    /// Keys and values, in order.
    pub metadata: Vec<(String, Value)>,
    /// Tensors, in order.
    pub tensors: Vec<Tensor>,
}

impl Gguf {
    /// An empty file for this architecture.
    pub fn new(architecture: &str) -> Self {
        let metadata = vec![("general.architecture".to_owned(), Value::from(architecture))];
        Self { version: VERSION, alignment: ALIGNMENT, metadata, tensors: Vec::new() }
    }
    /// Sets a key, in its old place if it was there.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        match self.metadata.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((key.to_owned(), value)),
        }
        self
    }
    /// Adds a tensor.
    pub fn tensor(&mut self, name: &str, shape: &[u64], quant: Quant, fill: Fill) -> &mut Self {
        self.tensors.push(Tensor { name: name.to_owned(), shape: shape.to_vec(), quant, fill });
        self
    }
    /// All bytes before the first tensor.
    pub fn header(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            put_text(&mut out, key);
            out.extend(type_of(value).to_le_bytes());
            put_value(&mut out, value);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            put_text(&mut out, &tensor.name);
            out.extend(u32::try_from(tensor.shape.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend(tensor.shape.iter().flat_map(|n| n.to_le_bytes()));
            out.extend(tensor.quant.id().to_le_bytes());
            out.extend(u64::to_le_bytes(offset));
            offset += self.aligned(tensor.bytes());
        }
        let end = self.aligned(out.len() as u64);
        out.resize(usize::try_from(end).unwrap_or(out.len()), 0);
        out
    }
    fn aligned(&self, n: u64) -> u64 {
        n.next_multiple_of(u64::from(self.alignment.max(1)))
    }
}

/// Writes the file and returns its size in bytes.
pub fn write_gguf(gguf: &Gguf, path: &Path) -> Result<u64, Error> {
    for tensor in &gguf.tensors {
        let whole = tensor.shape.first().is_some_and(|row| row.is_multiple_of(tensor.quant.block() as u64));
        let fits = !matches!(&tensor.fill, Fill::Bytes(bytes) if bytes.len() as u64 != tensor.bytes());
        if !whole || !fits {
            return Err(Error::Shape(format!("`{}` of {:?} as {}", tensor.name, tensor.shape, tensor.quant)));
        }
    }
    write(gguf, path).map_err(Error::file("write", path))
}

fn write(gguf: &Gguf, path: &Path) -> std::io::Result<u64> {
    let mut file = BufWriter::new(File::create(path)?);
    let header = gguf.header();
    file.write_all(&header)?;
    let mut at = header.len() as u64;
    for tensor in &gguf.tensors {
        file.seek(SeekFrom::Start(at))?;
        match &tensor.fill {
            Fill::Bytes(bytes) => file.write_all(bytes)?,
            Fill::Random(seed) => write_random(&mut file, tensor, *seed)?,
            Fill::Hole => {}
        }
        at += gguf.aligned(tensor.bytes());
    }
    let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.set_len(at)?;
    Ok(at)
}

fn write_random(file: &mut BufWriter<File>, tensor: &Tensor, seed: u64) -> std::io::Result<()> {
    let mut rng = Rng::new(seed);
    let piece = tensor.quant.bytes(PIECE);
    let mut left = tensor.bytes();
    while left > 0 {
        let mut bytes = vec![0; usize::try_from(left.min(piece)).unwrap_or(usize::MAX)];
        tensor.quant.random(&mut rng, &mut bytes);
        file.write_all(&bytes)?;
        left -= bytes.len() as u64;
    }
    Ok(())
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn type_of(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::Text(_) => 8,
        Value::List(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(n) => out.push(*n),
        Value::I8(n) => out.extend(n.to_le_bytes()),
        Value::U16(n) => out.extend(n.to_le_bytes()),
        Value::I16(n) => out.extend(n.to_le_bytes()),
        Value::U32(n) => out.extend(n.to_le_bytes()),
        Value::I32(n) => out.extend(n.to_le_bytes()),
        Value::F32(n) => out.extend(n.to_le_bytes()),
        Value::Bool(yes) => out.push(u8::from(*yes)),
        Value::Text(text) => put_text(out, text),
        Value::U64(n) => out.extend(n.to_le_bytes()),
        Value::I64(n) => out.extend(n.to_le_bytes()),
        Value::F64(n) => out.extend(n.to_le_bytes()),
        Value::List(items) => {
            out.extend(items.first().map_or(type_of(&Value::Text(String::new())), type_of).to_le_bytes());
            out.extend((items.len() as u64).to_le_bytes());
            for item in items {
                put_value(out, item);
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Self::U32(n)
    }
}

impl From<f32> for Value {
    fn from(n: f32) -> Self {
        Self::F32(n)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests;
