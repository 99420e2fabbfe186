//! From a committed event to a settled delivery. Behind what all use, the stages are declared in the order in which a
//! delivery meets them. Which may use which is in `tidy/src/rooms.rs`.

pub mod config;

pub mod clock;

pub mod engine;

pub mod fairness;

pub mod pace;

pub mod jobs;

pub mod retention;

pub mod orders;

pub mod delivery_state;

mod erasing;

mod observe;

mod room;

mod stall;

mod watch;

pub mod waiting;

pub mod router;

pub mod shard;

pub mod endpoint;

pub mod prepare;

pub mod dispatch;

pub mod outcome;

pub mod retry;

pub mod seal;

pub use config::EngineConfig;
pub use delivery_state::{DeliveryState, Standings};
pub use engine::{Engine, StartError};
pub use storage::writer::{ChangeError, IngestError, IngestOutcome, MessageMore, NewMessage};
pub use waiting::{Waiting, WaitingFor};
