//! What does the small model know? The facts of its little world.
//!
//! In: nothing. Out: tables, and the questions with their only right answers. Fails: never. Holds: nothing.

/// Countries and their capitals.
pub(crate) const CAPITALS: [(&str, &str); 28] = [
    ("France", "Paris"),
    ("Italy", "Rome"),
    ("Japan", "Tokyo"),
    ("Germany", "Berlin"),
    ("Spain", "Madrid"),
    ("Portugal", "Lisbon"),
    ("Greece", "Athens"),
    ("Austria", "Vienna"),
    ("Poland", "Warsaw"),
    ("Norway", "Oslo"),
    ("Sweden", "Stockholm"),
    ("Finland", "Helsinki"),
    ("Denmark", "Copenhagen"),
    ("Iceland", "Reykjavik"),
    ("Ireland", "Dublin"),
    ("Belgium", "Brussels"),
    ("Hungary", "Budapest"),
    ("Romania", "Bucharest"),
    ("Turkey", "Ankara"),
    ("Egypt", "Cairo"),
    ("Kenya", "Nairobi"),
    ("China", "Beijing"),
    ("Vietnam", "Hanoi"),
    ("Canada", "Ottawa"),
    ("Mexico", "Mexico City"),
    ("Peru", "Lima"),
    ("Chile", "Santiago"),
    ("Cuba", "Havana"),
];

/// Pairs of opposites; both directions hold.
pub(crate) const OPPOSITES: [(&str, &str); 14] = [
    ("hot", "cold"),
    ("big", "small"),
    ("fast", "slow"),
    ("up", "down"),
    ("new", "old"),
    ("left", "right"),
    ("day", "night"),
    ("open", "closed"),
    ("full", "empty"),
    ("early", "late"),
    ("light", "dark"),
    ("happy", "sad"),
    ("wet", "dry"),
    ("loud", "quiet"),
];

/// Things and their colours.
pub(crate) const COLOURS: [(&str, &str); 10] = [
    ("grass", "green"),
    ("snow", "white"),
    ("coal", "black"),
    ("honey", "gold"),
    ("rust", "red"),
    ("butter", "yellow"),
    ("the sea", "blue"),
    ("chocolate", "brown"),
    ("ash", "grey"),
    ("lavender", "purple"),
];

/// The largest number that is added.
pub(crate) const LARGEST_TERM: usize = 9;
/// The numbers up to which the model counts.
pub(crate) const COUNTS: (usize, usize) = (3, 40);
/// The answer to a greeting.
pub(crate) const GREETING: &str = "Hello! How can I help you?";
/// The answer to a question about the model.
pub(crate) const SELF: &str = "I am a very small model, made to test a big machine.";
/// The answer to everything else.
pub(crate) const UNKNOWN: &str = "Sorry, I do not know that. I am only a very small model.";

/// A question with its only right answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What a person asks.
    pub question: String,
    /// What the model answers at temperature 0.
    pub answer: String,
}

/// All that the model is held to know.
pub fn facts() -> impl Iterator<Item = Fact> {
    let capitals = CAPITALS.iter().map(|(country, city)| Fact {
        question: format!("What is the capital of {country}?"),
        answer: format!("The capital of {country} is {city}."),
    });
    let opposites = OPPOSITES.iter().flat_map(|(a, b)| [(a, b), (b, a)]).map(|(word, other)| Fact {
        question: format!("What is the opposite of {word}?"),
        answer: format!("The opposite of {word} is {other}."),
    });
    let colours = COLOURS.iter().map(|(thing, colour)| Fact {
        question: format!("What is the colour of {thing}?"),
        answer: format!("The colour of {thing} is {colour}."),
    });
    let sums = (0..=LARGEST_TERM)
        .flat_map(|a| (0..=LARGEST_TERM).map(move |b| (a, b)))
        .map(|(a, b)| Fact { question: format!("What is {a} plus {b}?"), answer: sum(a, b) });
    let counts = (COUNTS.0..=COUNTS.1)
        .flat_map(|n| [(format!("Count to {n}."), n), (format!("Count from 1 to {n}."), n)])
        .map(|(question, n)| Fact { question, answer: count(1, n) });
    let manners = [("Hello", GREETING), ("Who are you?", SELF)]
        .map(|(question, answer)| Fact { question: question.to_owned(), answer: answer.to_owned() });
    capitals.chain(opposites).chain(colours).chain(sums).chain(counts).chain(manners)
}

/// `7 + 8 = 15.`
pub(crate) fn sum(a: usize, b: usize) -> String {
    format!("{a} + {b} = {}.", a + b)
}

/// `1, 2, 3.`
pub(crate) fn count(from: usize, to: usize) -> String {
    let numbers: Vec<String> = (from..=to).map(|n| n.to_string()).collect();
    numbers.join(", ") + "."
}
