//! Where may a long text be parted, so that its parts have as many tokens as the whole?
//!
//! In: a text. Out: its first piece and the rest. Fails: never. However a vocabulary cuts text, it cuts before a single space
//! between two words, so that is where pieces end; in a text without such a space they end anywhere, and the tokens there are others.

/// Longer texts are counted by pieces of at most so many bytes: each takes some milliseconds, and some megabytes.
pub const PIECE: usize = 64 << 10;

/// The first piece, of at most so many bytes, and the rest. Where every text gets a space put before it (`is_prefixed`), the rest comes
/// without its own.
pub(crate) fn first(text: &str, most: usize, is_prefixed: bool) -> (&str, &str) {
    if text.len() <= most {
        return (text, "");
    }
    let whole = text.floor_char_boundary(most);
    match between_words(&text[..whole]) {
        Some(space) => (&text[..space], &text[space + usize::from(is_prefixed)..]),
        None => text.split_at(whole),
    }
}

/// The last space with a word on either side.
fn between_words(text: &str) -> Option<usize> {
    let is_of_a_word = |letter: Option<char>| letter.is_some_and(|letter| !letter.is_whitespace());
    let mut spaces = text.rmatch_indices(' ').map(|(at, _)| at);
    spaces.find(|at| is_of_a_word(text[..*at].chars().next_back()) && is_of_a_word(text[at + 1..].chars().next()))
}
