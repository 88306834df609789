//! What does it cost to scan a body and splice it?
//!
//! In: nothing. Out: for each size the CPU milliseconds of one scan and splice, the best of many. Fails: when the room's
//! own scan refuses the body.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use wire::scan;
use wire::splice::{self, Edit};

use crate::script;

/// 1 KB, 100 KB, 1 MB, 16 MiB.
pub(crate) const SIZES: [usize; 4] = [1_000, 100_000, 1_000_000, 16 << 20];
const TRIES: u32 = 30;
const MS_PER_SEC: f64 = 1e3;

/// One size.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    bytes: usize,
    scan_ms: f64,
    splice_ms: f64,
}

/// All sizes.
pub(crate) fn all() -> Result<Vec<Cost>> {
    SIZES.iter().map(|bytes| one(*bytes)).collect()
}

fn one(bytes: usize) -> Result<Cost> {
    let body = bytes::Bytes::from(script::chat("bench", false, bytes));
    let (mut scan_ms, mut splice_ms) = (f64::MAX, f64::MAX);
    for _ in 0..TRIES {
        let begun = Instant::now();
        let scan = scan::object(&body)?;
        scan_ms = scan_ms.min(begun.elapsed().as_secs_f64() * MS_PER_SEC);
        let begun = Instant::now();
        let segments = splice::apply(&body, &scan, &[Edit::text("model", script::MODEL)]);
        splice_ms = splice_ms.min(begun.elapsed().as_secs_f64() * MS_PER_SEC);
        anyhow::ensure!(std::hint::black_box(segments).len() > 1, "nothing was spliced");
    }
    Ok(Cost { bytes: body.len(), scan_ms, splice_ms })
}
