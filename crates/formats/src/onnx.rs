//! What does an ONNX file say of itself?
//!
//! In: a file. Out: who made it, its graph's inputs and outputs, its weights counted; none of them is read. Fails: on a message
//! that breaks the format, and on weights that lie in another file by a name which leads out of the folder. Blocks. Bounded: so
//! many fields, and so many bytes of names. From: onnx.proto (the numbers of the fields), protobuf's encoding.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use crate::error::Error;
use crate::{open, safe_name};

mod walk;

use walk::{Field, Walk};

/// A tensor that the graph takes or gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// `FLOAT`, `INT64`, …
    pub kind: String,
    /// Its sides; one that is free has a name, or `?`.
    pub sides: Vec<String>,
}

/// What it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// The program that wrote it.
    pub producer: String,
    /// The version of the format.
    pub ir: u64,
    /// Its own name.
    pub name: String,
    /// Numbers in all weights.
    pub parameters: u64,
    /// So many numbers, by type.
    pub kinds: BTreeMap<String, u64>,
    /// What it takes, weights apart.
    pub inputs: Vec<Tensor>,
    /// What it gives.
    pub outputs: Vec<Tensor>,
    /// Files beside it that hold weights.
    pub files: Vec<String>,
}

const FORMAT: &str = "ONNX";
/// Beyond this a file is not looked through.
const MOST_FIELDS: u64 = 4_000_000;
const MOST_TENSORS: usize = 1_000;
/// The largest graphs that are in use have some thousands.
const MOST_WEIGHTS: usize = 200_000;
/// Bytes of all names together.
const MOST_TEXT: u64 = 32 << 20;

/// Walks over a file.
pub fn read(path: &Path) -> Result<Graph, Error> {
    let file = open(path)?;
    let length = file.metadata().map_err(Error::read(path))?.len();
    let graph = parse(BufReader::new(file), length).map_err(|what| Error::corrupt(path, FORMAT, what))?;
    graph.files.iter().try_for_each(|name| safe_name(name))?;
    Ok(graph)
}

/// Walks over a message of this length.
pub fn parse(reader: impl Read + Seek, length: u64) -> Result<Graph, String> {
    let mut walk = Walk::new(reader, MOST_FIELDS, MOST_TEXT);
    let mut graph = Graph::default();
    let mut weights = HashSet::new();
    let (mut has_graph, mut has_version) = (false, false);
    while let Some(field) = walk.next(length)? {
        match field {
            Field::Number(1, version) => (graph.ir, has_version) = (version, true),
            Field::Bytes(2, end) => graph.producer = walk.text(end)?,
            Field::Bytes(7, end) if !has_graph => {
                has_graph = true;
                in_graph(&mut walk, end, (&mut graph, &mut weights))?;
            }
            other => walk.skip(&other)?,
        }
    }
    if !has_graph || !has_version {
        return Err("it has no graph, or no version".to_owned());
    }
    // Older files name each weight among the inputs too.
    graph.inputs.retain(|input| !weights.contains(&input.name));
    if graph.inputs.len() > MOST_TENSORS {
        return Err(format!("more than {MOST_TENSORS} inputs"));
    }
    graph.files.sort();
    graph.files.dedup();
    Ok(graph)
}

type Found<'a> = (&'a mut Graph, &'a mut HashSet<String>);

fn in_graph<R: Read + Seek>(walk: &mut Walk<R>, end: u64, (graph, weights): Found<'_>) -> Result<(), String> {
    while let Some(field) = walk.next(end)? {
        match field {
            Field::Bytes(2, end) => graph.name = walk.text(end)?,
            Field::Bytes(5, end) => weight(walk, end, (graph, weights))?,
            Field::Bytes(11, end) => graph.inputs.push(value(walk, end)?),
            Field::Bytes(12, end) => graph.outputs.push(value(walk, end)?),
            other => walk.skip(&other)?,
        }
        // Which of the inputs are weights is known at the end.
        if graph.inputs.len() > MOST_TENSORS + MOST_WEIGHTS || graph.outputs.len() > MOST_TENSORS {
            return Err(format!("more than {MOST_TENSORS} inputs or outputs"));
        }
        if weights.len() > MOST_WEIGHTS {
            return Err(format!("more than {MOST_WEIGHTS} weights"));
        }
    }
    Ok(())
}

