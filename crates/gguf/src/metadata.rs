//! What do the keys of a GGUF file say?
//!
//! In: the part of the file behind the counts. Out: a map from key to [`Value`]; long arrays and
//! texts are known by type and length only, unless the vocabulary was asked for. Fails: on types
//! that GGUF does not have, on names that are empty or stand there twice, on absurd lengths.
//! From: the GGUF specification (ggml, docs/gguf.md).

use std::collections::BTreeMap;
use std::io::Read;

use crate::error::{Error, Limit, Part};
use crate::limits;
use crate::source::Source;

/// How much is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Numbers, texts, and arrays with one element for each layer.
    Header,
    /// The arrays of the vocabulary too.
    Vocabulary,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number without sign.
    Unsigned(u64),
    /// A whole number with sign.
    Signed(i64),
    /// A real number.
    Real(f64),
    /// Yes or no.
    Bool(bool),
    /// A text.
    Text(String),
    /// A text too long to be kept: its length in bytes.
    LongText(u64),
    /// An array.
    Array(Array),
}

/// An array: its length, and its elements if they were kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// How many elements the file has.
    pub len: u64,
    /// The elements; `None` when there are too many to be kept unasked.
    pub items: Option<Items>,
}

/// Elements of an array.
#[derive(Debug, Clone, PartialEq)]
pub enum Items {
    /// Whole numbers, and booleans as 0 and 1; those above `i64::MAX` stand as that.
    Whole(Vec<i64>),
    /// Real numbers.
    Real(Vec<f32>),
    /// Texts.
    Text(Vec<String>),
}

/// The keys and their values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    entries: BTreeMap<String, Value>,
}

impl Metadata {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }
    /// A number that is not negative.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Value::Unsigned(number) => Some(*number),
            Value::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }
    /// A text that was kept.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
    /// A yes or no.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }
    /// An array.
    pub fn array(&self, key: &str) -> Option<&Array> {
        match self.get(key)? {
            Value::Array(array) => Some(array),
            _ => None,
        }
    }
    /// The whole numbers of an array that was kept.
    pub fn numbers(&self, key: &str) -> Option<&[i64]> {
        match &self.array(key)?.items {
            Some(Items::Whole(numbers)) => Some(numbers),
            _ => None,
        }
    }
    /// Every key with its value, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// Takes a value out.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Value> {
        self.entries.remove(key)
    }
}

/// Reads `count` keys with their values.
pub(crate) fn read<R: Read>(source: &mut Source<R>, count: u64, detail: Detail) -> Result<Metadata, Error> {
    let mut metadata = Metadata::default();
    let mut kept = 0;
    for index in 0..count {
        source.enter(Part::KeyName(index));
        let at = source.place();
        let key = source.text(Limit::Name, limits::NAME_BYTES)?;
        if key.is_empty() {
            return Err(Error::EmptyName(at));
        }
        source.enter(Part::Key(key.clone()));
        let code = source.u32()?;
        let value = match code {
            ARRAY => Value::Array(read_array(source, wants_all(&key, detail))?),
            TEXT => read_text(source, &mut kept)?,
            code => read_scalar(source, code)?,
        };
        if metadata.entries.insert(key.clone(), value).is_some() {
            return Err(Error::Twice { place: at, name: key });
        }
    }
    Ok(metadata)
}

const BOOL: u32 = 7;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

fn wants_all(key: &str, detail: Detail) -> bool {
    detail == Detail::Vocabulary && crate::vocabulary::ARRAYS.contains(&key)
}

fn read_text<R: Read>(source: &mut Source<R>, kept: &mut u64) -> Result<Value, Error> {
    let place = source.place();
    let length = source.length(Limit::Text, limits::TEXT_BYTES)?;
    if length > limits::KEPT_TEXT_BYTES || *kept + length > limits::KEPT_BYTES {
        source.skip(length)?;
        return Ok(Value::LongText(length));
    }
    *kept += length;
    let bytes = source.bytes(length)?;
    let text = String::from_utf8(bytes);
    text.map(Value::Text).map_err(|error| Error::Utf8 { place, source: error.utf8_error() })
}

