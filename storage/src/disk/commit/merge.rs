//! Two ordered sources seen as one, the upper one hiding the lower. Pure and lazy; deletions go through as rows, since
//! there may be a third source below.

use std::cmp::Ordering;

use bytes::Bytes;

use crate::store::{Direction, Write};

/// The rows of `lower` with those of `upper` laid over them. Both come in the order of `direction`, and so does the
/// answer. An error of `lower` is passed on where it stands; items after it mean nothing. The value of a row of
/// `lower` is not looked at: it may be dear to get, and is hidden perhaps.
pub(crate) fn overlay<L: From<Write>, E>(
    upper: impl Iterator<Item = (Bytes, Write)>,
    lower: impl Iterator<Item = Result<(Bytes, L), E>>,
    direction: Direction,
) -> impl Iterator<Item = Result<(Bytes, L), E>> {
    let mut upper = upper.map(|(key, write)| (key, L::from(write))).peekable();
    let mut lower = lower.peekable();
    std::iter::from_fn(move || {
        let next = match (upper.peek(), lower.peek()) {
            (None, None) => return None,
            (_, Some(Err(_))) | (None, Some(Ok(_))) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some((above, _)), Some(Ok((below, _)))) => match direction {
                Direction::Forward => above.cmp(below),
                Direction::Reverse => below.cmp(above),
            },
        };
        match next {
            Ordering::Less => upper.next().map(Ok),
            Ordering::Greater => lower.next(),
            Ordering::Equal => {
                lower.next();
                upper.next().map(Ok)
            }
        }
    })
}

/// The rows that are there, each with its content by `value`.
pub(crate) fn living<L, E>(
    rows: impl Iterator<Item = Result<(Bytes, L), E>>,
    mut value: impl FnMut(&Bytes, L) -> Result<Option<Bytes>, E>,
) -> impl Iterator<Item = Result<(Bytes, Bytes), E>> {
    rows.filter_map(move |row| {
        let living = row.and_then(|(key, held)| Ok(value(&key, held)?.map(|value| (key, value))));
        living.transpose()
    })
}

/// The value of a row after it was written so; `None` after a deletion.
pub(crate) fn written(write: Write) -> Option<Bytes> {
    match write {
        Write::Put(value) => Some(value),
        Write::Delete => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    type Layer = BTreeMap<Bytes, Write>;

    fn layer() -> impl Strategy<Value = Layer> {
        let key = proptest::collection::vec(0u8..4, 1..3).prop_map(Bytes::from);
        let write = prop_oneof![any::<u8>().prop_map(|value| Write::Put(vec![value].into())), Just(Write::Delete)];
        proptest::collection::btree_map(key, write, 0..20)
    }

    fn ordered(layer: &Layer, direction: Direction) -> Vec<(Bytes, Write)> {
        let rows = layer.iter().map(|(key, write)| (key.clone(), write.clone()));
        match direction {
            Direction::Forward => rows.collect(),
            Direction::Reverse => rows.rev().collect(),
        }
    }

    proptest! {
        #[test]
        fn three_layers_show_what_one_map_would(top in layer(), middle in layer(), bottom in layer(), up in any::<bool>()) {
            let direction = if up { Direction::Forward } else { Direction::Reverse };
            let mut expected = bottom.clone();
            expected.extend(middle.clone());
            expected.extend(top.clone());
            expected.retain(|_, write| *write != Write::Delete);

            let rows = |layer| ordered(layer, direction).into_iter();
            let below = overlay(rows(&middle), rows(&bottom).map(Ok::<_, Infallible>), direction);
            let found: Vec<_> = living(overlay(rows(&top), below, direction), |_, write| Ok(written(write)))
                .map(|row| row.map(|(key, value)| (key, Write::Put(value))).unwrap())
                .collect();
            prop_assert_eq!(found, ordered(&expected, direction));
        }
    }

    #[test]
    fn an_error_below_is_not_hidden_by_rows_above() {
        let row = |key: &'static str| (Bytes::from(key), Write::Put(Bytes::new()));
        let lower = vec![Ok(row("a")), Err("disk")];
        let found: Result<Vec<_>, _> = living(
            overlay([row("a"), row("b"), row("c")].into_iter(), lower.into_iter(), Direction::Forward),
            |_, write| Ok(written(write)),
        )
        .collect();
        assert_eq!(found.unwrap_err(), "disk");
    }

    #[test]
    fn nothing_is_read_beyond_what_is_asked_for() {
        let lower = std::iter::from_fn(|| -> Option<Result<(Bytes, Write), Infallible>> { panic!("read too far") });
        let lower = [Ok((Bytes::from("b"), Write::Delete))].into_iter().chain(lower);
        let upper = [(Bytes::from("a"), Write::Put(Bytes::new()))].into_iter();
        assert_eq!(living(overlay(upper, lower, Direction::Forward), |_, write| Ok(written(write))).take(1).count(), 1);
    }
}
