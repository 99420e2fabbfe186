//! Event types: `name`, in byte order.

use super::key::key;
use super::value::{fields, value};
use model::EventType;

key!(EventType: (name: &str));
value!(EventType: EventType, version 1);

fields!(EventType {
    name,
    description,
    archived,
    deprecated,
    feature_flag,
    schemas,
    created_at,
    updated_at,
    group_name,
});
