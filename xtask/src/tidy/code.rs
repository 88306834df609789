//! Rust source without its comments and strings, and the functions in it.
//!
//! In: the text of a file. Out: a text of the same lines in which comments are blank and strings
//! are `~`, so that braces and words are those of code; the functions with their lengths; the lines
//! of inline test modules. Fails: never; of text that is not Rust the answers are merely useless.
//! No parser: lexing is enough for lengths, and a newcomer compiles xtask first.

use std::ops::Range;

/// One file's code.
#[derive(Debug)]
pub(super) struct Code {
    /// Line for line as the file, without comments and strings.
    pub(super) bare: String,
    /// Byte ranges of `#[cfg(test)] mod x { .. }`.
    tests: Vec<Range<usize>>,
}

/// A function and its length.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// The line of its `fn`, from 1.
    pub(super) line: usize,
    /// Lines of its body that hold code; blank lines and comments do not count, as in clippy.
    pub(super) length: usize,
}

impl Code {
    /// Lexes a file.
    pub(super) fn scan(text: &str) -> Self {
        let bare = strip(text);
        let tests = test_modules(&bare);
        Self { bare, tests }
    }

    /// Lines of the file outside inline test modules, comments and blank lines included.
    pub(super) fn lines(&self) -> usize {
        let in_tests: usize = self.tests.iter().map(|range| self.bare[range.clone()].lines().count()).sum();
        self.bare.lines().count().saturating_sub(in_tests)
    }

    /// The functions outside inline test modules, outer ones first.
    pub(super) fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for at in words(&self.bare, "fn") {
            if self.in_tests(at) {
                continue;
            }
            let rest = self.bare[at + "fn".len()..].trim_start();
            let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
            if name.is_empty() {
                continue; // A pointer type: `fn(u8) -> u8`.
            }
            if let Some(body) = body(&self.bare, at) {
                let length = self.bare[body].lines().filter(|line| !line.trim().is_empty()).count();
                found.push(Function { name, line: self.line_at(at), length });
            }
        }
        found
    }

    /// True within an inline test module.
    pub(super) fn in_tests(&self, at: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&at))
    }

    /// The line of a byte, from 1.
    pub(super) fn line_at(&self, at: usize) -> usize {
        self.bare[..at].matches('\n').count() + 1
    }
}

/// Where `word` stands by itself.
pub(super) fn words(text: &str, word: &str) -> Vec<usize> {
    let alone = |at: &usize| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(|c| is_word(c) || c == '#') && !after.is_some_and(is_word)
    };
    text.match_indices(word).map(|(at, _)| at).filter(alone).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What lies between the braces of the function whose `fn` stands at `at`; none for a declaration.
fn body(bare: &str, at: usize) -> Option<Range<usize>> {
    let mut depth = 0_usize;
    for (offset, c) in bare[at..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return None,
            '{' if depth == 0 => return Some(at + offset + 1..closing(bare, at + offset)?),
            _ => {}
        }
    }
    None
}

/// The brace that closes the one at `open`.
fn closing(bare: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, c) in bare[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(open + offset),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn test_modules(bare: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, mark) in bare.match_indices("#[cfg(test)]") {
        let rest = &bare[at + mark.len()..];
        let is_module = rest.trim_start().trim_start_matches("pub(crate) ").starts_with("mod ");
        let end = rest.find(['{', ';']).filter(|end| rest[*end..].starts_with('{'));
        if let Some(end) = end.filter(|_| is_module)
            && let Some(close) = closing(bare, at + mark.len() + end)
        {
            found.push(at..close + 1);
        }
    }
    found
}

/// Blanks comments and fills strings, keeping every line end.
fn strip(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = bare.chars().next_back().is_some_and(is_word);
        let (length, fill) = token(rest, after_word).unwrap_or((first.len_utf8(), None));
        let (token, left) = rest.split_at(length);
        match fill {
            Some(fill) => bare.extend(token.chars().map(|c| if c == '\n' { '\n' } else { fill })),
            None => bare.push_str(token),
        }
        rest = left;
    }
    bare
}

/// The length of the comment or string that `rest` begins with, and what stands in its place.
fn token(rest: &str, after_word: bool) -> Option<(usize, Option<char>)> {
    if rest.starts_with("//") {
        return Some((rest.find('\n').unwrap_or(rest.len()), Some(' ')));
    }
    if rest.starts_with("/*") {
        return Some((block_comment(rest), Some(' ')));
    }
    if rest.starts_with('"') {
        return Some((quoted(rest), Some('~')));
    }
    if rest.starts_with('\'') {
        return Some(match character(rest) {
            Some(length) => (length, Some('~')),
            None => (1, None), // A lifetime.
        });
    }
    let prefixes = ["br", "cr", "r"];
    let raw = prefixes.iter().filter(|_| !after_word).find_map(|prefix| raw_string(rest, prefix.len(), rest.strip_prefix(prefix)?));
    raw.map(|length| (length, Some('~')))
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// The length of a character literal; none for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first != '\\' {
        let (end, close) = chars.next()?;
        return (close == '\'').then_some(end + 1);
    }
    chars.next()?; // What is escaped, which may be a quote.
    chars.find(|(_, c)| *c == '\'').map(|(end, _)| end + 1)
}

fn raw_string(rest: &str, prefix: usize, after: &str) -> Option<usize> {
    let hashes = after.chars().take_while(|c| *c == '#').count();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = prefix + hashes + 1;
    Some(body.find(&end).map_or(rest.len(), |at| start + at + end.len()))
}

#[cfg(test)]
mod tests;
