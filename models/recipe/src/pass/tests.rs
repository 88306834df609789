//! The way back against small steps forward.

use super::{Batch, loss_and_gradient, scores};
use crate::layers::Rope;
use crate::net::{Net, Sizes};
use crate::rng::Rng;

const SIZES: Sizes = Sizes { vocab: 13, dim: 16, layers: 2, heads: 4, kv_heads: 2, ffn: 20 };
/// Longer than one block of attention.
const WINDOW: usize = 70;
const STEP: f32 = 1e-3;

#[test]
fn every_gradient_is_the_slope_that_small_steps_measure() {
    let mut rng = Rng::new(5);
    let mut net = Net::random(SIZES, &mut rng);
    for weight in &mut net.weights {
        *weight += rng.normal() * 0.2;
    }
    let tokens: Vec<u32> = (0..2 * WINDOW).map(|_| u32::try_from(rng.below(SIZES.vocab)).unwrap()).collect();
    let targets: Vec<u32> = tokens.iter().map(|token| (token * 5 + 3) % 13).collect();
    let counts: Vec<f32> = (0..tokens.len()).map(|at| if at % 3 == 0 { 0.0 } else { 0.01 }).collect();
    let batch = Batch { tokens: &tokens, targets: &targets, counts: &counts, window: WINDOW };
    let rope = Rope::new(SIZES.head(), WINDOW);
    let (_, grad) = loss_and_gradient(&net, &rope, batch);

    for slot in net.slots.clone() {
        let way: Vec<f32> = slot.span.clone().map(|_| rng.normal()).collect();
        let loss_at = |distance: f32| {
            let mut moved = net.clone();
            for (weight, way) in moved.weights[slot.span.clone()].iter_mut().zip(&way) {
                *weight += way * distance;
            }
            loss_and_gradient(&moved, &rope, batch).0
        };
        let measured = (loss_at(STEP) - loss_at(-STEP)) / (2.0 * f64::from(STEP));
        let computed: f64 = grad[slot.span.clone()].iter().zip(&way).map(|(g, w)| f64::from(g * w)).sum();
        assert!((measured - computed).abs() < 0.01 * measured.abs() + 2e-3, "{}: {measured} measured, {computed} computed", slot.name);
        assert!(measured.abs() > 1e-3, "{} plays no part", slot.name);
    }
}

#[test]
fn what_comes_later_changes_no_score() {
    let mut rng = Rng::new(6);
    let net = Net::random(SIZES, &mut rng);
    let rope = Rope::new(SIZES.head(), WINDOW);
    let long: Vec<u32> = (0..66).map(|at| at % 13).collect();
    let counts = [1.0; 66];
    let loss_of = |tokens: &[u32], counted: usize| {
        let mut only = vec![0.0; tokens.len()];
        only[counted] = counts[counted];
        loss_and_gradient(&net, &rope, Batch { tokens, targets: &long[..tokens.len()], counts: &only, window: tokens.len() }).0
    };
    assert!((loss_of(&long, 3) - loss_of(&long[..4], 3)).abs() < 1e-6);
    let last = scores(&net, &rope, &long[..4]);
    assert_eq!(last.len(), SIZES.vocab);
    assert_ne!(last, scores(&net, &rope, &long[..5]));
}
