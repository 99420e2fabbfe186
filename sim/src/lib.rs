//! A deterministic simulation of Pinion, under virtual time, all from one seed. It runs the very structs that the
//! engine's threads drive (writer, router, shards, lanes, jobs, retention), on the model store and with a scripted
//! network.
//!
//! ```text
//! seed ─▶ plan ─▶ world ── step ──▶ node (writer, router, shards, jobs, janitor) ── apply ──▶ disk
//!                  │  ▲              │ attempts                                                │ every batch
//!                  │  └── answers ◀── network                                                  ▼
//!                  └── crashes, faults, requests, time ──────────────────────────────────▶  oracle
//! ```
//!
//! A step is the smallest thing that happens at once: one commit, one message of one mailbox, one read, one answer of a
//! receiver, one request of a client. Between any two the process may die with everything in memory. The oracle sees
//! what is on disk, what receivers got and what clients were told, and checks what users were promised.
//!
//! Deliberately not the engine's shells (threads, actors, sockets): those are redone here in as few lines as possible.
//! Deliberately no clock, no thread and no source of randomness but the seed.

pub mod plan;

pub mod trace;

pub mod time;

pub mod disk;
pub mod plant;

pub mod network;

pub mod node;

pub mod client;

pub mod oracle;

pub mod world;

pub use oracle::Violation;
pub use plan::Plan;
pub use plant::Plant;
pub use world::{Failure, Report, run};
