//! What is remembered of prompts, and that it never takes more than it may.

use proptest::prelude::*;

use super::{BLOCK, Chain, MOST_BYTES, Memory};

fn prompt(seed: u8, blocks: usize) -> Vec<u8> {
    (0..blocks * BLOCK).map(|i| seed.wrapping_add(u8::try_from(i % 251).unwrap())).collect()
}

fn who(memory: &Memory, prompt: &[u8]) -> Vec<u16> {
    memory.recall(&Chain::of(prompt)).members().collect()
}

#[test]
fn the_member_that_read_most_of_a_prompt_is_told_first() {
    let mut memory = Memory::new(MOST_BYTES);
    let talk = prompt(1, 8);
    memory.learn(&Chain::of(&talk[..5 * BLOCK]), 3);
    memory.learn(&Chain::of(&talk), 7);
    assert_eq!(who(&memory, &talk), [7, 3]);
    let longer = [talk.clone(), prompt(9, 4)].concat();
    assert_eq!(who(&memory, &longer), [7], "the other one knows less than half of it");
    assert_eq!(who(&memory, &prompt(2, 8)), [0_u16; 0], "nobody knows this one");
    assert_eq!(who(&memory, b"short"), [0_u16; 0]);
    let (same_later, mut other_start) = (talk.clone(), talk);
    other_start[0] ^= 1;
    assert_eq!(who(&memory, &other_start), [0_u16; 0], "a block stands for all before it");
    assert!(!who(&memory, &same_later).is_empty());
}

#[test]
fn the_last_two_readers_of_a_block_are_remembered() {
    let mut memory = Memory::new(MOST_BYTES);
    let chain = Chain::of(&prompt(1, 2));
    for reader in [0, 1, 1, 2] {
        memory.learn(&chain, reader);
    }
    let mut known: Vec<u16> = memory.recall(&chain).members().collect();
    known.sort_unstable();
    assert_eq!(known, [1, 2]);
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let mut memory = Memory::new(1 << 10); // 64 places
    let kept = prompt(0, 1);
    for seed in 1..=255 {
        memory.learn(&Chain::of(&kept), 9);
        memory.learn(&Chain::of(&prompt(seed, 1)), 1);
    }
    assert_eq!(who(&memory, &kept), [9]);
    assert_eq!(who(&memory, &prompt(255, 1)), [1]);
    assert!(who(&memory, &prompt(1, 1)).is_empty());
}

#[test]
fn no_memory_is_taken_before_there_is_something_to_remember() {
    let mut memory = Memory::new(MOST_BYTES);
    memory.learn(&Chain::of(b"less than a block"), 1);
    assert_eq!(memory.bytes(), 0);
    memory.learn(&Chain::of(&prompt(1, 1)), 1);
    assert_eq!(memory.bytes(), MOST_BYTES);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))] // four megabytes of blocks each

    #[test]
    fn it_never_takes_more_bytes_than_it_may(
        most in 0_usize..40_000,
        prompts in proptest::collection::vec((any::<u8>(), 0_usize..200, any::<u16>()), 1..40),
    ) {
        let mut memory = Memory::new(most);
        for (seed, blocks, reader) in prompts {
            let chain = Chain::of(&prompt(seed, blocks));
            memory.learn(&chain, reader);
            prop_assert!(memory.bytes() <= most, "{} of {most}", memory.bytes());
            prop_assert!(memory.recall(&chain).members().count() <= 4);
        }
    }
}
