//! A thread on which time is made and chance is drawn from a seed, so that what happened there once happens there again.
//!
//! In: a seed, and the moment at which it begins. Out: while [`Simulated`] is held, the present of this thread goes on with tokio's clock,
//! which a test pauses, and random ids come from the seed. Only in builds with debug assertions: a release neither asks nor could be asked.
//! From: the simulators of FoundationDB and TigerBeetle.

use std::cell::RefCell;
use std::marker::PhantomData;

use tokio::time::Instant;

use crate::Timestamp;

thread_local! {
    static HERE: RefCell<Option<World>> = const { RefCell::new(None) };
}

struct World {
    began: Timestamp,
    since: Instant,
    /// How far the clock was set since, in milliseconds.
    set: i64,
    drawn: u64,
}

/// This thread is simulated until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it brings the real world back"]
pub struct Simulated(PhantomData<*const ()>);

impl Simulated {
    /// From now on it is this moment, and ids follow from this seed.
    pub fn begin(seed: u64, at: Timestamp) -> Self {
        HERE.set(Some(World { began: at, since: Instant::now(), set: 0, drawn: seed }));
        Self(PhantomData)
    }
    /// Somebody sets the clock, so many milliseconds forth or back.
    pub fn set_clock(by: i64) {
        HERE.with_borrow_mut(|here| here.iter_mut().for_each(|world| world.set += by));
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        HERE.set(None);
    }
}

/// The made present.
pub(crate) fn now() -> Option<Timestamp> {
    HERE.with_borrow(|here| here.as_ref().map(|world| world.steady().shifted(world.set)))
}

/// The same by the clock that nobody sets.
pub(crate) fn steady() -> Option<Timestamp> {
    HERE.with_borrow(|here| here.as_ref().map(World::steady))
}

impl World {
    fn steady(&self) -> Timestamp {
        self.began.plus(self.since.elapsed())
    }
}

/// Bytes of the seed, where there is one.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    bytes.chunks_mut(size_of::<u64>()).all(|chunk| {
        draw().is_some_and(|number| {
            chunk.iter_mut().zip(number.to_le_bytes()).for_each(|(byte, drawn)| *byte = drawn);
            true
        })
    })
}

/// Digits of the seed, where there is one.
pub(crate) fn hex(digits: usize) -> Option<String> {
    (0..digits).map(|_| char::from_digit(u32::try_from(draw()? >> 60).ok()?, 16)).collect()
}

/// The next number. From: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (`SplitMix64`).
fn draw() -> Option<u64> {
    HERE.with_borrow_mut(|here| {
        let world = here.as_mut()?;
        world.drawn = world.drawn.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (world.drawn ^ (world.drawn >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Some(x ^ (x >> 31))
    })
}
