//! Sixteen bits and back.

use super::{bf16_bits, f16_bits, f16_value};

#[test]
fn every_f16_comes_back() {
    for bits in 0..=u16::MAX {
        let value = f16_value(bits);
        if !value.is_nan() {
            assert_eq!(f16_bits(value), bits, "{value}");
        }
    }
    assert!(f16_value(f16_bits(f32::NAN)).is_nan());
}

#[test]
fn the_nearest_f16_is_taken_and_ties_go_to_even() {
    for bits in (0..0x7bff_u16).step_by(7) {
        let (low, high) = (f16_value(bits), f16_value(bits + 1));
        let middle = f32::midpoint(low, high);
        let even = if bits % 2 == 0 { bits } else { bits + 1 };
        assert_eq!(f16_bits(middle), even);
        assert_eq!(f16_bits(f32::from_bits(middle.to_bits() - 1)), bits);
        assert_eq!(f16_bits(f32::from_bits(middle.to_bits() + 1)), bits + 1);
    }
    assert_eq!(f16_bits(1e6), 0x7c00);
    assert_eq!(f16_bits(-1e6), 0xfc00);
    assert_eq!(f16_bits(65_519.0), 0x7bff);
    assert_eq!(f16_bits(65_520.0), 0x7c00);
}

#[test]
fn bf16_is_the_rounded_upper_half() {
    assert_eq!(bf16_bits(1.0), 0x3f80);
    assert_eq!(bf16_bits(f32::from_bits(0x3f80_8000)), 0x3f80);
    assert_eq!(bf16_bits(f32::from_bits(0x3f81_8000)), 0x3f82);
    assert_eq!(bf16_bits(f32::from_bits(0x3f80_8001)), 0x3f81);
    assert!(f32::from_bits(u32::from(bf16_bits(f32::NAN)) << 16).is_nan());
}
