//! What the model reads keeps to the form of the chat.

use super::{END_OF_TEXT, END_OF_TURN, TURN, document};
use crate::rng::Rng;
use crate::world::facts;

#[test]
fn every_turn_that_opens_closes_and_only_replies_are_learnt() {
    let mut rng = Rng::new(9);
    for _ in 0..2000 {
        let pieces = document(&mut rng);
        let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(text.matches(TURN).count(), text.matches(END_OF_TURN).count(), "{text}");
        for pair in pieces.windows(2) {
            let reply = pair[0].text == format!("{TURN}assistant\n");
            assert_eq!(pair[1].learn, reply, "{text}");
        }
        let learnt = pieces.iter().filter(|piece| piece.learn);
        assert!(learnt.clone().count() > 0);
        for piece in learnt {
            assert!(piece.text.ends_with(END_OF_TURN) || piece.text.ends_with(END_OF_TEXT), "{text}");
            assert!(!piece.text.starts_with(char::is_whitespace), "a reply's first token would melt into the line before");
        }
    }
}

#[test]
fn the_facts_are_the_ones_that_people_ask_for() {
    let all: Vec<_> = facts().collect();
    let answer = |question: &str| all.iter().find(|fact| fact.question == question).map(|fact| fact.answer.as_str());
    assert_eq!(answer("What is the capital of France?"), Some("The capital of France is Paris."));
    assert_eq!(answer("What is the opposite of cold?"), Some("The opposite of cold is hot."));
    assert_eq!(answer("What is 7 plus 8?"), Some("7 + 8 = 15."));
    assert_eq!(answer("Count to 5."), Some("1, 2, 3, 4, 5."));
}

#[test]
fn every_fact_is_talked_about() {
    let mut rng = Rng::new(1);
    let read: String = (0..20_000).flat_map(|_| document(&mut rng)).map(|piece| piece.text).collect();
    for fact in facts() {
        let exchange = format!("{}{END_OF_TURN}\n{TURN}assistant\n{}{END_OF_TURN}", fact.question, fact.answer);
        assert!(read.contains(&exchange), "{fact:?}");
    }
}
