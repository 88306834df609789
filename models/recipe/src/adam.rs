//! How far does each weight move after a look at a batch?
//!
//! In: weights and their gradient. Out: weights that fit a little better. Fails: never. Holds: two moments for each weight.
//! From: Kingma and Ba 2014 (Adam), Loshchilov and Hutter 2017 (decoupled decay, cosine schedule), Pascanu et al. 2012
//! (a gradient that is too long is shortened).

use std::f64::consts::PI;

use crate::net::Net;

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.98;
const TINY: f32 = 1e-8;
const DECAY: f32 = 0.01;
const LONGEST: f64 = 1.0;
/// Steps over which the rate grows to its peak.
const WARM_UP: usize = 50;
/// The part of the peak at which the rate ends.
const FLOOR: f64 = 0.04;

/// The moments, and the powers of the betas that unbias them.
#[derive(Debug)]
pub(crate) struct Adam {
    first: Vec<f32>,
    second: Vec<f32>,
    power_1: f32,
    power_2: f32,
}

impl Adam {
    /// No moments yet, for so many weights.
    pub(crate) fn new(weights: usize) -> Self {
        Self { first: vec![0.0; weights], second: vec![0.0; weights], power_1: 1.0, power_2: 1.0 }
    }

    /// Moves every weight against its gradient.
    pub(crate) fn step(&mut self, net: &mut Net, grad: &[f32], rate: f32) {
        self.power_1 *= BETA_1;
        self.power_2 *= BETA_2;
        let shorten = shortening(grad);
        for slot in &net.slots {
            let decay = if slot.rows == 1 { 0.0 } else { DECAY };
            let span = slot.span.clone();
            let moments = self.first[span.clone()].iter_mut().zip(&mut self.second[span.clone()]);
            for ((weight, grad), (first, second)) in net.weights[span.clone()].iter_mut().zip(&grad[span]).zip(moments) {
                let grad = grad * shorten;
                *first = BETA_1 * *first + (1.0 - BETA_1) * grad;
                *second = BETA_2 * *second + (1.0 - BETA_2) * grad * grad;
                let mean = *first / (1.0 - self.power_1);
                let size = (*second / (1.0 - self.power_2)).sqrt() + TINY;
                *weight -= rate * (mean / size + decay * *weight);
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounded once")]
fn shortening(grad: &[f32]) -> f32 {
    let length = grad.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>().sqrt();
    if length > LONGEST { (LONGEST / length) as f32 } else { 1.0 }
}

/// The rate at a step: up in a line, then down along a cosine.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "rounded once from f64")]
pub(crate) fn rate(peak: f32, step: usize, steps: usize) -> f32 {
    let rise = (step as f64 / WARM_UP as f64).min(1.0);
    let fall = f64::midpoint(1.0, (PI * step as f64 / steps as f64).cos());
    (f64::from(peak) * rise * (FLOOR + (1.0 - FLOOR) * fall)) as f32
}
