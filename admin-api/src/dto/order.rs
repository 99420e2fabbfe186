//! The order of an endpoint's messages in JSON: `none`, `endpoint` or `key`.

use model::Order;
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
