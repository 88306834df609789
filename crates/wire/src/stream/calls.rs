//! Which tool call does a piece belong to, and has the client its name?
//!
//! In: the deltas of a stream. Out: their `tool_calls` as clients expect them, or nothing if they are so already. Fails:
//! never. Holds: a line for each call. Engines leave out the index, give every call the index 0, or repeat id, type and
//! name in each piece; clients that join pieces by their index would make one call of two, or a name out of many.

use crate::scan::{self, Kind, Scan};
use crate::splice::{self, Edit};

/// The calls of a stream so far.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Known>);

#[derive(Debug)]
struct Known {
    choice: u64,
    /// As the engine counts.
    sent: Option<u64>,
    id: String,
    /// As the client is told.
    index: u64,
}

impl Calls {
    /// The pieces of one delta as they must be; `None` if they are.
    pub(super) fn put_right(&mut self, choice: u64, delta: &Scan<'_>) -> Option<String> {
        let list = delta.get("tool_calls").filter(|list| list.kind == Kind::Array)?;
        let pieces = scan::array_in(delta.raw(list)).ok()?;
        let edited: Vec<(&str, Option<String>)> = pieces.into_iter().map(|(text, _)| (text, self.edit(choice, text))).collect();
        if edited.iter().all(|(_, edited)| edited.is_none()) {
            return None;
        }
        let texts: Vec<&str> = edited.iter().map(|(text, edited)| edited.as_deref().unwrap_or(text)).collect();
        Some(format!("[{}]", texts.join(",")))
    }

    fn edit(&mut self, choice: u64, text: &str) -> Option<String> {
        let piece = scan::object_in(text).ok()?;
        let (index, is_first) = self.place(choice, &piece);
        let mut edits = Vec::new();
        if piece.u64("index") != Some(index) {
            edits.push(Edit::raw("index", index.to_string()));
        }
        if is_first && piece.get("type").is_none() {
            edits.push(Edit::raw("type", "\"function\""));
        }
        if !is_first {
            edits.extend(["id", "type"].into_iter().filter(|key| piece.get(key).is_some()).map(Edit::remove));
            if let Some(function) = piece.object("function").filter(|function| function.get("name").is_some()) {
                edits.push(Edit::raw("function", splice::apply_to_text(&function, &[Edit::remove("name")])));
            }
        }
        (!edits.is_empty()).then(|| splice::apply_to_text(&piece, &edits))
    }

    /// The call that a piece belongs to, and whether it is its first.
    fn place(&mut self, choice: u64, piece: &Scan<'_>) -> (u64, bool) {
        let sent = piece.u64("index");
        let id = piece.str("id").unwrap_or_default();
        let mut of_choice = self.0.iter().rev().filter(|known| known.choice == choice);
        let known = if sent.is_none() && !id.is_empty() {
            of_choice.find(|known| known.id == *id)
        } else {
            of_choice.find(|known| sent.is_none() || known.sent == sent)
        };
        match known {
            Some(known) if id.is_empty() || known.id.is_empty() || known.id == *id => return (known.index, false),
            _ => {}
        }
        let of_choice = self.0.iter().filter(|known| known.choice == choice);
        let next = of_choice.map(|known| known.index + 1).max().unwrap_or(0);
        let is_free = |index: &u64| !self.0.iter().any(|known| known.choice == choice && known.index == *index);
        let index = sent.filter(is_free).unwrap_or(next);
        self.0.push(Known { choice, sent, id: id.into_owned(), index });
        (index, true)
    }
}
