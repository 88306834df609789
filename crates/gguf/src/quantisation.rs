//! What is the quantisation of a file called?
//!
//! In: the number in `general.file_type`, else the tensors. Out: the name that people use in file
//! names (`Q4_K_M`, `F16`). Fails: never. From: `llama_ftype` in llama.h.

use std::collections::BTreeMap;

use crate::tensor::Tensor;

/// Set by the engine when it guessed the type itself; not part of the type.
const GUESSED: u64 = 1024;

/// The name of a file type, by its number.
pub fn name_of(file_type: u64) -> Option<&'static str> {
    Some(match file_type & !GUESSED {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 | 4 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        19 => "IQ2_XXS",
        20 => "IQ2_XS",
        21 => "Q2_K_S",
        22 => "IQ3_XS",
        23 => "IQ3_XXS",
        24 => "IQ1_S",
        25 => "IQ4_NL",
        26 => "IQ3_S",
        27 => "IQ3_M",
        28 => "IQ2_S",
        29 => "IQ2_M",
        30 => "IQ4_XS",
        31 => "IQ1_M",
        32 => "BF16",
        36 => "TQ1_0",
        37 => "TQ2_0",
        38 => "MXFP4",
        39 => "NVFP4",
        40 => "Q1_0",
        41 => "Q2_0",
        _ => return None,
    })
}

/// The type that holds most of the bytes; `None` without tensors.
pub fn dominant(tensors: &[Tensor]) -> Option<&'static str> {
    let mut bytes: BTreeMap<&'static str, u64> = BTreeMap::new();
    for tensor in tensors {
        let sum = bytes.entry(tensor.kind.name).or_default();
        *sum = sum.saturating_add(tensor.bytes);
    }
    bytes.into_iter().max_by_key(|(_, sum)| *sum).map(|(name, _)| name)
}
