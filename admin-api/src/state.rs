//! The state that every handler holds: the engine, the root key's hash and the bounds.
//!
//! The only file that calls the engine: handlers ask the state, or [`Control`].

use crate::auth::Uses;
use crate::body_room::Room;
use crate::limits::ApiLimits;
use crate::rate::Meter;
use crate::reader::Readers;
use crate::requests::Requests;
use crate::usage::REFUSING;
use control::Control;
use control::key::KeyHash;
use control::query::View;
use control::query::bounds::PAGE_PAYLOAD_BYTES;
use engine::prepare::Plan;
use engine::seal::PUBLIC_KEY_LEN;
use engine::{EngineConfig, Holding, Partition};
use model::metric;
use model::{Endpoint, EndpointRef, UnixMs};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// The state of the API; cheap to clone.
#[derive(Clone)]
pub struct ApiState(Arc<Parts>);

/// The parts that [`ApiState`] holds.
pub struct Parts {
    engine: Partition,
    /// Commands.
    pub(crate) control: Control,
    /// The hash of the key that may do everything.
    pub(crate) root_key: KeyHash,
    /// Keys whose use is being noted.
    pub(crate) uses: Uses,
    /// Requests by limit.
    pub(crate) meter: Meter,
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
        let control = Control::new(engine.clone(), limits.quotas, limits.tiers.clone());
        let (uses, meter) = (Uses::default(), Meter::new(&limits.tiers));
        let parts = Parts { engine, control, root_key, uses, meter, limits, requests, readers, body_room, answer_room };
        ApiState(Arc::new(parts))
    }

    /// The store as far as it is committed, which queries read.
    pub(crate) fn view(&self) -> &View {
        self.control.view()
    }

    /// The thing of Pinion's own that an endpoint waits for.
    pub(crate) async fn holding(&self, target: EndpointRef) -> Holding {
        self.engine.holding(target).await
    }

    /// The settings of endpoints where neither they nor their application have any.
    pub(crate) fn defaults(&self) -> &EngineConfig {
        self.engine.config()
    }

    /// The plan that an endpoint's row, as it is now, leads to.
    pub(crate) fn plan_of(&self, row: &Endpoint) -> Plan {
        self.engine.plan_of(row)
    }

    /// The longest that an attempt at an endpoint takes.
    pub(crate) fn attempt_timeout(&self, row: &Endpoint) -> Duration {
        let timeout_ms = row.timeout_ms.unwrap_or(self.engine.config().attempt_timeout_ms);
        Duration::from_millis(timeout_ms.into())
    }

    /// The key that the signatures of the audit log are checked with.
    pub(crate) fn audit_public_key(&self) -> [u8; PUBLIC_KEY_LEN] {
        self.engine.master().audit_key().public()
    }

    /// The time of rows that are written now.
    pub(crate) fn now(&self) -> UnixMs {
        self.engine.now()
    }
}
