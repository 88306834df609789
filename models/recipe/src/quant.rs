//! How do numbers lie in a file? The tensor types of GGUF.
//!
//! In: numbers, or chance. Out: bytes, and back. Fails: for types that are made only at random. Holds: nothing. From: ggml's
//! block layouts: so many numbers share a block, whose f16 scales stand at fixed places.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::half::{bf16_bits, f16_bits, f16_value};
use crate::rng::Rng;

/// A tensor type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quant {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// Blocks of 32 with 4 bits and one scale.
    Q4_0,
    /// Blocks of 32 with 4 bits, scale and least value.
    Q4_1,
    /// Blocks of 32 with 5 bits and one scale.
    Q5_0,
    /// Blocks of 32 with 5 bits, scale and least value.
    Q5_1,
    /// Blocks of 32 with 8 bits and one scale.
    Q8_0,
    /// Blocks of 256 with 2 bits.
    Q2K,
    /// Blocks of 256 with 3 bits.
    Q3K,
    /// Blocks of 256 with 4 bits.
    Q4K,
    /// Blocks of 256 with 5 bits.
    Q5K,
    /// Blocks of 256 with 6 bits.
    Q6K,
    /// Blocks of 32 with 4 bits that choose from an uneven scale.
    Iq4Nl,
    /// Blocks of 256 with 4 bits that choose from an uneven scale.
    Iq4Xs,
}

/// What a type looks like.
struct Layout {
    name: &'static str,
    /// Its number in the tensor table.
    id: u32,
    /// Its number in `general.file_type`.
    file_type: u32,
    /// Numbers in a block.
    numbers: usize,
    /// Bytes in a block.
    bytes: usize,
    /// Where f16 scales stand in a block.
    scales: &'static [usize],
}

/// Every type.
pub const ALL: [Quant; 15] = [
    Quant::F32,
    Quant::F16,
    Quant::Bf16,
    Quant::Q4_0,
    Quant::Q4_1,
    Quant::Q5_0,
    Quant::Q5_1,
    Quant::Q8_0,
    Quant::Q2K,
    Quant::Q3K,
    Quant::Q4K,
    Quant::Q5K,
    Quant::Q6K,
    Quant::Iq4Nl,
    Quant::Iq4Xs,
];

