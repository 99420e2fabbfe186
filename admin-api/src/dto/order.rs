//! The order of an endpoint's messages in JSON: `none`, `endpoint` or `key`; and the effect of one that is given up: `skip` or
//! `pause`.

use model::{OnGiveUp, Order};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// In which order messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderKind {
    /// Several at once; one that fails holds up no other.
    None,
    /// One after the other, in the order of acceptance.
    Endpoint,
    /// One after the other among messages with the same `orderingKey`; others pass.
    Key,
}

impl From<OrderKind> for Order {
    fn from(kind: OrderKind) -> Order {
        match kind {
            OrderKind::None => Order::None,
            OrderKind::Endpoint => Order::Endpoint,
            OrderKind::Key => Order::Key,
        }
    }
}

impl From<Order> for OrderKind {
    fn from(order: Order) -> OrderKind {
        match order {
            Order::None => OrderKind::None,
            Order::Endpoint => OrderKind::Endpoint,
            Order::Key => OrderKind::Key,
        }
    }
}

/// The effect of a delivery that is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnGiveUpKind {
    /// The next one goes on.
    Skip,
    /// The endpoint is paused until it is resumed.
    Pause,
}

impl From<OnGiveUpKind> for OnGiveUp {
    fn from(kind: OnGiveUpKind) -> OnGiveUp {
        match kind {
            OnGiveUpKind::Skip => OnGiveUp::Skip,
            OnGiveUpKind::Pause => OnGiveUp::Pause,
        }
    }
}

impl From<OnGiveUp> for OnGiveUpKind {
    fn from(effect: OnGiveUp) -> OnGiveUpKind {
        match effect {
            OnGiveUp::Skip => OnGiveUpKind::Skip,
            OnGiveUp::Pause => OnGiveUpKind::Pause,
        }
    }
}
