//! Small layers against their definitions.

use pulp::{Arch, Scalar, Simd as _};

use super::{Exponentials, Rope, norm, softmax, swiglu};

#[test]
fn shares_are_those_of_the_exponential() {
    let scores = [-200.0_f32, -30.0, -3.5, -0.25, 0.0, 0.125, 2.0, 9.0, 9.5, 40.0, 41.0];
    let mut shares = scores;
    softmax(&mut shares, 0.5);
    let total: f64 = scores.iter().map(|x| (f64::from(*x) * 0.5).exp()).sum();
    for (share, score) in shares.iter().zip(scores) {
        let right = (f64::from(score) * 0.5).exp() / total;
        assert!((f64::from(*share) - right).abs() <= 3e-7 * right + 1e-30, "{share} is not {right}");
    }
}

#[test]
fn a_gate_lets_through_what_the_sigmoid_says() {
    let gate = [-100.0_f32, -5.0, -0.5, 0.0, 0.5, 5.0, 100.0];
    let up = [2.0; 7];
    for (x, out) in gate.iter().zip(swiglu(&gate, &up)) {
        let x = f64::from(*x);
        let right = 2.0 * x / (1.0 + (-x).exp());
        assert!((f64::from(out) - right).abs() < 1e-5, "{out} is not {right}");
    }
}

#[test]
fn a_turn_and_its_way_back_change_nothing_and_the_first_position_is_not_turned() {
    let rope = Rope::new(4, 3);
    let before: Vec<f32> = (0_u8..24).map(f32::from).collect();
    let mut x = before.clone();
    rope.turn(&mut x, 8, 3, 1.0);
    assert_eq!(x[..8], before[..8]);
    // The first pair of the second position turns by one radian.
    assert!((x[8] - (8.0 * 1.0_f32.cos() - 9.0 * 1.0_f32.sin())).abs() < 1e-5);
    rope.turn(&mut x, 8, 3, -1.0);
    assert!(x.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn a_norm_makes_rows_of_equal_length() {
    let (out, _) = norm(&[3.0, 4.0, -300.0, 400.0], &[1.0, 2.0]);
    let side = (0.5_f32).sqrt();
    for (x, right) in out.iter().zip([1.2 * side, 3.2 * side, -1.2 * side, 3.2 * side]) {
        assert!((x - right).abs() < 1e-5, "{x} is not {right}");
    }
}

#[test]
fn a_processor_without_a_vector_unit_computes_the_same_exponentials() {
    let scores: Vec<f32> = (0_u16..1000).map(|n| f32::from(n) * -0.0917).collect();
    let (mut plain, mut found) = (scores.clone(), scores);
    Scalar.vectorize(Exponentials { row: &mut plain, top: 0.0, scale: 0.97 });
    Arch::new().dispatch(Exponentials { row: &mut found, top: 0.0, scale: 0.97 });
    assert_eq!(plain, found);
}
