//! Which characters are not seen where they stand, or change how others are seen?
//!
//! In: a character. Out: whether a name that people tell others apart by can do without it: with it two names look the same, or one looks like another.
//! Fails: never. From: RFC 8264 (PRECIS, 9.13), UTR 36.

/// Whether it controls, formats or turns text around.
pub fn is_unseen(c: char) -> bool {
    let formats = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
    formats || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::is_unseen;

    #[test]
    fn what_turns_or_hides_letters_is_told_from_letters() {
        for text in ["ann", "Żółć", "Анна", "李小龍", "علی", "אנה", "O’Neil-Smith 3rd", "é", "🦜"] {
            assert!(!text.chars().any(is_unseen), "{text}");
        }
        for c in ['\n', '\u{7f}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{200f}', '\u{feff}', '\u{ad}', '\u{2028}', '\u{e0041}'] {
            assert!(is_unseen(c), "{c:?}");
        }
    }
}
