//! Floods below HTTP: TLS that carries nothing, or next to nothing.

use super::h2_receiver::Attack;
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, Write as _};
use std::sync::Arc;

/// Records of one piece.
const RECORDS: usize = 1_000;
/// Tickets that a handshake ends with: about 100 KB. More take a debug build of the receiver seconds to make.
const TICKETS: usize = 1_000;

/// The receiver's TLS settings for a flood.
pub(super) fn config(mut config: Arc<ServerConfig>, attack: Attack) -> Arc<ServerConfig> {
    if attack == Attack::Tickets {
        Arc::make_mut(&mut config).send_tls13_tickets = TICKETS;
    }
    config
}

/// Makes the next records of the flood.
pub(super) fn piece(connection: &mut ServerConnection, attack: Attack) -> io::Result<()> {
    for _ in 0..RECORDS {
        match attack {
            Attack::KeyUpdates => connection.refresh_traffic_keys().map_err(io::Error::other)?,
            // Each call makes a record.
            _ => connection.writer().write_all(b"x")?,
        }
    }
    Ok(())
}
