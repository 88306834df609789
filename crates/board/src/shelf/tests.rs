//! A shelf is a sorted map, its copies stay as they are, and its difference is found without looking at what is shared.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use spec::Name;

use super::{CHUNK, Shelf};

fn name(number: u32) -> Name {
    Name::parse(&format!("n{number:05}")).unwrap()
}

fn listed(shelf: &Shelf<u32>) -> Vec<(Name, u32)> {
    shelf.iter().map(|(name, value)| (name.clone(), *value)).collect()
}

fn many(count: u32) -> Shelf<u32> {
    (0..count).map(|number| (name(number), 0)).collect()
}

proptest! {
    #[test]
    fn it_does_what_a_sorted_map_does_and_its_copies_stay_as_they_were(
        first in prop::collection::btree_map(0_u32..600, any::<u32>(), 0..400),
        steps in prop::collection::vec((0_u32..600, prop::option::weighted(0.6, any::<u32>())), 0..200),
    ) {
        let mut map: BTreeMap<Name, u32> = first.into_iter().map(|(number, value)| (name(number), value)).collect();
        let mut shelf: Shelf<u32> = map.clone().into();
        let (before, copy) = (map.clone(), shelf.clone());
        for (number, value) in steps {
            let name = name(number);
            if let Some(value) = value {
                prop_assert_eq!(shelf.insert(name.clone(), value), map.insert(name, value));
            } else {
                prop_assert_eq!(shelf.remove(&name), map.remove(&name));
            }
        }
        prop_assert_eq!(listed(&shelf), map.clone().into_iter().collect::<Vec<_>>());
        prop_assert_eq!((shelf.len(), shelf.is_empty()), (map.len(), map.is_empty()));
        for number in 0..600 {
            prop_assert_eq!(shelf.get(name(number).as_str()), map.get(&name(number)));
        }
        prop_assert_eq!(listed(&copy), before.clone().into_iter().collect::<Vec<_>>());
        let names = map.keys().chain(before.keys()).collect::<std::collections::BTreeSet<_>>();
        let wanted: Vec<_> = names.into_iter().filter(|name| map.get(*name) != before.get(*name)).map(|name| (name, map.get(name))).collect();
        prop_assert_eq!(shelf.changes(&copy, |a, b| a == b), wanted);
    }
}

#[test]
fn a_difference_looks_only_at_the_chunks_that_are_not_shared() {
    let before = many(10_000);
    let mut after = before.clone();
    after.insert(name(5_000), 1);
    after.remove(&name(7));
    let looked = Cell::new(0);
    let same = |a: &u32, b: &u32| {
        looked.set(looked.get() + 1);
        a == b
    };
    assert_eq!(after.changes(&before, same), [(&name(7), None), (&name(5_000), Some(&1))]);
    assert!(looked.get() <= 2 * CHUNK, "{} of 10,000 were compared", looked.get());
}

#[test]
fn a_chunk_that_has_been_cut_in_two_is_still_compared_with_what_it_was() {
    let before: Shelf<u32> = (0..10_000).map(|number| (name(2 * number), 0)).collect();
    let mut after = before.clone();
    for number in 0..200 {
        after.insert(name(2 * number + 1), 1);
    }
    assert_eq!(after.changes(&before, |a, b| a == b).len(), 200);
    assert_eq!(before.changes(&after, |a, b| a == b).len(), 200, "and the other way round they are gone");
}