impl Quant {
    #[rustfmt::skip]
    fn layout(self) -> Layout {
        let (name, id, file_type, numbers, bytes, scales): (_, _, _, _, _, &[usize]) = match self {
            Self::F32 =>    ("f32",     0,  0,   1,   4, &[]),
            Self::F16 =>    ("f16",     1,  1,   1,   2, &[]),
            Self::Bf16 =>   ("bf16",   30, 32,   1,   2, &[]),
            Self::Q4_0 =>   ("q4_0",    2,  2,  32,  18, &[0]),
            Self::Q4_1 =>   ("q4_1",    3,  3,  32,  20, &[0, 2]),
            Self::Q5_0 =>   ("q5_0",    6,  8,  32,  22, &[0]),
            Self::Q5_1 =>   ("q5_1",    7,  9,  32,  24, &[0, 2]),
            Self::Q8_0 =>   ("q8_0",    8,  7,  32,  34, &[0]),
            Self::Q2K =>    ("q2_k",   10, 10, 256,  84, &[80, 82]),
            Self::Q3K =>    ("q3_k",   11, 12, 256, 110, &[108]),
            Self::Q4K =>    ("q4_k",   12, 15, 256, 144, &[0, 2]),
            Self::Q5K =>    ("q5_k",   13, 17, 256, 176, &[0, 2]),
            Self::Q6K =>    ("q6_k",   14, 18, 256, 210, &[208]),
            Self::Iq4Nl =>  ("iq4_nl", 20, 25,  32,  18, &[0]),
            Self::Iq4Xs =>  ("iq4_xs", 23, 30, 256, 136, &[0]),
        };
        Layout { name, id, file_type, numbers, bytes, scales }
    }
    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        self.layout().name
    }
    /// Its number in a tensor table.
    pub fn id(self) -> u32 {
        self.layout().id
    }
    /// The type with this number in a tensor table.
    pub fn from_id(id: u32) -> Option<Self> {
        ALL.into_iter().find(|quant| quant.id() == id)
    }
    /// The number of a file that is mostly of this type, as in `general.file_type`.
    pub fn file_type(self) -> u32 {
        self.layout().file_type
    }
    /// Numbers in a block; a row is a whole number of blocks.
    pub fn block(self) -> usize {
        self.layout().numbers
    }
    /// Bytes of so many numbers, a whole number of blocks.
    pub fn bytes(self, numbers: u64) -> u64 {
        numbers / self.layout().numbers as u64 * self.layout().bytes as u64
    }

    /// Numbers as bytes; their count must be a whole number of blocks.
    pub fn encode(self, numbers: &[f32]) -> Result<Vec<u8>, Error> {
        if !numbers.len().is_multiple_of(self.block()) {
            return Err(Error::Shape(format!("{} numbers are not whole blocks of {self}", numbers.len())));
        }
        Ok(match self {
            Self::F32 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::F16 => numbers.iter().flat_map(|x| f16_bits(*x).to_le_bytes()).collect(),
            Self::Bf16 => numbers.iter().flat_map(|x| bf16_bits(*x).to_le_bytes()).collect(),
            Self::Q8_0 => numbers.as_chunks::<32>().0.iter().flat_map(encode_q8_0).collect(),
            Self::Q4_0 => numbers.as_chunks::<32>().0.iter().flat_map(encode_q4_0).collect(),
            other => return Err(Error::Encoding(other)),
        })
    }

    /// Bytes as numbers; what is no whole block at the end is left out.
    pub fn decode(self, bytes: &[u8]) -> Result<Vec<f32>, Error> {
        Ok(match self {
            Self::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Self::F16 => bytes.as_chunks::<2>().0.iter().map(|b| f16_value(u16::from_le_bytes(*b))).collect(),
            Self::Bf16 => bytes.as_chunks::<2>().0.iter().map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16)).collect(),
            Self::Q8_0 => bytes.as_chunks::<34>().0.iter().flat_map(decode_q8_0).collect(),
            Self::Q4_0 => bytes.as_chunks::<18>().0.iter().flat_map(decode_q4_0).collect(),
            other => return Err(Error::Encoding(other)),
        })
    }

    /// Fills a buffer of whole blocks with random weights of a sane size, which no engine finds infinite.
    pub(crate) fn random(self, rng: &mut Rng, to: &mut [u8]) {
        const SPREAD: f32 = 0.04;
        const SCALE: f32 = 0.0008;
        let layout = self.layout();
        for block in to.chunks_exact_mut(layout.bytes) {
            let weight = (rng.unit() - 0.5) * SPREAD;
            match self {
                Self::F32 => block.copy_from_slice(&weight.to_le_bytes()),
                Self::F16 => block.copy_from_slice(&f16_bits(weight).to_le_bytes()),
                Self::Bf16 => block.copy_from_slice(&bf16_bits(weight).to_le_bytes()),
                _ => {
                    for eight in block.chunks_mut(8) {
                        eight.copy_from_slice(&rng.bits().to_le_bytes()[..eight.len()]);
                    }
                    for at in layout.scales {
                        block[*at..at + 2].copy_from_slice(&f16_bits(SCALE).to_le_bytes());
                    }
                }
            }
        }
    }
}

impl fmt::Display for Quant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No such tensor type.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no tensor type; write one of f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs")]
pub struct NoSuchQuant(String);

impl FromStr for Quant {
    type Err = NoSuchQuant;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        ALL.into_iter().find(|quant| quant.name() == text.to_ascii_lowercase()).ok_or_else(|| NoSuchQuant(text.to_owned()))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "scaled to 8 bits")]
fn encode_q8_0(numbers: &[f32; 32]) -> [u8; 34] {
    let top = numbers.iter().fold(0.0_f32, |top, x| top.max(x.abs()));
    let scale = top / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut out = [0; 34];
    out[..2].copy_from_slice(&f16_bits(scale).to_le_bytes());
    for (byte, x) in out[2..].iter_mut().zip(numbers) {
        *byte = (x * inverse).round() as i8 as u8;
    }
    out
}

fn decode_q8_0(block: &[u8; 34]) -> [f32; 32] {
    let scale = f16_value(u16::from_le_bytes([block[0], block[1]]));
    std::array::from_fn(|i| f32::from(block[2 + i].cast_signed()) * scale)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 4 bits")]
fn encode_q4_0(numbers: &[f32; 32]) -> [u8; 18] {
    let top = numbers.iter().fold(0.0_f32, |top, x| if x.abs() > top.abs() { *x } else { top });
    let scale = top / -8.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let nibble = |x: f32| (x * inverse + 8.5).clamp(0.0, 15.0) as u8;
    let mut out = [0; 18];
    out[..2].copy_from_slice(&f16_bits(scale).to_le_bytes());
    for i in 0..16 {
        out[2 + i] = nibble(numbers[i]) | nibble(numbers[i + 16]) << 4;
    }
    out
}

fn decode_q4_0(block: &[u8; 18]) -> [f32; 32] {
    let scale = f16_value(u16::from_le_bytes([block[0], block[1]]));
    std::array::from_fn(|i| {
        let nibble = if i < 16 { block[2 + i] & 15 } else { block[2 + i - 16] >> 4 };
        (f32::from(nibble) - 8.0) * scale
    })
}

#[cfg(test)]
mod tests;
