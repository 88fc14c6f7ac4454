//! Sorts lists of all types with one compiled sort.
//!
//! The standard library's sort is compiled for each type: 3 KB of WebAssembly per type, although lists are short here.

use std::cmp::Ordering;

/// Sorts a list by a comparison. The sort is stable.
#[must_use]
pub fn sorted_by<T>(items: Vec<T>, compare: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    if items.len() < 2 {
        return items;
    }
    let order = order(items.len(), &|one, other| match (items.get(one), items.get(other)) {
        (Some(one), Some(other)) => compare(one, other),
        _ => Ordering::Equal,
    });
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    order.into_iter().filter_map(|index| items.get_mut(index)?.take()).collect()
}

/// Sorts a list by the `Ord` of its items. The sort is stable.
#[must_use]
pub fn sorted<T: Ord>(items: Vec<T>) -> Vec<T> {
    sorted_by(items, T::cmp)
}

/// Returns the indexes `0..count` in sorted order. `compare` compares the items at two indexes.
#[inline(never)]
fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|one, other| compare(*one, *other));
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sorts_as_the_standard_library_does(items in prop::collection::vec((0..8_u8, any::<u8>()), 0..60)) {
            let mut expected = items.clone();
            expected.sort_unstable();
            prop_assert_eq!(sorted(items.clone()), expected);
            let mut expected = items.clone();
            expected.sort_by_key(|(key, _)| *key);
            prop_assert_eq!(sorted_by(items, |one, other| one.0.cmp(&other.0)), expected);
        }
    }
}
