//! The rooms of the source tree, from top to bottom. ARCHITECTURE.md shows the same table.

use crate::tree::is_within;
use std::fmt::Write as _;

/// A part of the tree. A room uses only rooms below it.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Its name in ARCHITECTURE.md.
    pub name: &'static str,
    /// Its modules, each as `crate/module/…` without `src` and file ending. A module belongs to the room with the
    /// longest path that it is in; a crate's `lib.rs` belongs to no room.
    pub modules: &'static [&'static str],
    /// In a few words.
    pub holds: &'static str,
    /// Names of rooms below that it does not use all the same.
    pub avoids: &'static [&'static str],
}

const fn room(
    name: &'static str,
    modules: &'static [&'static str],
    holds: &'static str,
    avoids: &'static [&'static str],
) -> Room {
    Room { name, modules, holds, avoids }
}

/// Every crate of the product.
const ALL: &[&str] = &["server", "admin-api", "control", "engine", "storage", "model"];

/// The rooms, top to bottom.
pub const ROOMS: &[Room] = &[
    room("tidy", &["tidy"], "these rules, as tests", ALL),
    room("loadtest", &["loadtest"], "the load harness: drives any server of this API from outside", ALL),
    room("benches", &["benches"], "benchmarks of single parts", &[]),
    room(
        "sim",
        &["sim"],
        "the engine's cores under virtual time, with faults, from one seed",
        &["server", "admin-api"],
    ),
    room("server", &["server"], "the binary: command line, configuration, logs, listeners, start and stop", &[]),
    room(
        "admin-api",
        &["admin-api"],
        "the HTTP API in Svix's shape: requests in, answers out; no state of its own",
        &["storage"],
    ),
    room(
        "control",
        &["control"],
        "commands that change the store, queries that read it, the rules on both, and the record of each change",
        &[],
    ),
    room(
        "engine",
        &["engine/node", "engine/partition"],
        "what a process has once, what a store has once: the parts of a running engine put together",
        &[],
    ),
    room(
        "engine: upkeep",
        &["engine/watch", "engine/erasing", "engine/room"],
        "watches the disk and erases what was expunged",
        &[],
    ),
    room(
        "engine: router",
        &["engine/router"],
        "which endpoints an event goes to; tells the shards",
        &["engine: dispatch"],
    ),
    room(
        "engine: shard",
        &["engine/shard"],
        "a thread with its endpoints, timing wheel and connections: the loop from a delivery to a settlement",
        &[],
    ),
    room(
        "engine: jobs",
        &["engine/jobs", "engine/orders"],
        "replay, recover, redrive, purge: orders in steps",
        &["engine: dispatch"],
    ),
    room(
        "engine: standing",
        &["engine/delivery_state"],
        "how a delivery stands, from durable facts",
        &["engine: dispatch"],
    ),
    room(
        "engine: scheduled",
        &["engine/scheduled"],
        "messages with a time of their own: puts each in line when it comes",
        &["engine: dispatch"],
    ),
    room(
        "engine: endpoint",
        &["engine/endpoint"],
        "the lane of an endpoint: what is sent next, and when; breaker, window, rate limit",
        &[],
    ),
    room(
        "engine: prepare",
        &["engine/prepare"],
        "what is sent: the plan of an endpoint, its filter, headers, signature",
        &["storage"],
    ),
    room("engine: config", &["engine/config"], "every setting of the engine with its bounds", &[]),
    room("engine: retention", &["engine/retention"], "what is old and goes", &["engine: dispatch"]),
    room("engine: pace", &["engine/pace"], "an application's rate, over all shards", &["engine: dispatch"]),
    room("engine: waiting", &["engine/waiting"], "why an endpoint waits, in the words that the API shows", &[]),
    room(
        "engine: dispatch",
        &["engine/dispatch"],
        "one attempt: guard, lookup, connection, HTTP/1.1 and HTTP/2",
        &["storage: tables", "storage: writer"],
    ),
    room("engine: outcome", &["engine/outcome"], "what an attempt showed, and what follows from it", &["storage"]),
    room("engine: retry", &["engine/retry"], "schedule, retry budget, timing wheel", &["storage"]),
    room(
        "engine: basics",
        &[
            "engine/clock",
            "engine/fairness",
            "engine/gauges",
            "engine/partition_id",
            "engine/seal",
            "engine/observe",
            "engine/stall",
        ],
        "the clock, shares of tenants, sealed secrets, counting",
        &[],
    ),
    room(
        "storage: damage",
        &["storage/damage"],
        "salvage and repair: what a damaged store still holds, made consistent again",
        &["storage: writer"],
    ),
    room(
        "storage: backup",
        &["storage/backup"],
        "copies a store that goes on working, and makes a new one of the copy",
        &["storage: damage", "storage: writer"],
    ),
    room("storage: writer", &["storage/writer"], "the one thread that writes: group commit", &[]),
    room("storage: tables", &["storage/tables"], "what rows mean together", &[]),
    room("storage: txn", &["storage/txn", "storage/read"], "the writes of a request, and reads that see them", &[]),
    room("storage: rows", &["storage/rows"], "the layout of keys and values", &[]),
    room(
        "storage: disk",
        &["storage/disk"],
        "the embedded store: opening, reads over all layers, checkpoints, erasure",
        &[],
    ),
    room("storage: disk/map", &["storage/disk/map"], "the ordered map below the redo log: sled", &[]),
    room("storage: disk/values", &["storage/disk/values"], "the value files", &[]),
    room(
        "storage: disk/commit",
        &["storage/disk/commit", "storage/disk/error", "storage/disk/sync"],
        "the redo log and its recovery; errors and syncs of files",
        &[],
    ),
    room(
        "storage: store",
        &["storage/store", "storage/damage/flip"],
        "the contract: an ordered map with atomic durable batches; its model; sums that survive a flipped bit",
        &[],
    ),
    room("model", &["model"], "the words: ids, times, events, endpoints, attempts, names of metrics", &[]),
];

/// Arrows that point up all the same: from, to and the reason. One that is gone fails the test.
pub const UPWARD: &[(&str, &str, &str)] = &[
    (
        "storage: disk",
        "storage: damage",
        "opening finishes or refuses an interrupted repair, and names damage that it finds",
    ),
    ("storage: disk", "storage: rows", "opening says which kinds of keys have their values in value files"),
];

/// The place in [`ROOMS`] of the room of a module such as `engine/router/routes`.
#[must_use]
pub fn room_of(rooms: &[Room], module: &str) -> Option<usize> {
    let inside = |room: &Room| {
        let lengths = room.modules.iter().filter(|each| is_within(module, each)).map(|each| each.len());
        lengths.max()
    };
    let found = rooms.iter().enumerate().filter_map(|(at, room)| Some((inside(room)?, at)));
    found.max().map(|(_, at)| at)
}

/// The table of ARCHITECTURE.md.
#[must_use]
pub fn render(rooms: &[Room]) -> String {
    let mut table = String::from("| room | holds | and does not use |\n|---|---|---|\n");
    for room in rooms {
        let modules: Vec<String> = room.modules.iter().map(|module| format!("`{module}`")).collect();
        let name = if room.modules == [room.name] {
            modules.join("")
        } else {
            format!("{} ({})", room.name, modules.join(", "))
        };
        let avoids = if room.avoids == ALL { "any crate of the product".to_owned() } else { room.avoids.join(", ") };
        // Writing to a string does not fail.
        let _ignored = writeln!(table, "| {name} | {} | {avoids} |", room.holds);
    }
    table
}
