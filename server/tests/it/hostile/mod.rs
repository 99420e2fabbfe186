//! Tenants, receivers and strangers who mean harm, against the real binary with a neighbour beside them.
//!
//! One file for each kind of attack. Each prints the neighbour's deliveries, alone and beside the attack, and fails
//! when they are less than docs/GUARANTEES.md promises. The short forms run in CI.

#[cfg(target_os = "linux")]
mod attackers;
pub(crate) mod authority;
#[cfg(target_os = "linux")]
mod bodies;
#[cfg(target_os = "linux")]
mod edge;
mod h2_receiver;
mod handshakes;
mod http2;
#[cfg(target_os = "linux")]
mod jobs;
#[cfg(target_os = "linux")]
mod moody;
#[cfg(target_os = "linux")]
mod names;
mod places;
#[cfg(target_os = "linux")]
mod quotas;
#[cfg(target_os = "linux")]
mod slow_clients;
#[cfg(target_os = "linux")]
mod strangers;
mod tls_floods;
#[cfg(target_os = "linux")]
mod together;
#[cfg(target_os = "linux")]
mod work;

#[allow(dead_code, reason = "attacks come and go; the neighbour stays")]
mod neighbour;
