//! The JSON of the API: one file for each kind of thing, named as the clients name it.
//!
//! Both generations of clients are served by one body: fields that they call differently are sent under both names and
//! taken under either. A field that is not known is refused by its path: no field of a caller is dropped in silence.
//! No I/O: a value is validated and turned into words of `model` here, and stored by [`crate::routes`].

pub(crate) mod failover;
pub(crate) mod fields;
pub(crate) mod timestamp;

pub(crate) mod api_key;
pub(crate) mod application;
pub(crate) mod event_type;
pub(crate) mod usage;

pub(crate) mod endpoint;
pub(crate) mod endpoint_header;
pub(crate) mod endpoint_secret;
pub(crate) mod endpoint_state;
pub(crate) mod endpoint_test;
pub(crate) mod filter;
pub(crate) mod order;
pub(crate) mod policy;
pub(crate) mod retry_policy;
pub(crate) mod signature_format;

pub(crate) mod batch;
pub(crate) mod bulk;
pub(crate) mod environment;
pub(crate) mod message;
pub(crate) mod message_answer;

pub(crate) mod attempt;
pub(crate) mod attempt_details;
pub(crate) mod audit;
pub(crate) mod dead_letter;
pub(crate) mod job;
pub(crate) mod status;
