//! Words, tokens and back.

use proptest::prelude::*;

use super::{Bpe, visible, words};
use crate::rng::Rng;
use crate::text::{SPECIAL, document};

fn learnt() -> Bpe {
    let mut rng = Rng::new(2);
    let sample: Vec<String> = (0..300).map(|_| document(&mut rng).into_iter().map(|piece| piece.text).collect()).collect();
    Bpe::learn(&sample, 600)
}

#[test]
fn text_is_cut_where_gpt_2_cuts_it() {
    let cases = [
        ("Hello world", vec!["Hello", " world"]),
        ("I'm 12, he's 7.", vec!["I", "'m", " 12", ",", " he", "'s", " 7", "."]),
        ("a  b", vec!["a", " ", " b"]),
        ("a\n\nb", vec!["a", "\n", "\n", "b"]),
        ("{\"name\": 1}", vec!["{\"", "name", "\":", " 1", "}"]),
        ("end  \n", vec!["end", "  \n"]),
        ("été 2x", vec!["été", " 2", "x"]),
    ];
    for (text, right) in cases {
        assert_eq!(words(text), right, "{text:?}");
    }
}

#[test]
fn special_tokens_are_one_token_each_and_last() {
    let bpe = learnt();
    assert_eq!(bpe.encode("<|im_start|><|im_end|><|endoftext|>"), [598, 599, 597]);
    assert_eq!(bpe.spelled().len(), 600);
    assert_eq!(bpe.spelled()[597].0, SPECIAL[0]);
}

#[test]
fn common_words_become_few_tokens() {
    let tokens = learnt().encode("What is the capital of France?").len();
    assert!(tokens <= 12, "{tokens} tokens for thirty bytes");
}

#[test]
fn merges_are_all_that_a_file_needs() {
    let bpe = learnt();
    let merges = bpe.spelled_merges();
    let again = Bpe::from_merges(merges.iter().map(String::as_str), 600).unwrap();
    assert_eq!(again.spelled(), bpe.spelled());
    assert!(Bpe::from_merges(["no such"].into_iter(), 600).is_none());
}

#[test]
fn a_space_is_spelled_as_gpt_2_spells_it() {
    assert_eq!(visible(b" a\n~"), "\u{120}a\u{10a}~");
}

proptest! {
    #[test]
    fn any_text_comes_back(text in "[^<]*") {
        let bpe = learnt();
        let bytes: Vec<u8> = bpe.encode(&text).iter().flat_map(|id| bpe.bytes(*id).to_vec()).collect();
        prop_assert_eq!(bytes, text.as_bytes());
    }
}
