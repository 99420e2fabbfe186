//! Stores with a few rows, for the tests of queries.

use model::{AppId, Application, Endpoint, EndpointId, EndpointRef, Event, Seq, UnixMs};
use storage::store::MemoryStore;
use storage::tables::{application, endpoint, log};
use storage::{Store, StoreError, Txn};

/// The application of tests.
pub(crate) const APP: AppId = AppId(1);

/// A store with the rows that `change` writes.
pub(crate) fn store_of(change: impl FnOnce(&mut Txn<'_>) -> Result<(), StoreError>) -> MemoryStore {
    let store = MemoryStore::new();
    write(&store, change);
    store
}

/// Writes more.
pub(crate) fn write(store: &MemoryStore, change: impl FnOnce(&mut Txn<'_>) -> Result<(), StoreError>) {
    let mut txn = Txn::new(store);
    change(&mut txn).unwrap();
    store.apply(txn.into_parts().batch).unwrap();
}

/// An application with a uid.
pub(crate) fn put_app(txn: &mut Txn<'_>, id: u32, uid: &str) -> Result<(), StoreError> {
    let row = Application {
        salt: 7,
        uid: Some(uid.to_owned()),
        name: String::new(),
        ..Application::plain(AppId(id), UnixMs(1))
    };
    application::put(txn, &row)
}

/// An endpoint of [`APP`].
pub(crate) fn plain_endpoint(number: u32) -> Endpoint {
    Endpoint::plain(EndpointRef { app: APP, endpoint: EndpointId(number) }, UnixMs(1))
}

/// Endpoints 1 to `count` of [`APP`].
pub(crate) fn put_endpoints(txn: &mut Txn<'_>, count: u32) -> Result<(), StoreError> {
    (1..=count).try_for_each(|number| endpoint::put(txn, &plain_endpoint(number)))
}

/// A message of [`APP`] that was taken at ten times its position.
pub(crate) fn message(seq: u64, event_type: &str, payload_bytes: usize) -> Event {
    Event {
        app: APP,
        seq: Seq(seq),
        accepted_at: UnixMs(10 * seq),
        event_type: event_type.into(),
        event_id: None,
        channels: Vec::new(),
        only_for: None,
        more: None,
        payload: vec![b'x'; payload_bytes].into(),
    }
}

/// Messages of [`APP`], in a commit each.
pub(crate) fn append(store: &MemoryStore, events: impl IntoIterator<Item = Event>) {
    for event in events {
        write(store, |txn| log::append(txn, APP, &[event]));
    }
}
