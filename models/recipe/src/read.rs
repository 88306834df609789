//! What does a file hold? A reader for what our own writer writes.
//!
//! In: a path. Out: the header, and tensors one by one as numbers. Fails: on anything that is not a sound GGUF of version 3, with the
//! byte at which it stopped making sense. Holds: the open file. It is kept apart from the product's reader on
//! purpose: so the two hold each other to the format.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::gguf::{ALIGNMENT, MAGIC, Value};
use crate::quant::Quant;

/// The longest text, in bytes.
const LONGEST_TEXT: u64 = 1 << 24;
/// The most values in a list, keys or tensors.
const MOST_ITEMS: u64 = 1 << 22;
const MOST_DIMENSIONS: u32 = 4;

/// A file whose header has been read.
#[derive(Debug)]
pub struct Opened {
    /// Keys and values, in order.
    pub metadata: Vec<(String, Value)>,
    /// Tensors, in order.
    pub tensors: Vec<Entry>,
    path: PathBuf,
    file: BufReader<File>,
}

/// A line of the tensor table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its sizes, the row's length first.
    pub shape: Vec<u64>,
    /// Its type.
    pub quant: Quant,
    /// Where its bytes start in the file.
    pub start: u64,
}

/// Opens a file and reads its header.
pub fn read_gguf(path: &Path) -> Result<Opened, Error> {
    let file = File::open(path).map_err(Error::file("open", path))?;
    let mut cursor = Cursor { file: BufReader::new(file), path, at: 0 };
    if cursor.bytes::<4>()? != *MAGIC {
        return Err(cursor.foreign("no GGUF magic"));
    }
    if cursor.u32()? != 3 {
        return Err(cursor.foreign("a version other than 3"));
    }
    let (tensors, keys) = (cursor.count()?, cursor.count()?);
    let mut metadata = Vec::new();
    for _ in 0..keys {
        let key = cursor.text()?;
        let kind = cursor.u32()?;
        metadata.push((key, cursor.value(kind)?));
    }
    let mut entries = Vec::new();
    for _ in 0..tensors {
        entries.push(cursor.entry()?);
    }
    let alignment = match metadata.iter().find(|(key, _)| key == "general.alignment") {
        Some((_, Value::U32(n))) if n.is_power_of_two() => *n,
        _ => ALIGNMENT,
    };
    let data = cursor.at.next_multiple_of(u64::from(alignment));
    for entry in &mut entries {
        entry.start = entry.start.checked_add(data).ok_or_else(|| cursor.foreign("a tensor beyond all files"))?;
    }
    Ok(Opened { metadata, tensors: entries, path: path.to_owned(), file: cursor.file })
}

impl Opened {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }
    /// A tensor's numbers.
    pub fn numbers(&mut self, name: &str) -> Result<Vec<f32>, Error> {
        let missing = || Error::Missing { path: self.path.clone(), name: name.to_owned() };
        let entry = self.tensors.iter().find(|entry| entry.name == name).ok_or_else(missing)?.clone();
        let count = entry.shape.iter().try_fold(1_u64, |all, n| all.checked_mul(*n)).ok_or_else(missing)?;
        self.file.seek(SeekFrom::Start(entry.start)).map_err(Error::file("read", &self.path))?;
        let mut bytes = Vec::new();
        let wanted = entry.quant.bytes(count);
        (&mut self.file).take(wanted).read_to_end(&mut bytes).map_err(Error::file("read", &self.path))?;
        if (bytes.len() as u64) < wanted {
            let at = entry.start + bytes.len() as u64;
            return Err(Error::Foreign { path: self.path.clone(), what: "the file ends inside a tensor", at });
        }
        entry.quant.decode(&bytes)
    }
    /// A key's count.
    pub(crate) fn count(&self, key: &str) -> Result<usize, Error> {
        match self.get(key) {
            Some(Value::U32(n)) => Ok(*n as usize),
            _ => Err(self.missing(key)),
        }
    }
    /// A key's texts.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<&str>, Error> {
        let Some(Value::List(items)) = self.get(key) else { return Err(self.missing(key)) };
        let texts = items.iter().map(|item| match item {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Option<Vec<_>>>().ok_or_else(|| self.missing(key))
    }
    /// The error for a key or tensor that is not there or of no use.
    pub(crate) fn missing(&self, name: &str) -> Error {
        Error::Missing { path: self.path.clone(), name: name.to_owned() }
    }
}

struct Cursor<'a> {
    file: BufReader<File>,
    path: &'a Path,
    at: u64,
}

impl Cursor<'_> {
    fn foreign(&self, what: &'static str) -> Error {
        Error::Foreign { path: self.path.to_owned(), what, at: self.at }
    }
    fn cut_or_broken(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => self.foreign("the file ends"),
            _ => Error::file("read", self.path)(source),
        }
    }
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(|source| self.cut_or_broken(source))?;
        self.at += N as u64;
        Ok(bytes)
    }
    fn u32(&mut self) -> Result<u32, Error> {
        self.bytes().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Result<u64, Error> {
        self.bytes().map(u64::from_le_bytes)
    }
    fn count(&mut self) -> Result<u64, Error> {
        let n = self.u64()?;
        if n > MOST_ITEMS { Err(self.foreign("a count beyond reason")) } else { Ok(n) }
    }
    fn text(&mut self) -> Result<String, Error> {
        let length = self.u64()?;
        if length > LONGEST_TEXT {
            return Err(self.foreign("a text beyond reason"));
        }
        let mut bytes = Vec::new();
        (&mut self.file).take(length).read_to_end(&mut bytes).map_err(Error::file("read", self.path))?;
        if (bytes.len() as u64) < length {
            return Err(self.foreign("the file ends"));
        }
        let Ok(text) = String::from_utf8(bytes) else { return Err(self.foreign("a text that is not UTF-8")) };
        self.at += length;
        Ok(text)
    }
    fn value(&mut self, kind: u32) -> Result<Value, Error> {
        Ok(match kind {
            0 => Value::U8(self.bytes().map(u8::from_le_bytes)?),
            1 => Value::I8(self.bytes().map(i8::from_le_bytes)?),
            2 => Value::U16(self.bytes().map(u16::from_le_bytes)?),
            3 => Value::I16(self.bytes().map(i16::from_le_bytes)?),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(self.bytes().map(i32::from_le_bytes)?),
            6 => Value::F32(self.bytes().map(f32::from_le_bytes)?),
            7 => Value::Bool(self.bytes::<1>()? != [0]),
            8 => Value::Text(self.text()?),
            9 => {
                let kind = self.u32()?;
                if kind == 9 {
                    return Err(self.foreign("a list of lists"));
                }
                let count = self.count()?;
                Value::List((0..count).map(|_| self.value(kind)).collect::<Result<_, _>>()?)
            }
            10 => Value::U64(self.u64()?),
            11 => Value::I64(self.bytes().map(i64::from_le_bytes)?),
            12 => Value::F64(self.bytes().map(f64::from_le_bytes)?),
            _ => return Err(self.foreign("an unknown type of value")),
        })
    }
    fn entry(&mut self) -> Result<Entry, Error> {
        let name = self.text()?;
        let dimensions = self.u32()?;
        if dimensions > MOST_DIMENSIONS {
            return Err(self.foreign("a tensor of too many dimensions"));
        }
        let shape = (0..dimensions).map(|_| self.u64()).collect::<Result<_, _>>()?;
        let id = self.u32()?;
        let quant = Quant::from_id(id).ok_or_else(|| self.foreign("an unknown type of tensor"))?;
        Ok(Entry { name, shape, quant, start: self.u64()? })
    }
}
