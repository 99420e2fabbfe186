//! Hands settlements to the writer: once per turn of this thread, whatever happened in it, as one batch.
//!
//! Deliberately no timer: the task runs after the tasks that were ready before it, so a batch grows with the load.

use super::core::{ShardCore, Watch};
use std::rc::Rc;

/// Reports whenever there is something to report. Never ends.
pub(super) async fn run(shard: Rc<ShardCore>) {
    let _watch = Watch(&shard);
    loop {
        shard.report_wanted.notified().await;
        shard.report_now();
    }
}
