//! The fast product against the plain one.

use proptest::prelude::*;
use pulp::{Scalar, Simd as _};

use super::{Add, Mat, MatMut};
use crate::rng::Rng;

fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    (0..count).map(|_| rng.unit() - 0.5).collect()
}

fn plain(a: &[f32], b: &[f32], (rows, deep, cols): (usize, usize, usize)) -> Vec<f32> {
    let cell = |row: usize, col: usize| {
        let terms = (0..deep).map(|at| f64::from(a[row * deep + at]) * f64::from(b[at * cols + col]));
        terms.sum::<f64>()
    };
    #[expect(clippy::cast_possible_truncation, reason = "compared with f32")]
    (0..rows * cols).map(|at| cell(at / cols, at % cols) as f32).collect()
}

fn turned(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    (0..rows * cols).map(|at| x[(at % rows) * cols + at / rows]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_shape_gives_the_plain_product(m in 1_usize..110, k in 1_usize..300, n in 1_usize..90) {
        let (a, b) = (noise(m * k, 1), noise(k * n, 2));
        let right = plain(&a, &b, (m, k, n));
        let mut out = vec![f32::NAN; m * n];
        MatMut::new(&mut out, m, n).set(Mat::new(&a, m, k), Mat::new(&b, k, n));
        for (x, y) in out.iter().zip(&right) {
            prop_assert!((x - y).abs() < 1e-4, "{x} is not {y}");
        }
        let (a_turned, b_turned) = (turned(&a, m, k), turned(&b, k, n));
        let mut again = vec![0.0; m * n];
        MatMut::new(&mut again, m, n).set(Mat::new(&a_turned, k, m).turned(), Mat::new(&b_turned, n, k).turned());
        prop_assert_eq!(again, out, "the way in which the cells lie changes no bit");
    }
}

#[test]
fn a_block_of_a_wider_matrix_leaves_its_neighbours_alone() {
    let (a, b) = (noise(2 * 3, 3), noise(3 * 2, 4));
    let mut out = vec![7.0; 2 * 5];
    MatMut::part(&mut out[1..], 2, 2, 5).set(Mat::new(&a, 2, 3), Mat::new(&b, 3, 2));
    let once = out.clone();
    MatMut::part(&mut out[1..], 2, 2, 5).add(Mat::new(&a, 2, 3), Mat::new(&b, 3, 2));
    for (at, (before, after)) in once.iter().zip(&out).enumerate() {
        let inside = (1..3).contains(&(at % 5));
        let wanted = if inside { 2.0 * before } else { 7.0 };
        assert!((after - wanted).abs() < 1e-6, "cell {at} is {after}, not {wanted}");
    }
}

#[test]
fn a_processor_without_a_vector_unit_computes_the_same_bits() {
    let (a, b) = (noise(50 * 70, 5), noise(70 * 40, 6));
    let (a, b) = (Mat::new(&a, 50, 70), Mat::new(&b, 70, 40));
    let mut found = vec![0.0; 50 * 40];
    MatMut::new(&mut found, 50, 40).set(a, b);
    let mut plain = vec![0.0; 50 * 40];
    let out = &mut MatMut::new(&mut plain, 50, 40);
    Scalar.vectorize(Add { a, b, out });
    assert_eq!(plain, found);
}
