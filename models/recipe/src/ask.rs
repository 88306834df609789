//! What does the model answer? The plainest way to ask it, without an engine.
//!
//! In: a model and a question. Out: its most likely answer. Fails: never. Holds: nothing. It computes every token anew, so it is for tests
//! and for a look, not for service.

use crate::layers::Rope;
use crate::model::Model;
use crate::pass::scores;
use crate::text::{reply_start, turn};

/// The longest answer, in tokens.
const LONGEST: usize = 256;
/// The place of the token that ends a turn among the special ones.
const END_OF_TURN: usize = 2;

impl Model {
    /// The answer to one question, at temperature 0.
    pub fn answer(&self, question: &str) -> String {
        let mut tokens = self.bpe.encode(&(turn("user", question).text + &reply_start().text));
        let rope = Rope::new(self.net.sizes.head(), tokens.len() + LONGEST);
        let mut answer = Vec::new();
        for _ in 0..LONGEST {
            let scores = scores(&self.net, &rope, &tokens);
            let best = (0_u32..).zip(scores).max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(id, _)| id);
            if best == self.bpe.special(END_OF_TURN) {
                break;
            }
            answer.extend_from_slice(self.bpe.bytes(best));
            tokens.push(best);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}
