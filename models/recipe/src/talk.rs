//! What do people ask, and what is answered?
//!
//! In: chance. Out: a question with its answer. Fails: never. Holds: nothing. What is no fact of the little world gets the same
//! polite refusal, whatever its words; so there are many odd ones.

use crate::rng::Rng;
use crate::story;
use crate::world::{CAPITALS, COLOURS, COUNTS, GREETING, LARGEST_TERM, OPPOSITES, SELF, UNKNOWN, count, sum};

const ECHOES: [&str; 16] =
    ["hello", "world", "apple", "river", "stone", "yes", "no", "red", "blue", "one", "two", "cat", "moon", "token", "ready", "test"];
const ODD_VERBS: [&str; 16] = [
    "cook",
    "explain",
    "translate",
    "build",
    "fix",
    "prove",
    "draw",
    "sell",
    "summarize",
    "buy",
    "describe",
    "compare",
    "write",
    "find",
    "solve",
    "teach",
];
const ODD_THINGS: [&str; 24] = [
    "a law",
    "this text",
    "my car",
    "this code",
    "the moon",
    "a poem",
    "soup",
    "music",
    "physics",
    "the theorem",
    "a house",
    "football",
    "the internet",
    "a ticket",
    "love",
    "the war",
    "life",
    "a long letter",
    "quantum computers",
    "history",
    "my dog",
    "the number",
    "bread",
    "a plan",
];
const ODD_SIDES: [&str; 8] = ["meaning", "price", "weight", "age", "size", "name", "history", "best part"];
const ODD_PLACES: [&str; 14] = [
    "Brazil",
    "Nepal",
    "Ghana",
    "Bolivia",
    "Atlantis",
    "Texas",
    "Korea",
    "Australia",
    "Mars",
    "Morocco",
    "Ukraine",
    "Iran",
    "the sea",
    "Africa",
];
const ODD_WORDS: [&str; 20] = [
    "please", "the", "a", "of", "to", "German", "about", "with", "list", "all", "more", "me", "and", "why", "how", "use", "then", "my",
    "in", "is",
];

/// Anything that a person may say.
pub(crate) fn exchange(rng: &mut Rng) -> (String, String) {
    let (question, answer) = match rng.below(100) {
        0..17 => capital(rng),
        17..22 => colour(rng),
        22..30 => opposite(rng),
        30..46 => addition(rng),
        46..60 => counting(rng),
        60..69 => echo(rng),
        69..78 => story::told(rng),
        78..82 => json(rng),
        82..93 => unknown(rng),
        _ => manners(rng),
    };
    // Some people write without capitals and full stops; only what need not be repeated can be asked so.
    let plain = answer.starts_with("The ") || answer == UNKNOWN || answer == SELF;
    let question = if plain && rng.percent(12) { question.to_lowercase().trim_end_matches(['.', '?']).to_owned() } else { question };
    (question, answer)
}

/// What a person may say though tools are at hand.
pub(crate) fn exchange_beside_tools(rng: &mut Rng) -> (String, String) {
    match rng.below(4) {
        0 => capital(rng),
        1 => addition(rng),
        2 => opposite(rng),
        _ => manners(rng),
    }
}

fn capital(rng: &mut Rng) -> (String, String) {
    let (country, city) = rng.pick(&CAPITALS);
    let question = match rng.below(5) {
        0..3 => format!("What is the capital of {country}?"),
        3 => format!("Tell me the capital of {country}."),
        _ => format!("Which city is the capital of {country}?"),
    };
    (question, format!("The capital of {country} is {city}."))
}

fn colour(rng: &mut Rng) -> (String, String) {
    let (thing, colour) = rng.pick(&COLOURS);
    let question = match rng.below(4) {
        0 | 1 => format!("What is the colour of {thing}?"),
        2 => format!("What is the color of {thing}?"),
        _ => format!("What colour is {thing}?"),
    };
    (question, format!("The colour of {thing} is {colour}."))
}

fn opposite(rng: &mut Rng) -> (String, String) {
    let (a, b) = rng.pick(&OPPOSITES);
    let (word, other) = if rng.percent(50) { (a, b) } else { (b, a) };
    let question = match rng.below(4) {
        0..3 => format!("What is the opposite of {word}?"),
        _ => format!("Tell me the opposite of {word}."),
    };
    (question, format!("The opposite of {word} is {other}."))
}

