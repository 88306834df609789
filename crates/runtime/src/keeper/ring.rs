//! The last lines of a log, within so many bytes.
//!
//! In: bytes as they come from a pipe. Out: whole lines by their number; the first line ever has
//! number 0. Fails: never; a line that is too long is cut between two characters, and the oldest lines leave first.

use std::collections::VecDeque;

/// A longer line is cut here.
pub(super) const LONGEST_LINE: usize = 4096;
/// What a line costs beside its bytes: its pointer and what the allocator adds.
const LINE_COST: usize = 32;
const CUT: &[u8] = b" [cut]";

/// The lines that are kept.
#[derive(Debug)]
pub(super) struct Ring {
    lines: VecDeque<Box<[u8]>>,
    first: u64,
    held: usize,
    most: usize,
    partial: Vec<u8>,
    cutting: bool,
}

impl Ring {
    /// Keeps at most `most` bytes, but always room for one line.
    pub(super) fn new(most: u64) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX).max(LONGEST_LINE + CUT.len() + LINE_COST + 1);
        Self { lines: VecDeque::new(), first: 0, held: 0, most, partial: Vec::new(), cutting: false }
    }
    /// Takes what the engine wrote.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..at]);
            self.end_line();
            bytes = &bytes[at + 1..];
        }
        self.extend(bytes);
    }
    /// Takes a last line that has no end.
    pub(super) fn close(&mut self) {
        if !self.partial.is_empty() {
            self.end_line();
        }
    }
    /// The number of the oldest line that is kept.
    pub(super) fn first(&self) -> u64 {
        self.first
    }
    /// How many lines there have been; the number of the next one.
    pub(super) fn total(&self) -> u64 {
        self.first + self.lines.len() as u64
    }
    /// The line with this number and its end.
    pub(super) fn line(&self, number: u64) -> Option<&[u8]> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.lines.get(index).map(AsRef::as_ref)
    }
    /// The last lines as text, without their ends.
    pub(super) fn last(&self, count: usize) -> Vec<String> {
        let skip = self.lines.len().saturating_sub(count);
        self.lines.iter().skip(skip).map(|line| String::from_utf8_lossy(line).trim_end().to_owned()).collect()
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.cutting {
            return;
        }
        let room = LONGEST_LINE - self.partial.len();
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            let begun = self.partial.utf8_chunks().last().map_or(0, |chunk| chunk.invalid().len());
            self.partial.truncate(self.partial.len() - begun);
            self.partial.extend_from_slice(CUT);
            self.cutting = true;
        }
    }

    fn end_line(&mut self) {
        self.cutting = false;
        self.partial.push(b'\n');
        let line: Box<[u8]> = self.partial.as_slice().into();
        self.partial.clear();
        self.held += line.len() + LINE_COST;
        self.lines.push_back(line);
        while self.held > self.most
            && let Some(oldest) = self.lines.pop_front()
        {
            self.held -= oldest.len() + LINE_COST;
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(ring: &Ring) -> Vec<u8> {
        (ring.first()..ring.total()).filter_map(|number| ring.line(number)).flatten().copied().collect()
    }

    #[test]
    fn lines_come_out_whole_however_the_pipe_cuts_them() {
        let text = b"one\n\ntwo and more\r\nlast without an end";
        for size in 1..text.len() {
            let mut ring = Ring::new(1 << 20);
            for piece in text.chunks(size) {
                ring.take(piece);
            }
            assert_eq!(ring.total(), 3, "the last line is not yet whole");
            ring.close();
            ring.close();
            assert_eq!(ring.last(9), ["one", "", "two and more", "last without an end"], "in pieces of {size}");
        }
    }

    #[test]
    fn the_oldest_lines_leave_and_numbers_go_on() {
        let mut ring = Ring::new(10_000);
        for number in 0..5_000 {
            ring.take(format!("line {number}\n").as_bytes());
        }
        assert_eq!(ring.total(), 5_000);
        assert!(ring.first() > 4_000 && ring.held <= 10_000, "{} {}", ring.first(), ring.held);
        assert_eq!(ring.last(1), ["line 4999"]);
        assert_eq!(ring.line(ring.first() - 1), None);
        assert_eq!(ring.line(5_000), None);
    }

    #[test]
    fn a_line_without_end_costs_no_more_than_the_longest_line() {
        let mut ring = Ring::new(0);
        for _ in 0..1_000 {
            ring.take(&[b'x'; 1_000]);
        }
        assert!(ring.partial.capacity() < 3 * LONGEST_LINE);
        ring.take(b"\nnext\n");
        assert_eq!(ring.total(), 2);
        let text = String::from_utf8(all(&ring)).unwrap();
        assert!(text.ends_with("next\n"), "{text}");
    }

    #[test]
    fn a_cut_line_says_so_and_one_that_just_fits_does_not() {
        let mut ring = Ring::new(1 << 20);
        ring.take(&[b'a'; LONGEST_LINE]);
        ring.take(b"\n");
        ring.take(&[b'b'; LONGEST_LINE + 1]);
        ring.take(b"\n");
        assert_eq!(ring.line(0).unwrap().len(), LONGEST_LINE + 1);
        assert!(ring.line(1).unwrap().ends_with(b"b [cut]\n"));
    }

    #[test]
    fn no_character_is_cut_in_two() {
        for (first, size) in [("", 1), ("x", 2), ("xx", 3), ("xxx", 4)] {
            let mut ring = Ring::new(1 << 20);
            let text = format!("{first}{}\n", "\u{1f989}".repeat(LONGEST_LINE));
            for piece in text.as_bytes().chunks(size) {
                ring.take(piece);
            }
            let line = std::str::from_utf8(ring.line(0).unwrap()).unwrap();
            let owls = (LONGEST_LINE - first.len()) / "\u{1f989}".len();
            assert_eq!(line, format!("{first}{} [cut]\n", "\u{1f989}".repeat(owls)));
        }
    }
}
