//! How many, as people say it.
//!
//! In: a count and the word for several. Out: both, with the word for one where it is one. Fails: never.

/// `1 model`, `2 models`: of words whose several end in an `s`.
pub fn counted(count: u64, several: &str) -> String {
    let word = if count == 1 { several.strip_suffix('s').unwrap_or(several) } else { several };
    format!("{count} {word}")
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_told_as_one() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "models")), ["0 models", "1 model", "2 models"]);
    }
}
