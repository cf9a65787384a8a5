//! Which keys pass a test, found without asking each of them.

use std::ops::Range;

use crate::matches::Key;
use crate::scalar::{Scalar, ScalarSet};
use crate::tree::{Order, Test};

impl<'a> Key<'a> {
    /// As a value.
    #[must_use]
    pub fn scalar(self) -> Scalar<&'a str, &'a [u8]> {
        match self {
            Self::Text(key) => Scalar::Text(key),
            Self::Number(key) => Scalar::Int(key.into()),
        }
    }
}

impl ScalarSet {
    /// Those of the values that keys can have.
    pub fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        self.iter().filter_map(|value| match value {
            Scalar::Text(key) => Some(Key::Text(key)),
            Scalar::Int(key) => u64::try_from(key).ok().map(Key::Number),
            _ => None,
        })
    }
}

/// Where those of `count` keys stand that pass a test. The keys ascend, texts by their bytes. `None` for a test that does not go by the order.
#[must_use]
pub fn sorted_keys<'a>(
    test: &Test,
    count: usize,
    key: impl Fn(usize) -> Key<'a>,
) -> Option<Range<usize>> {
    match test {
        Test::Exists => Some(0..count),
        Test::Contains(_) | Test::GeoRadius(_) | Test::GeoBox(_) => Some(0..0),
        Test::StartsWith(prefix) => {
            let first = first_not(count, |at| match key(at) {
                Key::Text(key) => key < &**prefix,
                Key::Number(_) => true,
            });
            let len = first_not(count - first, |at| match key(first + at) {
                Key::Text(key) => key.starts_with(&**prefix),
                Key::Number(_) => false,
            });
            Some(first..first + len)
        }
        Test::Order(order, bound) => {
            let bound = bound.borrow();
            let compare = |at: usize| key(at).scalar().compare(&bound);
            // All keys are of one kind: if one has an order beside the bound, all have.
            if count == 0 || compare(0).is_none() {
                return Some(0..0);
            }
            let below = first_not(count, |at| compare(at).is_some_and(|it| it.is_lt()));
            let through = first_not(count, |at| compare(at).is_some_and(|it| it.is_le()));
            Some(match order {
                Order::Gt => through..count,
                Order::Gte => below..count,
                Order::Lt => 0..below,
                Order::Lte => 0..through,
            })
        }
        Test::In(_) | Test::Match(_) | Test::Regex(_) => None,
    }
}

/// The first of `count` places where a condition ends that holds up to there.
fn first_not(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut from, mut to) = (0, count);
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Filter;

    fn places(json: &str, keys: &[Key<'_>]) -> Vec<usize> {
        let filter = Filter::parse(json.as_bytes()).expect("a filter");
        let Filter::Field { test, .. } = filter else {
            panic!("one test: {json}");
        };
        let range = sorted_keys(&test, keys.len(), |at| keys[at]).expect("it goes by the order");
        let naive = (0..keys.len()).filter(|&at| test.holds_for(&keys[at].scalar()));
        assert_eq!(range.clone().collect::<Vec<_>>(), naive.collect::<Vec<_>>());
        range.collect()
    }

    #[test]
    fn a_piece_of_the_keys_is_what_a_look_at_each_gives() {
        let texts = ["a", "a/", "a/1", "a/2", "a0", "b", "\u{e9}", "\u{1f30a}"];
        let texts = texts.map(Key::Text);
        assert_eq!(places(r#"{"$key":{"startsWith":"a/"}}"#, &texts), [1, 2, 3]);
        assert_eq!(
            places(r#"{"$key":{"startsWith":"c"}}"#, &texts),
            [0_usize; 0]
        );
        assert_eq!(places(r#"{"$key":{"startsWith":""}}"#, &texts).len(), 8);
        assert_eq!(places(r#"{"$key":{"gte":"a0"}}"#, &texts), [4, 5, 6, 7]);
        assert_eq!(places(r#"{"$key":{"lt":5}}"#, &texts), [0_usize; 0]);
        let numbers = [0, 3, 7, u64::MAX].map(Key::Number);
        assert_eq!(places(r#"{"$key":{"gt":2.5}}"#, &numbers), [1, 2, 3]);
        assert_eq!(places(r#"{"$key":{"lte":7}}"#, &numbers), [0, 1, 2]);
        assert_eq!(places(r#"{"$key":{"gte":1e30}}"#, &numbers), [0_usize; 0]);
        assert_eq!(
            places(r#"{"$key":{"startsWith":"7"}}"#, &numbers),
            [0_usize; 0]
        );
        assert_eq!(places(r#"{"$key":{"exists":true}}"#, &numbers).len(), 4);
        assert_eq!(places(r#"{"$key":{"gt":1}}"#, &[]), [0_usize; 0]);
    }
}