fn read_scalar<R: Read>(source: &mut Source<R>, code: u32) -> Result<Value, Error> {
    Ok(match code {
        0 => Value::Unsigned(u8::from_le_bytes(source.array()?).into()),
        1 => Value::Signed(i8::from_le_bytes(source.array()?).into()),
        2 => Value::Unsigned(u16::from_le_bytes(source.array()?).into()),
        3 => Value::Signed(i16::from_le_bytes(source.array()?).into()),
        4 => Value::Unsigned(source.u32()?.into()),
        5 => Value::Signed(i32::from_le_bytes(source.array()?).into()),
        6 => Value::Real(f32::from_le_bytes(source.array()?).into()),
        BOOL => Value::Bool(source.array::<1>()? != [0]),
        10 => Value::Unsigned(source.u64()?),
        11 => Value::Signed(i64::from_le_bytes(source.array()?)),
        12 => Value::Real(f64::from_le_bytes(source.array()?)),
        code => return Err(Error::ValueType { place: source.place(), code }),
    })
}

/// Bytes of one element; a text has at least its length.
fn element_bytes(code: u32) -> Option<u64> {
    match code {
        0 | 1 | BOOL => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        TEXT | 10..=12 => Some(8),
        _ => None,
    }
}

fn read_array<R: Read>(source: &mut Source<R>, all: bool) -> Result<Array, Error> {
    let code = source.u32()?;
    let Some(width) = element_bytes(code) else {
        return Err(Error::ValueType { place: source.place(), code });
    };
    let len = source.u64()?;
    if len > limits::ARRAY_ITEMS {
        return Err(source.absurd(Limit::Array, len, limits::ARRAY_ITEMS));
    }
    source.need(len.saturating_mul(width))?;
    let keep = all || (len <= limits::KEPT_ITEMS && code != TEXT);
    let items = match (code, keep) {
        (TEXT, true) => Some(Items::Text(read_texts(source, len)?)),
        (6 | 12, true) => Some(Items::Real(read_reals(source, code, len)?)),
        (_, true) => Some(Items::Whole(read_wholes(source, code, len)?)),
        (TEXT, false) => {
            for _ in 0..len {
                let length = source.length(Limit::Text, limits::TEXT_BYTES)?;
                source.skip(length)?;
            }
            None
        }
        (_, false) => {
            source.skip(len.saturating_mul(width))?;
            None
        }
    };
    Ok(Array { len, items })
}

fn read_texts<R: Read>(source: &mut Source<R>, len: u64) -> Result<Vec<String>, Error> {
    let mut texts = Vec::new();
    for _ in 0..len {
        texts.push(source.text(Limit::Text, limits::TEXT_BYTES)?);
    }
    Ok(texts)
}

#[expect(clippy::cast_possible_truncation, reason = "scores are written as f32; a double is rounded")]
fn read_reals<R: Read>(source: &mut Source<R>, code: u32, len: u64) -> Result<Vec<f32>, Error> {
    let mut reals = Vec::new();
    for _ in 0..len {
        if let Value::Real(real) = read_scalar(source, code)? {
            reals.push(real as f32);
        }
    }
    Ok(reals)
}

fn read_wholes<R: Read>(source: &mut Source<R>, code: u32, len: u64) -> Result<Vec<i64>, Error> {
    let mut wholes = Vec::new();
    for _ in 0..len {
        wholes.push(match read_scalar(source, code)? {
            Value::Unsigned(number) => i64::try_from(number).unwrap_or(i64::MAX),
            Value::Signed(number) => number,
            Value::Bool(flag) => i64::from(flag),
            _ => 0,
        });
    }
    Ok(wholes)
}
