//! The system under test: the process, and its API as far as a load test needs it.

mod api;
mod binary;
mod pinion;

pub(crate) use self::api::{Access, BACKUP, EndpointSpec, Provisioner, app_uid};
pub(crate) use self::pinion::Pinion;
