//! Duties of every implementation of `Store`, as one suite. It tests the contract's words, not an implementation's
//! inside. Faults and damaged files are each implementation's own tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::{
    Batch, Direction, MAX_BATCH_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES, Noted, Store, StoreError, Tail, Write,
    prefix_end, rows,
};

/// A store under test that can be closed and opened again.
pub(crate) trait Subject {
    /// The open store.
    fn store(&self) -> &dyn Store;
    /// Closes it and opens the rows that are left.
    fn reopen(self: Box<Self>) -> Box<dyn Subject>;
}

/// Runs the whole suite; `make` gives an empty store each time.
pub(crate) fn run(make: impl Fn() -> Box<dyn Subject>) {
    an_empty_store_is_empty(make().store());
    a_batch_is_visible_once_applied(make().store());
    many_keys_are_answered_in_their_order(make().store());
    scans_have_half_open_bounds_limits_and_directions(make().store());
    keys_are_ordered_as_unsigned_bytes(make().store());
    prefixes_are_ranges(make().store());
    values_up_to_the_limit_are_kept_and_over_it_refused(make().store());
    keys_outside_the_limits_are_refused(make().store());
    batches_over_the_limit_are_refused(make().store());
    a_refused_batch_changes_nothing(make().store());
    readers_run_beside_the_writer(make().store());
    commits_are_noted_for_a_follower(make());
    contents_survive_reopening(make());
}

/// All rows, for comparing stores.
pub(crate) fn dump(store: &dyn Store) -> Vec<(Bytes, Bytes)> {
    store.scan(&[], &prefix_end(&[]), usize::MAX, Direction::Forward).unwrap()
}

fn batch_of(rows: &[(&'static str, &'static str)]) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in rows {
        batch.put(*key, *value);
    }
    batch
}

fn keys(store: &dyn Store, start: &str, end: &str, limit: usize, direction: Direction) -> Vec<String> {
    let rows = store.scan(start.as_bytes(), end.as_bytes(), limit, direction).unwrap();
    rows.into_iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
}

fn commits_are_noted_for_a_follower(subject: Box<dyn Subject>) {
    let store = subject.store();
    store.apply(batch_of(&[("a", "1")])).unwrap();
    let tail = Arc::new(Tail::new(usize::MAX));
    let began = store.follow(Arc::downgrade(&tail)).unwrap();
    let mut second = batch_of(&[("b", "2")]);
    second.delete("a");
    for batch in [batch_of(&[("c", "3")]), Batch::new(), second] {
        store.apply(batch).unwrap();
    }
    assert!(store.apply(batch_of(&[("", "refused")])).is_err());
    let ended = store.follow(Weak::new()).unwrap();
    store.apply(batch_of(&[("d", "4")])).unwrap();
    let noted = tail.take(usize::MAX).unwrap();
    assert_eq!(noted.iter().map(|noted| noted.commit).collect::<Vec<_>>(), [began + 1, began + 2]);
    assert_eq!(ended, began + 2, "a batch that writes nothing, or is refused, is no commit");
    let rows = |noted: &Noted| rows::split(noted.rows.clone()).unwrap();
    let put = |value: &'static str| Write::Put(Bytes::from(value));
    assert_eq!(rows(&noted[0]), [(Bytes::from("c"), put("3"))]);
    assert_eq!(rows(&noted[1]), [(Bytes::from("a"), Write::Delete), (Bytes::from("b"), put("2"))]);
    let again = subject.reopen();
    assert_eq!(again.store().follow(Weak::new()).unwrap(), ended + 1, "numbers go on over a restart");
}

fn an_empty_store_is_empty(store: &dyn Store) {
    assert!(dump(store).is_empty(), "nothing of the implementation's own may show");
    assert!(store.get(b"a").unwrap().is_none());
    assert!(store.poisoned().is_none());
    store.apply(Batch::new()).unwrap();
    assert!(dump(store).is_empty());
}

fn a_batch_is_visible_once_applied(store: &dyn Store) {
    store.apply(batch_of(&[("a", "1"), ("b", "2"), ("c", "")])).unwrap();
    assert_eq!(store.get(b"a").unwrap().unwrap(), "1");
    assert_eq!(store.get(b"c").unwrap().unwrap(), "", "an empty value is a value");

    let mut batch = Batch::new();
    batch.put("a", "replaced");
    batch.delete("b");
    batch.delete("never there");
    batch.put("d", "lost");
    batch.delete("d");
    batch.delete("e");
    batch.put("e", "kept");
    store.apply(batch).unwrap();
    assert_eq!(keys(store, "", "z", 10, Direction::Forward), ["a", "c", "e"]);
    assert_eq!(store.get(b"a").unwrap().unwrap(), "replaced");
    assert!(store.get(b"b").unwrap().is_none());
}

