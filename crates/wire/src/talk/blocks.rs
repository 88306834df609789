//! In which order is told what the model says?
//!
//! In: pieces as the engine sends them. Out: blocks, one open at a time, each told from its first word to its last.
//! Holds: all blocks; those that wait for the open one to be complete are at the end.

use super::{Codec, To};
use crate::scan::{self, Scan};

/// What a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// What the model thinks before it answers.
    Reasoning,
    /// What it says.
    Text,
    /// A tool that it wants to be called; the block's text is the arguments as JSON.
    Call {
        /// By which the client will answer.
        id: String,
        /// The tool.
        name: String,
    },
}

/// One thing that was said.
#[derive(Debug)]
pub struct Block {
    /// Which block of the answer it is, counted from 0.
    pub at: usize,
    /// What it is.
    pub part: Part,
    /// What it says so far.
    pub text: String,
    /// The answer broke off within it: at the bound of its tokens, or at a filter.
    pub is_cut: bool,
    /// The engine's number, of a tool call.
    index: u64,
    told: usize,
    open: bool,
}

impl Block {
    /// Nothing more can belong to it.
    fn is_complete(&self) -> bool {
        !matches!(self.part, Part::Call { .. }) || scan::value_in(&self.text).is_ok()
    }
    fn is_nameless(&self) -> bool {
        matches!(&self.part, Part::Call { name, .. } if name.is_empty())
    }
}

/// The blocks of one answer.
#[derive(Debug)]
pub(super) struct Blocks {
    seed: String,
    all: Vec<Block>,
    /// The first that is not told to its end.
    at: usize,
    size: usize,
}

impl Blocks {
    pub(super) fn new(seed: &str) -> Self {
        Self { seed: seed.to_owned(), all: Vec::new(), at: 0, size: 0 }
    }

    pub(super) fn all(&self) -> &[Block] {
        &self.all
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Text or reasoning.
    pub(super) fn say(&mut self, part: Part, text: &str) {
        self.size += text.len();
        match self.all.last_mut() {
            Some(last) if last.part == part => last.text.push_str(text),
            _ => self.add(part, 0, text),
        }
    }

    /// A piece of a tool call.
    pub(super) fn call(&mut self, fragment: &Scan<'_>) {
        let function = fragment.object("function");
        let word = |key| function.as_ref().and_then(|function| function.str(key)).unwrap_or_default();
        let (id, name) = (fragment.str("id").unwrap_or_default(), word("name"));
        // Some engines send the arguments as an object, whole.
        let object = function.as_ref().and_then(|function| function.value("arguments")).filter(|value| value.starts_with('{'));
        let arguments = object.map_or_else(|| word("arguments"), Into::into);
        self.size += arguments.len() + id.len() + name.len();
        let known = self.find(fragment.u64("index"), &id, &name);
        let Some(block) = known.and_then(|at| self.all.get_mut(at)) else {
            let index = fragment.u64("index").unwrap_or(self.all.len() as u64);
            let id = if id.is_empty() { format!("call_{}{}", self.seed, self.all.len()) } else { id.into_owned() };
            return self.add(Part::Call { id, name: name.into_owned() }, index, &arguments);
        };
        block.text.push_str(&arguments);
        if let Part::Call { name: kept, .. } = &mut block.part
            && kept.is_empty()
        {
            *kept = name.into_owned();
        }
    }

    /// The call that a fragment goes on with: by its index; an id that is not that call's, with a name, begins another.
    fn find(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let calls = || {
            self.all.iter().enumerate().rev().filter_map(|(at, block)| match &block.part {
                Part::Call { id, .. } => Some((at, block.index, id)),
                _ => None,
            })
        };
        let found = match index {
            Some(index) => calls().find(|(_, other, _)| *other == index)?,
            None if id.is_empty() => calls().next()?,
            None => calls().find(|(.., other)| *other == id)?,
        };
        let is_another = !id.is_empty() && !name.is_empty() && found.2 != id;
        (!is_another).then_some(found.0)
    }

    fn add(&mut self, part: Part, index: u64, text: &str) {
        self.all.push(Block { at: self.all.len(), part, text: text.to_owned(), is_cut: false, index, told: 0, open: false });
    }

    /// Tells what can be told by now.
    pub(super) fn tell(&mut self, codec: &mut dyn Codec, to: &mut To<'_>) {
        let last = self.all.len().saturating_sub(1);
        while let Some(block) = self.all.get_mut(self.at) {
            if block.is_nameless() && self.at == last {
                return;
            }
            grow(block, codec, to);
            if self.at == last || !block.is_complete() {
                return;
            }
            codec.close(block, to);
            self.at += 1;
        }
    }

    /// Nothing more will come; `is_cut` where more would have come.
    pub(super) fn end(&mut self, is_cut: bool, codec: &mut dyn Codec, to: &mut To<'_>) {
        if let Some(last) = self.all.last_mut() {
            last.is_cut = is_cut;
        }
        for block in self.all.iter_mut().skip(self.at) {
            grow(block, codec, to);
            codec.close(block, to);
        }
        self.at = self.all.len();
    }
}

/// Tells what of a block has not been told.
fn grow(block: &mut Block, codec: &mut dyn Codec, to: &mut To<'_>) {
    if !std::mem::replace(&mut block.open, true) {
        codec.open(block, to);
    }
    let told = std::mem::replace(&mut block.told, block.text.len());
    if told < block.text.len() {
        codec.delta(block, block.text.get(told..).unwrap_or_default(), to);
    }
}
