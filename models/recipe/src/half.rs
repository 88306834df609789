//! How does a number fit into sixteen bits?
//!
//! In: f32. Out: the bits of the nearest f16 or bf16, ties to even, and back. Fails: never; what is too large becomes infinite.
//! From: IEEE 754.

/// The nearest f16.
#[expect(clippy::cast_possible_truncation, reason = "the result has 16 bits")]
pub(crate) fn f16_bits(x: f32) -> u16 {
    const TOO_LARGE: u32 = 0x4780_0000;
    const SMALLEST_NORMAL: u32 = 0x3880_0000;
    let bits = x.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let size = bits & 0x7fff_ffff;
    if size > f32::INFINITY.to_bits() {
        return sign | 0x7e00;
    }
    if size >= TOO_LARGE {
        return sign | 0x7c00;
    }
    if size < SMALLEST_NORMAL {
        // Adding one half puts the last bit of a small f16 on the last bit of the f32, and rounds on the way.
        return sign | (f32::from_bits(size) + 0.5).to_bits().wrapping_sub(0.5_f32.to_bits()) as u16;
    }
    // The exponent moves by 112; half of the last bit, or just less if the bit is even, rounds. A carry is right.
    let odd = (size >> 13) & 1;
    sign | ((size + 0x0fff + odd - (112 << 23)) >> 13) as u16
}

/// The value of an f16.
pub(crate) fn f16_value(bits: u16) -> f32 {
    const TWO_TO_MINUS_24: f32 = 5.960_464_5e-8;
    let sign = u32::from(bits & 0x8000) << 16;
    let size = bits & 0x7fff;
    let value = match size >> 10 {
        0 => (f32::from(size) * TWO_TO_MINUS_24).to_bits(),
        31 => (u32::from(size) << 13) + (224 << 23),
        _ => (u32::from(size) << 13) + (112 << 23),
    };
    f32::from_bits(value | sign)
}

/// The nearest bf16.
pub(crate) fn bf16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests;
