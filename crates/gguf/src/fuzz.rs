//! Throws damaged files at the reader: does it ever panic, or hold more than it was given?
//!
//! In: a seed, how long, and valid files to damage. Out: a [`Report`]. Fails: never itself; what it
//! finds stands in the report, with the bytes that show it. Holds: one core for as long as it was
//! told. From: mutational fuzzing as in AFL (bit flips, interesting numbers, truncation, splices).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::cache::{Cache, KvType};
use crate::sample::Sample;
use crate::{Error, File, parse, parse_vocabulary};

/// How long to go on.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// So many files.
    Executions(u64),
    /// So long.
    Elapsed(Duration),
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Files tried.
    pub executions: u64,
    /// Of these, taken as valid.
    pub accepted: u64,
    /// Of these, refused with an error.
    pub refused: u64,
    /// The first file that broke a rule; the run ends with it.
    pub failure: Option<Failure>,
}

/// A file that broke a rule.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which rule.
    pub rule: Rule,
    /// The file.
    pub bytes: Vec<u8>,
    /// The length that was claimed for it.
    pub file_len: u64,
}

/// What must hold for every file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It panicked.
    NoPanic,
    /// What was kept in memory is more than [`HELD_FACTOR`] times what was read.
    Bounded,
}

/// A kept value is at most this many times as large as its bytes in the file: an empty tensor name
/// and shape takes 24 bytes there and a `Tensor` here.
pub const HELD_FACTOR: usize = 8;

/// Damages of one file at most.
const DAMAGES: u64 = 8;

/// Damages the built-in samples `executions` times.
pub fn run(seed: u64, executions: u64) -> Report {
    run_on(&samples(), seed, Until::Executions(executions))
}

/// Damages these files (each with the length of the whole) until told to end.
pub fn run_on(files: &[(Vec<u8>, u64)], seed: u64, until: Until) -> Report {
    let mut dice = Dice(seed);
    let mut report = Report::default();
    let begin = Instant::now();
    while report.failure.is_none() && goes_on(until, report.executions, begin) {
        let Some((bytes, file_len)) = dice.pick(files).cloned() else {
            break;
        };
        let other = dice.pick(files).map_or(&[][..], |(bytes, _)| bytes);
        let bytes = damage(&mut dice, bytes, other);
        let file_len = if dice.below(4) == 0 { bytes.len() as u64 } else { file_len };
        report.executions += 1;
        match check(&bytes, file_len) {
            Ok(true) => report.accepted += 1,
            Ok(false) => report.refused += 1,
            Err(rule) => report.failure = Some(Failure { rule, bytes, file_len }),
        }
    }
    report
}

/// Reads a file in every way there is: whether it was taken, or which rule it broke.
pub fn check(bytes: &[u8], file_len: u64) -> Result<bool, Rule> {
    let read = catch_unwind(AssertUnwindSafe(|| {
        let file = parse(bytes, file_len);
        let _: Result<_, Error> = parse_vocabulary(bytes, file_len);
        file.ok().inspect(ask_everything)
    }));
    match read {
        Err(_) => Err(Rule::NoPanic),
        Ok(Some(file)) if file.held_bytes() > bytes.len().saturating_mul(HELD_FACTOR) => Err(Rule::Bounded),
        Ok(file) => Ok(file.is_some()),
    }
}

/// The built-in samples.
pub fn samples() -> Vec<(Vec<u8>, u64)> {
    let hybrid = Sample::of("jamba")
        .number("jamba.block_count", 3)
        .number("jamba.embedding_length", 64)
        .number("jamba.ssm.inner_size", 128)
        .number("jamba.ssm.state_size", 16)
        .number("jamba.attention.head_count", 4)
        .numbers("jamba.attention.head_count_kv", &[0, 4, 0])
        .flag("tokenizer.ggml.add_bos_token", true);
    let sliding = Sample::of("gemma3")
        .number("gemma3.block_count", 12)
        .number("gemma3.attention.head_count", 8)
        .number("gemma3.attention.key_length", 256)
        .number("gemma3.attention.sliding_window", 512)
        .number("general.alignment", 64);
    [Sample::llama(), hybrid, sliding, Sample::of("llama")].iter().map(|sample| (sample.header(), sample.file_len())).collect()
}

fn ask_everything(file: &File) {
    let largest = Cache { context_tokens: u64::MAX, slots: u64::MAX, batch_tokens: u64::MAX, ..Cache::of(0) };
    let numbers = [
        file.cache_bytes(&largest),
        file.kv_cache_bytes(4096, KvType::Q8_0, KvType::F32),
        file.parameter_count(),
        file.tensor_bytes(),
        file.split_count(),
        file.vocabulary_size().unwrap_or(0),
    ];
    std::hint::black_box((numbers, file.quantisation(), file.experts(), file.name(), file.feed_forward_length()));
}

fn goes_on(until: Until, executions: u64, begin: Instant) -> bool {
    match until {
        Until::Executions(most) => executions < most,
        Until::Elapsed(most) => begin.elapsed() < most,
    }
}

/// Numbers at which programs break.
const INTERESTING: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_fff0,
    u64::MAX,
];

fn damage(dice: &mut Dice, mut bytes: Vec<u8>, other: &[u8]) -> Vec<u8> {
    for _ in 0..=dice.below(DAMAGES) {
        let at = dice.index(bytes.len());
        match dice.below(6) {
            0 => flip(&mut bytes, at, dice.below(8)),
            1 => overwrite(&mut bytes, at, &[dice.next().to_le_bytes()[0]]),
            2 => {
                let number = dice.pick(&INTERESTING).copied().unwrap_or(0).to_le_bytes();
                let width = if dice.below(2) == 0 { 4 } else { 8 };
                overwrite(&mut bytes, at, &number[..width]);
            }
            3 => bytes.truncate(at),
            4 => splice(&mut bytes, at, other, dice),
            _ => {
                let end = at + dice.index(bytes.len() - at);
                bytes.drain(at..end);
            }
        }
    }
    bytes
}

fn flip(bytes: &mut [u8], at: usize, bit: u64) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << bit;
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(with) {
        *to = *from;
    }
}

fn splice(bytes: &mut Vec<u8>, at: usize, other: &[u8], dice: &mut Dice) {
    let from = dice.index(other.len());
    bytes.truncate(at);
    bytes.extend(&other[from..]);
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }
    /// An index into something of this length; 0 when it is empty.
    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }
    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.index(from.len()))
    }
}