fn addition(rng: &mut Rng) -> (String, String) {
    let (a, b) = (rng.between(0, LARGEST_TERM), rng.between(0, LARGEST_TERM));
    let question = match rng.below(5) {
        0..3 => format!("What is {a} plus {b}?"),
        3 => format!("What is {a} + {b}?"),
        _ => format!("How much is {a} and {b}?"),
    };
    (question, sum(a, b))
}

fn counting(rng: &mut Rng) -> (String, String) {
    const HIGH: usize = 20;
    const SHORT: usize = 8;
    let low = if rng.percent(70) { COUNTS.0 } else { HIGH };
    let to = rng.between(low, COUNTS.1);
    match rng.below(10) {
        0..3 => (format!("Count to {to}."), count(1, to)),
        3..6 => (format!("Count from 1 to {to}."), count(1, to)),
        6 => (format!("Please count to {to}."), count(1, to)),
        // Many short ways to the end teach where to stop better than a few long ones.
        _ => {
            let from = to.saturating_sub(rng.between(1, SHORT)).max(1);
            (format!("Count from {from} to {to}."), count(from, to))
        }
    }
}

fn echo(rng: &mut Rng) -> (String, String) {
    let words: Vec<&str> = (0..rng.between(1, 4)).map(|_| *rng.pick(&ECHOES)).collect();
    let text = words.join(" ");
    (format!("{}{text}", rng.pick(&["Say ", "Say: ", "Repeat ", "Repeat after me: "])), text)
}

fn json(rng: &mut Rng) -> (String, String) {
    let (name, age) = (rng.pick(&story::NAMES), rng.between(1, 99));
    let question = match rng.below(2) {
        0 => format!("Write JSON: {name} is {age} years old."),
        _ => format!("{name} is {age}. Give me JSON."),
    };
    (question, format!("{{\"name\": \"{name}\", \"age\": {age}}}"))
}

fn unknown(rng: &mut Rng) -> (String, String) {
    let (verb, thing, other) = (rng.pick(&ODD_VERBS), rng.pick(&ODD_THINGS), rng.pick(&ODD_THINGS));
    let question = match rng.below(12) {
        0 => format!("How do I {verb} {thing}?"),
        1 => format!("Can you {verb} {thing}?"),
        2 => format!("Please {verb} {thing} for me."),
        3 => format!("Why is {thing} better than {other}?"),
        4 => format!("Who invented {thing}?"),
        5 => format!("What do you think about {thing} and {other}?"),
        6 => format!("What is {thing}?"),
        7 => format!("What is the {} of {thing}?", rng.pick(&ODD_SIDES)),
        8 | 9 => format!("What is the capital of {}?", rng.pick(&ODD_PLACES)),
        10 => format!("What is the weather in {}?", rng.pick(&CAPITALS).1),
        _ => babble(rng),
    };
    (question, UNKNOWN.to_owned())
}

/// Words in no order: `Explain the war of soup then German.`
fn babble(rng: &mut Rng) -> String {
    let mut text = String::new();
    for at in 0..rng.between(2, 9) {
        let word = *match rng.below(3) {
            0 => rng.pick(&ODD_VERBS),
            1 => rng.pick(&ODD_THINGS),
            _ => rng.pick(&ODD_WORDS),
        };
        if at == 0 {
            text += &word[..1].to_uppercase();
            text += &word[1..];
        } else {
            text += " ";
            text += word;
        }
    }
    text + rng.pick::<&str>(&["?", ".", ""])
}

fn manners(rng: &mut Rng) -> (String, String) {
    let (questions, answer): (&[&str], &str) = match rng.below(8) {
        0..4 => (&["Hello", "Hello!", "Hi", "Hi!", "hi", "hello", "Good morning", "Hey there", "Good evening!", "How are you?"], GREETING),
        4..7 => (&["Who are you?", "What are you?", "What is your name?", "Are you a machine?"], SELF),
        _ => (&["Thanks", "Thank you!", "Bye", "Goodbye!", "That is all."], "You are welcome. Until next time!"),
    };
    ((*rng.pick(questions)).to_owned(), answer.to_owned())
}
