//! How is a table of many names changed in one place, without touching the rest?
//!
//! In: names and values. Out: a sorted map. A copy costs one count for each chunk of names, a change copies the chunk that it is
//! in, and the difference of two passes over what they share. Readers keep the copy that they have. From: B+ trees of one level, copied
//! on write; the libraries that share more have no difference that skips what is shared, or a licence that does not go with ours.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Index;
use std::slice;
use std::sync::Arc;

use spec::Name;

/// A chunk that is made anew has so many names; one that has grown to twice as many is cut in two.
const CHUNK: usize = 64;

type Chunk<V> = Arc<Vec<(Name, V)>>;

/// A map by name whose copies share what they have in common.
#[derive(Clone)]
pub struct Shelf<V> {
    /// In order; none is empty.
    chunks: Vec<Chunk<V>>,
    len: usize,
}

impl<V> Shelf<V> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// The value of this name.
    pub fn get<Q: Ord + ?Sized>(&self, name: &Q) -> Option<&V>
    where
        Name: Borrow<Q>,
    {
        let chunk = self.chunks.get(self.chunk_of(name)?)?;
        let at = chunk.binary_search_by(|(other, _)| other.borrow().cmp(name)).ok()?;
        chunk.get(at).map(|(_, value)| value)
    }
    /// Whether this name is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, name: &Q) -> bool
    where
        Name: Borrow<Q>,
    {
        self.get(name).is_some()
    }
    /// All of them, by name.
    pub fn iter(&self) -> Iter<'_, V> {
        Iter { chunks: self.chunks.iter(), here: [].iter() }
    }
    /// The names in order.
    pub fn keys(&self) -> impl Iterator<Item = &Name> {
        self.iter().map(|(name, _)| name)
    }
    /// The values, by name.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
    /// What is other than it was `before`, by name: the value that it has now, or nothing when it is gone.
    pub fn changes<'a>(&'a self, before: &'a Self, same: impl Fn(&V, &V) -> bool) -> Vec<(&'a Name, Option<&'a V>)> {
        let (mut new, mut old) = (Cursor::at_start(self), Cursor::at_start(before));
        let mut found = Vec::new();
        loop {
            if new.skips_with(&mut old) {
                continue;
            }
            let order = match (new.here(), old.here()) {
                (None, None) => return found,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((name, _)), Some((other, _))) => name.cmp(other),
            };
            let (now, was) = (new.take_if(order.is_le()), old.take_if(order.is_ge()));
            match (now, was) {
                (Some((_, now)), Some((_, was))) if same(now, was) => {}
                (Some((name, now)), _) => found.push((name, Some(now))),
                (None, Some((name, _))) => found.push((name, None)),
                (None, None) => {}
            }
        }
    }
    /// The chunk in which the name stands, if it is there.
    fn chunk_of<Q: Ord + ?Sized>(&self, name: &Q) -> Option<usize>
    where
        Name: Borrow<Q>,
    {
        let begins_before = |chunk: &Chunk<V>| chunk.first().is_some_and(|(first, _)| first.borrow() <= name);
        self.chunks.partition_point(begins_before).checked_sub(1)
    }
}

impl<V: Clone> Shelf<V> {
    /// Puts a value; gives the one that was there.
    pub fn insert(&mut self, name: Name, value: V) -> Option<V> {
        let at = self.chunk_of(&name).unwrap_or(0);
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(Arc::new(vec![(name, value)]));
            self.len += 1;
            return None;
        };
        let chunk = Arc::make_mut(chunk);
        match chunk.binary_search_by(|(other, _)| other.cmp(&name)) {
            Ok(there) => chunk.get_mut(there).map(|(_, before)| std::mem::replace(before, value)),
            Err(there) => {
                chunk.insert(there, (name, value));
                if chunk.len() >= 2 * CHUNK {
                    let rest = chunk.split_off(CHUNK);
                    self.chunks.insert(at + 1, Arc::new(rest));
                }
                self.len += 1;
                None
            }
        }
    }
    /// Takes a value out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, name: &Q) -> Option<V>
    where
        Name: Borrow<Q>,
    {
        let at = self.chunk_of(name)?;
        let shared = self.chunks.get_mut(at)?;
        let there = shared.binary_search_by(|(other, _)| other.borrow().cmp(name)).ok()?;
        let chunk = Arc::make_mut(shared);
        let (_, value) = chunk.remove(there);
        if chunk.is_empty() {
            self.chunks.remove(at);
        }
        self.len -= 1;
        Some(value)
    }
}

