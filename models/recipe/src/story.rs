//! How does a story come about? A hero, a loss, a search, an end.
//!
//! In: chance. Out: eighty to a hundred tokens of prose. Fails: never. Holds: nothing.

use crate::rng::Rng;

/// The heroes' names.
pub(crate) const NAMES: [&str; 10] = ["Tom", "Lena", "Hugo", "Ida", "Sam", "Vera", "Paul", "Rosa", "Emil", "Clara"];

const HEROES: [&str; 10] = ["miller", "sailor", "baker", "fox", "hen", "goat", "tailor", "giant", "dragon", "robot"];
const WAYS: [&str; 8] = ["shy", "bold", "lazy", "merry", "stubborn", "poor", "lucky", "careful"];
const PLACES: [&str; 8] = ["valley", "old mill", "island", "market", "lighthouse", "meadow", "harbour", "deep wood"];
const THINGS: [&str; 8] = ["silver coin", "red boat", "warm coat", "golden key", "big drum", "paper kite", "blue jug", "little bell"];
const FRIENDS: [&str; 6] = ["an old woman", "a talking crow", "a tired soldier", "a young fisherman", "a white horse", "a singing frog"];
const TIMES: [&str; 5] = ["One morning", "One evening", "On a cold day", "In the spring", "After the rain"];

/// A question for a story, with the story.
pub(crate) fn told(rng: &mut Rng) -> (String, String) {
    const ASKS: [&str; 6] =
        ["Tell me a story.", "Tell me a story.", "Tell me a story", "Write a story.", "I want to hear a story.", "Tell me a short story."];
    let hero = *rng.pick(&HEROES);
    match rng.below(10) {
        0..6 => ((*rng.pick(&ASKS)).to_owned(), tell(rng)),
        6..8 => (format!("{} a story about a {hero}.", rng.pick(&["Tell me", "Write"])), story(rng, hero, SHORT)),
        8 => (format!("Write a long story about a {hero}."), story(rng, hero, LONG)),
        _ => (format!("{} a long story.", rng.pick(&["Tell me", "Write"])), story(rng, hero, LONG)),
    }
}

/// A story without a question.
pub(crate) fn tell(rng: &mut Rng) -> String {
    let hero = rng.pick(&HEROES);
    story(rng, hero, SHORT)
}

/// How often something is looked for: at least, and at most.
const SHORT: (usize, usize) = (2, 3);
const LONG: (usize, usize) = (5, 7);

fn story(rng: &mut Rng, hero: &str, (least, most): (usize, usize)) -> String {
    let (name, thing, home) = (rng.pick(&NAMES), rng.pick(&THINGS), rng.pick(&PLACES));
    let mut sentences = vec![
        format!("Once upon a time there was a {} {hero} called {name}, who lived in the {home}.", rng.pick(&WAYS)),
        format!("{} the {thing} was gone.", rng.pick(&TIMES)),
    ];
    for _ in 0..rng.between(least, most) {
        sentences.push(search(rng, name, thing));
    }
    sentences.push(find(rng, name, thing));
    sentences.push(format!("Then {name} went back to the {home} and was happy. That is the end."));
    sentences.join(" ")
}

fn search(rng: &mut Rng, name: &str, thing: &str) -> String {
    let (place, friend) = (rng.pick(&PLACES), rng.pick(&FRIENDS));
    match rng.below(4) {
        0 => format!("{name} looked for it in the {place}, but found only {friend}."),
        1 => format!("\"Where is my {thing}?\" asked {name}, and {friend} pointed to the {place}."),
        2 => format!("The way to the {place} was long, and {friend} came along."),
        _ => format!("In the {place} it was dark, so {name} sat down and waited for {friend}."),
    }
}

fn find(rng: &mut Rng, name: &str, thing: &str) -> String {
    let (place, friend) = (rng.pick(&PLACES), rng.pick(&FRIENDS));
    match rng.below(3) {
        0 => format!("At last the {thing} lay in the {place}, and {name} laughed."),
        1 => format!("At last {friend} brought the {thing} and asked for nothing."),
        _ => format!("At last {name} saw the {thing} beside {friend} in the {place}."),
    }
}
