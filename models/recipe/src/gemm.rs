//! How do two matrices become their product, fast and to the same last bit on every machine?
//!
//! In: two strided views. Out: the product, stored into or added to a third. Fails: never; views that do
//! not fit together are a defect of the caller. Holds: nothing. From: Goto and van de Geijn, "Anatomy of
//! High-Performance Matrix Multiplication" (panels that fit the caches, one small kernel in registers).
//!
//! Every sum runs in the order of `k` with one fused multiply-add per term. A fused multiply-add is rounded
//! once by definition, so the width of the vector unit never shows in the result; a processor without
//! one computes the same bits in software, slowly.

use pulp::{Arch, Simd, WithSimd};

/// Rows of the register tile.
const TILE_ROWS: usize = 6;
/// Columns of the register tile: two vectors of eight.
const TILE_COLS: usize = 16;
/// Rows of a packed panel of the left matrix.
const PANEL_ROWS: usize = 96;
/// Depth of a panel.
const PANEL_DEPTH: usize = 256;
/// Columns of a packed panel of the right matrix.
const PANEL_COLS: usize = 512;

/// A matrix that is read: element (r, c) stands at `r * row_step + c * col_step`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mat<'a> {
    cells: &'a [f32],
    rows: usize,
    cols: usize,
    row_step: usize,
    col_step: usize,
}

/// A matrix that is written, row after row, `row_step` apart.
#[derive(Debug)]
pub(crate) struct MatMut<'a> {
    cells: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_step: usize,
}

impl<'a> Mat<'a> {
    /// A matrix whose rows follow each other without a gap.
    pub(crate) fn new(cells: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::part(cells, rows, cols, cols)
    }
    /// A block of a wider matrix; `cells` starts at its first element.
    pub(crate) fn part(cells: &'a [f32], rows: usize, cols: usize, row_step: usize) -> Self {
        Self { cells, rows, cols, row_step, col_step: 1 }
    }
    /// The same cells, turned.
    pub(crate) fn turned(self) -> Self {
        Self { cells: self.cells, rows: self.cols, cols: self.rows, row_step: self.col_step, col_step: self.row_step }
    }
}

impl<'a> MatMut<'a> {
    /// A matrix whose rows follow each other without a gap.
    pub(crate) fn new(cells: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::part(cells, rows, cols, cols)
    }
    /// A block of a wider matrix; `cells` starts at its first element.
    pub(crate) fn part(cells: &'a mut [f32], rows: usize, cols: usize, row_step: usize) -> Self {
        Self { cells, rows, cols, row_step }
    }
    /// Stores `a * b`.
    pub(crate) fn set(&mut self, a: Mat<'_>, b: Mat<'_>) {
        for row in 0..self.rows {
            self.cells[row * self.row_step..][..self.cols].fill(0.0);
        }
        self.add(a, b);
    }
    /// Adds `a * b`.
    pub(crate) fn add(&mut self, a: Mat<'_>, b: Mat<'_>) {
        debug_assert!(a.rows == self.rows && b.cols == self.cols && a.cols == b.rows, "matrices do not fit together");
        Arch::new().dispatch(Add { a, b, out: self });
    }
}

struct Add<'a, 'o> {
    a: Mat<'a>,
    b: Mat<'a>,
    out: &'a mut MatMut<'o>,
}

impl WithSimd for Add<'_, '_> {
    type Output = ();
    #[expect(clippy::inline_always, reason = "as below")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        add_panels(self.a, self.b, self.out);
    }
}

#[expect(clippy::inline_always, reason = "it must be compiled inside the dispatched closure to get the vector unit")]
#[inline(always)]
fn add_panels(a: Mat<'_>, b: Mat<'_>, out: &mut MatMut<'_>) {
    let depth_max = PANEL_DEPTH.min(a.cols);
    let mut left = vec![0.0; PANEL_ROWS.min(a.rows.next_multiple_of(TILE_ROWS)) * depth_max];
    let mut right = vec![0.0; PANEL_COLS.min(b.cols.next_multiple_of(TILE_COLS)) * depth_max];
    for col in (0..b.cols).step_by(PANEL_COLS) {
        let cols = PANEL_COLS.min(b.cols - col);
        for deep in (0..a.cols).step_by(PANEL_DEPTH) {
            let depth = PANEL_DEPTH.min(a.cols - deep);
            pack::<TILE_COLS>(b.turned(), (col, cols), (deep, depth), &mut right);
            for row in (0..a.rows).step_by(PANEL_ROWS) {
                let rows = PANEL_ROWS.min(a.rows - row);
                pack::<TILE_ROWS>(a, (row, rows), (deep, depth), &mut left);
                for (i, strip) in left.chunks_exact(depth * TILE_ROWS).take(rows.div_ceil(TILE_ROWS)).enumerate() {
                    for (j, band) in right.chunks_exact(depth * TILE_COLS).take(cols.div_ceil(TILE_COLS)).enumerate() {
                        let tile = multiply(strip, band);
                        out.add_tile(&tile, row + i * TILE_ROWS, col + j * TILE_COLS);
                    }
                }
            }
        }
    }
}

impl MatMut<'_> {
    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn add_tile(&mut self, tile: &[[f32; TILE_COLS]; TILE_ROWS], row: usize, col: usize) {
        let cols = TILE_COLS.min(self.cols - col);
        for (line, r) in tile.iter().zip(row..self.rows) {
            let cells = &mut self.cells[r * self.row_step + col..][..cols];
            for (cell, term) in cells.iter_mut().zip(line) {
                *cell += term;
            }
        }
    }
}

/// Lays strips of `N` rows so that the kernel reads them from front to back; missing rows become zeros.
#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn pack<const N: usize>(m: Mat<'_>, (row, rows): (usize, usize), (deep, depth): (usize, usize), to: &mut [f32]) {
    for (s, strip) in to.chunks_exact_mut(depth * N).take(rows.div_ceil(N)).enumerate() {
        let first = row + s * N;
        let live = N.min(row + rows - first);
        if live < N {
            strip.fill(0.0);
        }
        let base = first * m.row_step + deep * m.col_step;
        if m.col_step == 1 {
            for i in 0..live {
                let line = &m.cells[base + i * m.row_step..][..depth];
                for (slots, cell) in strip.as_chunks_mut::<N>().0.iter_mut().zip(line) {
                    slots[i] = *cell;
                }
            }
        } else {
            for (k, slots) in strip.as_chunks_mut::<N>().0.iter_mut().enumerate() {
                let line = &m.cells[base + k * m.col_step..];
                for (i, slot) in slots.iter_mut().take(live).enumerate() {
                    *slot = line[i * m.row_step];
                }
            }
        }
    }
}

#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn multiply(strip: &[f32], band: &[f32]) -> [[f32; TILE_COLS]; TILE_ROWS] {
    // With indices the tile stays in registers: twenty times as fast as with iterators.
    let mut tile = [[0.0_f32; TILE_COLS]; TILE_ROWS];
    for (a, b) in strip.as_chunks::<TILE_ROWS>().0.iter().zip(band.as_chunks::<TILE_COLS>().0) {
        for i in 0..TILE_ROWS {
            for j in 0..TILE_COLS {
                tile[i][j] = a[i].mul_add(b[j], tile[i][j]);
            }
        }
    }
    tile
}

#[cfg(test)]
mod tests;