/// A place in a shelf.
struct Cursor<'a, V> {
    chunks: &'a [Chunk<V>],
    at: usize,
}

impl<'a, V> Cursor<'a, V> {
    fn at_start(shelf: &'a Shelf<V>) -> Self {
        Self { chunks: &shelf.chunks, at: 0 }
    }
    fn here(&self) -> Option<(&'a Name, &'a V)> {
        self.chunks.first()?.get(self.at).map(|(name, value)| (name, value))
    }
    /// Both stand before the same chunk, and now after it.
    fn skips_with(&mut self, other: &mut Self) -> bool {
        let (Some((chunk, rest)), Some((others, others_rest))) = (self.chunks.split_first(), other.chunks.split_first()) else {
            return false;
        };
        let skips = self.at == 0 && other.at == 0 && Arc::ptr_eq(chunk, others);
        if skips {
            (self.chunks, other.chunks) = (rest, others_rest);
        }
        skips
    }
    fn take_if(&mut self, takes: bool) -> Option<(&'a Name, &'a V)> {
        let here = self.here().filter(|_| takes)?;
        self.at += 1;
        if let Some((chunk, rest)) = self.chunks.split_first().filter(|(chunk, _)| self.at >= chunk.len()) {
            debug_assert!(!chunk.is_empty(), "a chunk that is empty is taken out");
            (self.chunks, self.at) = (rest, 0);
        }
        Some(here)
    }
}

/// All of a shelf, by name.
#[derive(Debug)]
pub struct Iter<'a, V> {
    chunks: slice::Iter<'a, Chunk<V>>,
    here: slice::Iter<'a, (Name, V)>,
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (&'a Name, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((name, value)) = self.here.next() {
                return Some((name, value));
            }
            self.here = self.chunks.next()?.iter();
        }
    }
}

impl<'a, V> IntoIterator for &'a Shelf<V> {
    type Item = (&'a Name, &'a V);
    type IntoIter = Iter<'a, V>;

    fn into_iter(self) -> Iter<'a, V> {
        self.iter()
    }
}

impl<V> Default for Shelf<V> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<V: Clone> FromIterator<(Name, V)> for Shelf<V> {
    fn from_iter<I: IntoIterator<Item = (Name, V)>>(all: I) -> Self {
        BTreeMap::from_iter(all).into()
    }
}

impl<V> From<BTreeMap<Name, V>> for Shelf<V> {
    fn from(all: BTreeMap<Name, V>) -> Self {
        let len = all.len();
        let (mut chunks, mut all) = (Vec::with_capacity(len.div_ceil(CHUNK)), all.into_iter());
        loop {
            let chunk: Vec<(Name, V)> = all.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                return Self { chunks, len };
            }
            chunks.push(Arc::new(chunk));
        }
    }
}

impl<V: Clone, const N: usize> From<[(Name, V); N]> for Shelf<V> {
    fn from(all: [(Name, V); N]) -> Self {
        all.into_iter().collect()
    }
}

impl<Q: Ord + ?Sized, V> Index<&Q> for Shelf<V>
where
    Name: Borrow<Q>,
{
    type Output = V;

    #[expect(clippy::expect_used, reason = "as that of every other map")]
    fn index(&self, name: &Q) -> &V {
        self.get(name).expect("there is a value of this name")
    }
}

impl<V: PartialEq> PartialEq for Shelf<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<V: std::fmt::Debug> std::fmt::Debug for Shelf<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests;
