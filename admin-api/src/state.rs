//! What every handler holds: the engine, the root key's hash and the bounds.
//!
//! The only file that calls the engine: handlers ask the state. Deliberately no caches but [`AppNames`]: reads are point
//! reads of an embedded store.

use crate::app_names::AppNames;
use crate::auth::key::KeyHash;
use crate::body_room::Room;
use crate::error::ApiError;
use crate::limits::{ApiLimits, PAGE_PAYLOAD_BYTES};
use crate::reader::Readers;
use crate::requests::Requests;
use crate::usage::REFUSING;
use control::Control;
use engine::{EngineConfig, Partition, Standings, Waiting};
use model::metric;
use model::{AppId, Endpoint, EndpointRef, UnixMs};
use std::ops::Deref;
use std::sync::Arc;
use storage::StoreError;
use storage::read::SharedStore;
use storage::txn::Txn;

/// The state of the API; cheap to clone.
#[derive(Clone)]
pub struct ApiState(Arc<Parts>);

/// What [`ApiState`] holds.
pub struct Parts {
    engine: Partition,
    /// Commands.
    pub(crate) control: Control,
    /// The hash of the key that may do everything.
    pub(crate) root_key: KeyHash,
    /// The bounds.
    pub(crate) limits: ApiLimits,
    /// Places for requests that are being answered.
    pub(crate) requests: Requests,
    /// The line of reads that take more than a few rows.
    pub(crate) readers: Arc<Readers>,
    /// Memory for larger bodies of requests.
    pub(crate) body_room: Arc<Room>,
    /// Memory for larger answers that are not read yet.
    pub(crate) answer_room: Arc<Room>,
    app_names: AppNames,
}

impl Deref for ApiState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl ApiState {
    /// Over a running engine.
    #[must_use]
    pub fn new(engine: Partition, root_key: KeyHash, limits: ApiLimits) -> ApiState {
        let (requests, readers) = (Requests::new(limits.concurrent_requests), Readers::new());
        // Series that would otherwise appear with their first event only.
        for quota in REFUSING {
            metrics::counter!(metric::QUOTA_REFUSALS, "quota" => quota).increment(0);
        }
        let largest_bytes = limits.batch_body_bytes.max(limits.body_bytes);
        let body_room = Room::new(limits.bodies_bytes, largest_bytes, metrics::gauge!(metric::API_BODIES_BYTES));
        // Whatever is answered to the largest of pages is of this order.
        let largest_bytes = 4 * PAGE_PAYLOAD_BYTES;
        let answer_room = Room::new(limits.answers_bytes, largest_bytes, metrics::gauge!(metric::API_ANSWERS_BYTES));
        let app_names = AppNames::default();
        let control = Control::new(engine.clone(), limits.quotas);
        let parts = Parts { engine, control, root_key, limits, requests, readers, body_room, answer_room, app_names };
        ApiState(Arc::new(parts))
    }

    /// Changes rows, durably and all at once, or not at all.
    pub(crate) async fn change<T, F>(&self, change: F) -> Result<T, ApiError>
    where
        F: FnOnce(&mut Txn<'_>) -> Result<T, ApiError> + Send + 'static,
        T: Send + 'static,
    {
        Ok(self.engine.change(change).await?)
    }

    /// The source of point reads.
    pub(crate) fn store(&self) -> &SharedStore {
        self.engine.store()
    }

    /// The number of the application of an id or a uid.
    pub(crate) fn app_id(&self, text: &str) -> Result<Option<AppId>, StoreError> {
        let version = self.engine.applications_version();
        self.app_names.find(&**self.store(), version, text)
    }

    /// Bounds of the engine.
    pub(crate) fn engine_config(&self) -> &EngineConfig {
        self.engine.config()
    }

    /// The thing of Pinion's own that an endpoint waits for.
    pub(crate) async fn waiting(&self, target: EndpointRef) -> Option<Waiting> {
        self.engine.waiting(target).await
    }

    /// The time of rows that are written now.
    pub(crate) fn now(&self) -> UnixMs {
        self.engine.now()
    }

    /// Reads how deliveries of an endpoint stand.
    pub(crate) fn standings<'a>(&self, endpoint: &'a Endpoint) -> Result<Standings<'a>, ApiError> {
        Ok(Standings::read(&**self.store(), endpoint)?)
    }
}

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gave no random bytes");
        ApiError::Internal
    })?;
    Ok(bytes)
}