/// `TensorProto`: dims 1, data_type 2, name 8, external_data 13.
fn weight<R: Read + Seek>(walk: &mut Walk<R>, end: u64, (graph, weights): Found<'_>) -> Result<(), String> {
    let (mut numbers, mut kind) = (1_u64, 0);
    while let Some(field) = walk.next(end)? {
        match field {
            Field::Number(1, side) => numbers = numbers.checked_mul(side).ok_or("the shape of a weight has no end")?,
            Field::Bytes(1, end) => {
                while walk.at() < end {
                    let side = walk.number(end)?;
                    numbers = numbers.checked_mul(side).ok_or("the shape of a weight has no end")?;
                }
            }
            Field::Number(2, number) => kind = number,
            Field::Bytes(8, end) => {
                weights.insert(walk.text(end)?);
            }
            Field::Bytes(13, end) => graph.files.extend(location(walk, end)?),
            other => walk.skip(&other)?,
        }
    }
    graph.parameters = graph.parameters.saturating_add(numbers);
    let sum = graph.kinds.entry(kind_name(kind)).or_default();
    *sum = sum.saturating_add(numbers);
    Ok(())
}

/// `StringStringEntryProto`: key 1, value 2.
fn location<R: Read + Seek>(walk: &mut Walk<R>, end: u64) -> Result<Option<String>, String> {
    let (mut key, mut value) = (String::new(), String::new());
    while let Some(field) = walk.next(end)? {
        match field {
            Field::Bytes(1, end) => key = walk.text(end)?,
            Field::Bytes(2, end) => value = walk.text(end)?,
            other => walk.skip(&other)?,
        }
    }
    Ok((key == "location").then_some(value))
}

/// `ValueInfoProto`: name 1, type 2 -> tensor_type 1 -> elem_type 1, shape 2 -> dim 1 -> dim_value 1, dim_param 2.
fn value<R: Read + Seek>(walk: &mut Walk<R>, end: u64) -> Result<Tensor, String> {
    const MOST_SIDES: usize = 64;
    let mut tensor = Tensor::default();
    let mut ends = vec![(Level::Value, end)];
    while let Some(&(level, end)) = ends.last() {
        let Some(field) = walk.next(end)? else {
            ends.pop();
            continue;
        };
        match (level, field) {
            (Level::Value, Field::Bytes(1, end)) => tensor.name = walk.text(end)?,
            (Level::Value, Field::Bytes(2, end)) => ends.push((Level::Type, end)),
            (Level::Type, Field::Bytes(1, end)) => ends.push((Level::Tensor, end)),
            (Level::Tensor, Field::Number(1, kind)) => tensor.kind = kind_name(kind),
            (Level::Tensor, Field::Bytes(2, end)) => ends.push((Level::Shape, end)),
            (Level::Shape, Field::Bytes(1, end)) if tensor.sides.len() < MOST_SIDES => {
                tensor.sides.push("?".to_owned());
                ends.push((Level::Side, end));
            }
            (Level::Side, Field::Number(1, number)) => set_last(&mut tensor, number.to_string()),
            (Level::Side, Field::Bytes(2, end)) => {
                let name = walk.text(end)?;
                set_last(&mut tensor, name);
            }
            (_, other) => walk.skip(&other)?,
        }
    }
    Ok(tensor)
}

#[derive(Clone, Copy)]
enum Level {
    Value,
    Type,
    Tensor,
    Shape,
    Side,
}

fn set_last(tensor: &mut Tensor, side: String) {
    if let Some(last) = tensor.sides.last_mut() {
        *last = side;
    }
}

/// `TensorProto.DataType`.
fn kind_name(kind: u64) -> String {
    const NAMES: [&str; 24] = [
        "UNDEFINED",
        "FLOAT",
        "UINT8",
        "INT8",
        "UINT16",
        "INT16",
        "INT32",
        "INT64",
        "STRING",
        "BOOL",
        "FLOAT16",
        "DOUBLE",
        "UINT32",
        "UINT64",
        "COMPLEX64",
        "COMPLEX128",
        "BFLOAT16",
        "FLOAT8E4M3FN",
        "FLOAT8E4M3FNUZ",
        "FLOAT8E5M2",
        "FLOAT8E5M2FNUZ",
        "UINT4",
        "INT4",
        "FLOAT4E2M1",
    ];
    usize::try_from(kind).ok().and_then(|kind| NAMES.get(kind)).map_or_else(|| format!("TYPE{kind}"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests;
