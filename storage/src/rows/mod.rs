//! The layout of every row: one file per kind holds its key, its value and their versions.
//!
//! One ordered tree holds everything. The first byte of a key is its [`KeyKind`]. Numbers follow big-endian and at full
//! width, so that byte order is the order of the tuple that the key stands for. Text stands only at the end of a key,
//! so that it needs no terminator. The first byte of a value is the version of its kind's layout. Its fields follow in
//! the order of the row's file: see [`value`].
//!
//! It knows nothing of the meaning of rows together: that is for [`crate::tables`].

pub mod key;
pub mod value;

pub mod api_key;
pub mod application;
pub mod application_uid;
pub mod deleted_endpoint;
pub mod endpoint;
pub mod endpoint_uid;
pub mod endpoint_url;
pub mod event_type;
pub mod meta;

pub mod called_off;
pub mod event;
pub mod event_uid;
pub mod expunge_at;
pub mod idempotency;
pub mod payload;
pub mod routed;
pub mod scheduled;

pub mod cursor;
pub mod dead_letter;
pub mod dead_letter_by_time;
pub mod dead_letter_days;
pub mod due;
pub mod expired;
pub mod gap;
pub mod health;
pub mod pending;

pub mod audit;
pub mod audit_by_app;

pub mod attempt_first;
pub mod attempt_later;
pub mod attempt_later_by_seq;

pub mod job;

pub use key::{DIGEST_BYTES, KeyKind, KeyRange, digest};
