//! How does the network learn? It reads, guesses what comes next, and is corrected.
//!
//! In: a plan with a seed. Out: a model; the same plan gives the same model to the last bit, whatever the machine and the number of
//! threads. Fails: on sizes that cannot be. Holds: the clock (for the report only) and some hundred MB of memory.
//! From: each batch is cut into a fixed number of shares whose gradients are added in a fixed order.

use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

use crate::adam::{Adam, rate};
use crate::bpe::Bpe;
use crate::error::Error;
use crate::layers::Rope;
use crate::model::{Model, check};
use crate::net::{Net, Sizes};
use crate::pass::{Batch, loss_and_gradient};
use crate::rng::Rng;
use crate::text::document;

/// Shares of a batch; never changed by the number of threads.
const SHARES: usize = 4;
/// Documents from which the vocabulary is learnt.
const SAMPLE: usize = 4000;
/// How much of the running loss a new one replaces.
const FORGET: f64 = 0.05;

/// What is trained, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How large.
    pub sizes: Sizes,
    /// Where chance starts.
    pub seed: u64,
    /// Batches.
    pub steps: usize,
    /// Texts in a batch.
    pub texts: usize,
    /// Tokens in a text.
    pub window: usize,
    /// The highest rate of learning.
    pub peak: f32,
    /// Threads; the result does not hang on them.
    pub threads: usize,
}

impl Plan {
    /// The plan of the model that stands beside this recipe.
    pub fn tiny() -> Self {
        Self {
            sizes: Sizes { vocab: 1024, dim: 128, layers: 4, heads: 4, kv_heads: 2, ffn: 352 },
            seed: 1,
            steps: 1250,
            texts: 16,
            window: 256,
            peak: 4e-3,
            threads: thread::available_parallelism().map_or(1, NonZero::get).min(SHARES),
        }
    }
}

/// How far the training is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The step that ended.
    pub step: usize,
    /// Of how many.
    pub steps: usize,
    /// The running loss, in nats for each token that is learnt.
    pub loss: f64,
    /// Since the start.
    pub elapsed: Duration,
    /// Until the end, if it goes on like this.
    pub left: Duration,
}

/// Trains a model; `watch` hears of every step.
pub fn train(plan: &Plan, watch: &mut dyn FnMut(&Progress)) -> Result<Model, Error> {
    check(&plan.sizes)?;
    if plan.texts == 0 || plan.window == 0 {
        return Err(Error::Shape("a batch needs texts, and a text needs tokens".to_owned()));
    }
    let start = Instant::now();
    let mut rng = Rng::new(plan.seed);
    let sample: Vec<String> = (0..SAMPLE).map(|_| document(&mut rng).into_iter().map(|piece| piece.text).collect()).collect();
    let bpe = Bpe::learn(&sample, plan.sizes.vocab);
    let rope = Rope::new(plan.sizes.head(), plan.window);
    let mut net = Net::random(plan.sizes, &mut rng);
    let mut adam = Adam::new(net.weights.len());
    let mut average = None;
    for step in 1..=plan.steps {
        let lesson = Lesson::draw(plan, &bpe, &mut rng);
        let (loss, grad) = lesson.study(plan, &net, &rope);
        adam.step(&mut net, &grad, rate(plan.peak, step, plan.steps));
        let average = *average.insert(average.map_or(loss, |old: f64| old + (loss - old) * FORGET));
        watch(&progress(step, plan.steps, average, start.elapsed()));
    }
    Ok(Model { net, bpe })
}

fn progress(step: usize, steps: usize, loss: f64, elapsed: Duration) -> Progress {
    let each = elapsed / u32::try_from(step).unwrap_or(u32::MAX);
    Progress { step, steps, loss, elapsed, left: each * u32::try_from(steps - step).unwrap_or(u32::MAX) }
}

/// One batch: tokens, what follows each, and how much each counts.
struct Lesson {
    tokens: Vec<u32>,
    targets: Vec<u32>,
    counts: Vec<f32>,
}

impl Lesson {
    fn draw(plan: &Plan, bpe: &Bpe, rng: &mut Rng) -> Self {
        let mut lesson = Self { tokens: Vec::new(), targets: Vec::new(), counts: Vec::new() };
        for _ in 0..plan.texts {
            let mut read: Vec<(u32, f32)> = Vec::with_capacity(2 * plan.window);
            while read.len() <= plan.window {
                for piece in document(rng) {
                    read.extend(weigh(&bpe.encode(&piece.text), piece.learn));
                }
            }
            for pair in read[..=plan.window].windows(2) {
                lesson.tokens.push(pair[0].0);
                lesson.targets.push(pair[1].0);
                lesson.counts.push(pair[1].1);
            }
        }
        let total: f32 = lesson.counts.iter().sum();
        for count in &mut lesson.counts {
            *count /= total.max(1.0);
        }
        lesson
    }

    /// The mean loss and its gradient.
    fn study(&self, plan: &Plan, net: &Net, rope: &Rope) -> (f64, Vec<f32>) {
        let share = plan.texts.div_ceil(SHARES) * plan.window;
        let shares: Vec<Batch<'_>> = self
            .tokens
            .chunks(share)
            .zip(self.targets.chunks(share))
            .zip(self.counts.chunks(share))
            .map(|((tokens, targets), counts)| Batch { tokens, targets, counts, window: plan.window })
            .collect();
        let each = shares.len().div_ceil(plan.threads.max(1));
        let studied: Vec<(f64, Vec<f32>)> = thread::scope(|scope| {
            let work = |batches: &[Batch<'_>]| batches.iter().map(|batch| loss_and_gradient(net, rope, *batch)).collect();
            let threads: Vec<_> = shares.chunks(each).map(|batches| scope.spawn(move || -> Vec<_> { work(batches) })).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let mut sum = (0.0, vec![0.0; net.weights.len()]);
        for (loss, grad) in studied {
            sum.0 += loss;
            crate::layers::add(&mut sum.1, &grad);
        }
        sum
    }
}

/// What a piece's tokens count: nothing where it is only read, more where a reply ends, for it ends only once.
fn weigh(ids: &[u32], learn: bool) -> impl Iterator<Item = (u32, f32)> {
    const ENDING: usize = 2;
    const ENDING_COUNTS: f32 = 4.0;
    let ending = ids.len().saturating_sub(ENDING);
    ids.iter().enumerate().map(move |(at, id)| match (learn, at < ending) {
        (false, _) => (*id, 0.0),
        (true, true) => (*id, 1.0),
        (true, false) => (*id, ENDING_COUNTS),
    })
}

#[cfg(test)]
mod tests;