fn many_keys_are_answered_in_their_order(store: &dyn Store) {
    store.apply(batch_of(&[("a", "1"), ("b", "2"), ("c", ""), ("d", "4")])).unwrap();
    let mut batch = batch_of(&[("a", "replaced"), ("e", "5")]);
    batch.delete("d");
    store.apply(batch).unwrap();
    let get = |keys: &[&str]| {
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
        let values = store.get_many(&keys).unwrap();
        for (key, value) in keys.iter().zip(&values) {
            assert_eq!(*value, store.get(key).unwrap(), "{key:?}");
        }
        values
            .into_iter()
            .map(|value| value.map(|value| String::from_utf8(value.to_vec()).unwrap()))
            .collect::<Vec<_>>()
    };
    let some = |value: &str| Some(value.to_owned());
    assert_eq!(get(&[]), []);
    assert_eq!(
        get(&["e", "never there", "a", "c", "d", "b"]),
        [some("5"), None, some("replaced"), some(""), None, some("2")]
    );
    assert_eq!(get(&["b", "b", "d", "d"]), [some("2"), some("2"), None, None], "a key may come twice");
}

fn scans_have_half_open_bounds_limits_and_directions(store: &dyn Store) {
    store.apply(batch_of(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")])).unwrap();
    use Direction::{Forward, Reverse};
    assert_eq!(keys(store, "b", "d", 10, Forward), ["b", "c"]);
    assert_eq!(keys(store, "b", "d", 10, Reverse), ["c", "b"]);
    assert_eq!(keys(store, "a", "e", 2, Forward), ["a", "b"]);
    assert_eq!(keys(store, "a", "e", 2, Reverse), ["d", "c"]);
    assert_eq!(keys(store, "aa", "cc", usize::MAX, Reverse), ["c", "b"]);
    for direction in [Forward, Reverse] {
        assert!(keys(store, "b", "b", 10, direction).is_empty(), "an empty range");
        assert!(keys(store, "c", "b", 10, direction).is_empty(), "a range upside down");
        assert!(keys(store, "a", "e", 0, direction).is_empty(), "no rows asked for");
        assert!(keys(store, "", "", 10, direction).is_empty());
        assert!(keys(store, "bb", "c", 10, direction).is_empty(), "a gap");
    }
}

fn keys_are_ordered_as_unsigned_bytes(store: &dyn Store) {
    let sorted: [&[u8]; 7] = [&[1], &[1, 0], &[1, 1], &[0x7f], &[0x80], &[0xff], &[0xff, 0xff]];
    let mut batch = Batch::new();
    for key in sorted.iter().rev() {
        batch.put(Bytes::from_static(key), "x");
    }
    store.apply(batch).unwrap();
    let found: Vec<_> = dump(store).into_iter().map(|(key, _)| key.to_vec()).collect();
    assert_eq!(found, sorted);
}

fn prefixes_are_ranges(store: &dyn Store) {
    let mut batch = Batch::new();
    for key in [&[1u8, 0xfe][..], &[1, 0xff], &[1, 0xff, 0], &[1, 0xff, 0xff, 7], &[2], &[2, 0]] {
        batch.put(key.to_vec(), "x");
    }
    store.apply(batch).unwrap();
    let count = |prefix: &[u8]| store.scan(prefix, &prefix_end(prefix), 100, Direction::Reverse).unwrap().len();
    assert_eq!(count(&[1]), 4);
    assert_eq!(count(&[1, 0xff]), 3);
    assert_eq!(count(&[2]), 2);
    assert_eq!(count(&[]), 6);
}

fn values_up_to_the_limit_are_kept_and_over_it_refused(store: &dyn Store) {
    let largest = vec![7u8; MAX_VALUE_BYTES];
    let mut batch = Batch::new();
    batch.put("largest", largest.clone());
    store.apply(batch).unwrap();
    assert_eq!(store.get(b"largest").unwrap().unwrap(), largest);

    let mut batch = Batch::new();
    batch.put("over", vec![7u8; MAX_VALUE_BYTES + 1]);
    let error = store.apply(batch).unwrap_err();
    assert!(matches!(error, StoreError::ValueTooLarge { bytes, .. } if bytes == MAX_VALUE_BYTES + 1), "{error}");
}

fn keys_outside_the_limits_are_refused(store: &dyn Store) {
    let longest = vec![0xffu8; MAX_KEY_BYTES];
    let mut batch = Batch::new();
    batch.put(longest.clone(), "x");
    store.apply(batch).unwrap();
    assert_eq!(dump(store), [(Bytes::from(longest), Bytes::from("x"))]);

    for key in [vec![], vec![1u8; MAX_KEY_BYTES + 1]] {
        let mut put = Batch::new();
        put.put(key.clone(), "x");
        assert!(matches!(store.apply(put), Err(StoreError::KeyLength { .. })));
        let mut delete = Batch::new();
        delete.delete(key);
        assert!(matches!(store.apply(delete), Err(StoreError::KeyLength { .. })));
    }
    let mut reserved = Batch::new();
    reserved.put(vec![0, 1], "x");
    assert!(matches!(store.apply(reserved), Err(StoreError::KeyReserved)));
    assert_eq!(store.get(b"\0last").unwrap(), None, "the store's own rows are not shown");
}

fn batches_over_the_limit_are_refused(store: &dyn Store) {
    let value = Bytes::from(vec![1u8; MAX_VALUE_BYTES]);
    let rows = MAX_BATCH_BYTES / MAX_VALUE_BYTES;
    let mut batch = Batch::new();
    for row in 0..rows as u32 {
        batch.put((1 << 24 | row).to_be_bytes().to_vec(), value.clone());
    }
    assert!(batch.bytes() > MAX_BATCH_BYTES);
    assert!(matches!(store.apply(batch), Err(StoreError::BatchTooLarge { .. })));
    assert!(dump(store).is_empty());
}

fn a_refused_batch_changes_nothing(store: &dyn Store) {
    store.apply(batch_of(&[("a", "1"), ("b", "2")])).unwrap();
    let before = dump(store);
    let mut batch = batch_of(&[("a", "changed"), ("new", "x")]);
    batch.delete("b");
    batch.put("z", vec![0u8; MAX_VALUE_BYTES + 1]);
    assert!(store.apply(batch).unwrap_err().is_refusal());
    assert_eq!(dump(store), before);
    assert!(store.poisoned().is_none(), "a refusal is the caller's fault, not the disk's");
    store.apply(batch_of(&[("c", "3")])).unwrap();
}

fn readers_run_beside_the_writer(store: &dyn Store) {
    const ROUNDS: u32 = 40;
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut latest = 0;
            while latest < ROUNDS {
                let Some(value) = store.get(b"round").unwrap() else {
                    continue;
                };
                let round = u32::from_be_bytes(value.as_ref().try_into().unwrap());
                assert!(round >= latest, "time ran backwards");
                latest = round;
                let rows = store.scan(b"row", b"rox", 100, Direction::Reverse).unwrap();
                assert!(rows.windows(2).all(|pair| pair[0].0 > pair[1].0), "rows out of order");
            }
        });
        for round in 1..=ROUNDS {
            let mut batch = Batch::new();
            batch.put(format!("row{}", round % 7), vec![0u8; 100]);
            batch.delete(format!("row{}", (round + 1) % 7));
            batch.put("round", round.to_be_bytes().to_vec());
            store.apply(batch).unwrap();
        }
        reader.join().unwrap();
    });
}

fn contents_survive_reopening(mut subject: Box<dyn Subject>) {
    let mut expected = BTreeMap::new();
    for round in 0u32..4 {
        for step in 0u32..25 {
            let mut batch = Batch::new();
            for row in 0u32..8 {
                let key = Bytes::from((1 << 24 | ((step * 7 + row * 13 + round) % 97)).to_be_bytes().to_vec());
                if (step + row) % 5 == 0 {
                    expected.remove(&key);
                    batch.delete(key);
                } else {
                    let value = Bytes::from(vec![row as u8; (step * 100 + round) as usize]);
                    expected.insert(key.clone(), value.clone());
                    batch.put(key, value);
                }
            }
            subject.store().apply(batch).unwrap();
        }
        subject = subject.reopen();
        let expected: Vec<_> = expected.clone().into_iter().collect();
        assert_eq!(dump(subject.store()), expected);
    }
    assert!(subject.store().size_on_disk_bytes().unwrap() > 0);
}
