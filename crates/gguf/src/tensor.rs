//! Which tensors does the file hold, of what type, and where?
//!
//! In: the tensor table. Out: names, shapes, types and byte ranges, each inside the file, one right
//! behind the other. Fails: on types that are unknown, on shapes that overflow or do not fill their
//! blocks, on data beyond the end of the file. From: ggml's table of types (ggml.c, ggml-common.h).

use std::collections::HashSet;
use std::io::Read;

use crate::error::{Error, Limit, Part};
use crate::limits;
use crate::source::Source;

/// How the numbers of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// The number in the file.
    pub code: u32,
    /// The name, as ggml writes it, in capitals.
    pub name: &'static str,
    /// Numbers in one block.
    pub block: u64,
    /// Bytes of one block.
    pub bytes: u64,
}

const fn kind(code: u32, name: &'static str, block: u64, bytes: u64) -> TensorType {
    TensorType { code, name, block, bytes }
}

/// Every type that a GGUF file may hold.
pub const TYPES: [TensorType; 35] = [
    kind(0, "F32", 1, 4),
    kind(1, "F16", 1, 2),
    kind(2, "Q4_0", 32, 18),
    kind(3, "Q4_1", 32, 20),
    kind(6, "Q5_0", 32, 22),
    kind(7, "Q5_1", 32, 24),
    kind(8, "Q8_0", 32, 34),
    kind(9, "Q8_1", 32, 36),
    kind(10, "Q2_K", 256, 84),
    kind(11, "Q3_K", 256, 110),
    kind(12, "Q4_K", 256, 144),
    kind(13, "Q5_K", 256, 176),
    kind(14, "Q6_K", 256, 210),
    kind(15, "Q8_K", 256, 292),
    kind(16, "IQ2_XXS", 256, 66),
    kind(17, "IQ2_XS", 256, 74),
    kind(18, "IQ3_XXS", 256, 98),
    kind(19, "IQ1_S", 256, 50),
    kind(20, "IQ4_NL", 32, 18),
    kind(21, "IQ3_S", 256, 110),
    kind(22, "IQ2_S", 256, 82),
    kind(23, "IQ4_XS", 256, 136),
    kind(24, "I8", 1, 1),
    kind(25, "I16", 1, 2),
    kind(26, "I32", 1, 4),
    kind(27, "I64", 1, 8),
    kind(28, "F64", 1, 8),
    kind(29, "IQ1_M", 256, 56),
    kind(30, "BF16", 1, 2),
    kind(34, "TQ1_0", 256, 54),
    kind(35, "TQ2_0", 256, 66),
    kind(39, "MXFP4", 32, 17),
    kind(40, "NVFP4", 64, 36),
    kind(41, "Q1_0", 128, 18),
    kind(42, "Q2_0", 64, 18),
];

impl TensorType {
    /// The type with this number.
    pub fn of(code: u32) -> Option<Self> {
        TYPES.iter().find(|kind| kind.code == code).copied()
    }
    /// Bytes of so many numbers in rows of `row`; `None` when a row does not fill its blocks or the
    /// count overflows.
    fn size(self, row: u64, elements: u64) -> Option<u64> {
        if !row.is_multiple_of(self.block) {
            return None;
        }
        (elements / self.block).checked_mul(self.bytes)
    }
}

/// One tensor of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its dimensions, the row length first.
    pub shape: Vec<u64>,
    /// How its numbers are stored.
    pub kind: TensorType,
    /// Where its data begins, in bytes from the start of the data section.
    pub offset: u64,
    /// How many bytes its data has.
    pub bytes: u64,
}

impl Tensor {
    /// How many numbers it holds (checked when it was read, so it does not overflow).
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |product: u64, side| product.saturating_mul(*side))
    }
}

/// Reads `count` entries of the table.
pub(crate) fn read<R: Read>(source: &mut Source<R>, count: u64) -> Result<Vec<Tensor>, Error> {
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    for index in 0..count {
        source.enter(Part::TensorName(index));
        let place = source.place();
        let name = source.text(Limit::Name, limits::NAME_BYTES)?;
        if !names.insert(name.clone()) {
            return Err(Error::Twice { place, name });
        }
        source.enter(Part::Tensor(name.clone()));
        tensors.push(read_entry(source, name)?);
    }
    Ok(tensors)
}

fn read_entry<R: Read>(source: &mut Source<R>, name: String) -> Result<Tensor, Error> {
    let place = source.place();
    let dimensions = source.u32()?;
    if dimensions > limits::DIMENSIONS {
        return Err(source.absurd(Limit::Dimensions, dimensions.into(), limits::DIMENSIONS.into()));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        shape.push(source.u64()?);
    }
    let type_place = source.place();
    let code = source.u32()?;
    let Some(kind) = TensorType::of(code) else {
        return Err(Error::TensorType { place: type_place, code });
    };
    let Some(bytes) = bytes_of(&shape, kind) else {
        return Err(Error::Shape { place, shape, kind: kind.name });
    };
    let offset = source.u64()?;
    Ok(Tensor { name, shape, kind, offset, bytes })
}

/// `None` when the shape overflows or does not fill its blocks. The engine counts with signed
/// 64-bit numbers, so half of the range is already too much.
fn bytes_of(shape: &[u64], kind: TensorType) -> Option<u64> {
    let signed = |number: u64| i64::try_from(number).is_ok();
    let mut elements = 1_u64;
    for side in shape {
        elements = elements.checked_mul(*side).filter(|_| signed(*side))?;
    }
    let row = shape.first().copied().unwrap_or(1);
    kind.size(row, elements).filter(|bytes| signed(elements) && signed(*bytes))
}

/// Checks that the data of each tensor begins where the one before ends, and that all of it is in
/// the file. `data_start` is where the data section begins.
pub(crate) fn check_layout(tensors: &[Tensor], data_start: u64, alignment: u64, file_len: u64) -> Result<(), Error> {
    let mut expected = 0_u64;
    for tensor in tensors {
        if tensor.offset != expected {
            return Err(Error::Offset { name: tensor.name.clone(), expected, found: tensor.offset });
        }
        let end = data_start.saturating_add(tensor.offset).saturating_add(tensor.bytes);
        if end > file_len {
            return Err(Error::TensorOutside { name: tensor.name.clone(), end, has: file_len });
        }
        expected = tensor.offset.saturating_add(tensor.bytes.next_multiple_of(alignment));
    }
    Ok(())
}
