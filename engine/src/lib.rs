//! From a committed event to a settled delivery. A process has a [`node`], and one [`partition`] or several; then come
//! the stages, in the order in which a delivery meets them. Which may use which is in `tidy/src/rooms.rs`.

pub mod config;

pub mod clock;

pub mod node;

pub mod partition;

pub mod partition_id;

pub mod fairness;

pub mod pace;

pub mod jobs;

pub mod retention;

pub mod orders;

pub mod scheduled;

pub mod delivery_state;

mod erasing;

mod gauges;

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
pub use node::{Node, StartError};
pub use partition::{Backup, BackupPlace, OpenError, Partition};
pub use partition_id::PartitionId;
pub use storage::writer::{ChangeError, IngestError, IngestOutcome, MessageMore, NewMessage};
pub use waiting::{Gate, Held, Holding, Waiting, WaitingFor};
