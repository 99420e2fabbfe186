//! The receiver: the server of a customer, reduced to the parts that must be checked.
//!
//! ```text
//! socket ─▶ hyper or lean (HTTP) ─▶ intake (path, number, signature, manner) ─▶ ledger, recorder
//! ```
//! On threads of its own. It shares only the ledger with everything that pushes.

mod hyper;
mod intake;
mod lean;
mod listen;
mod manner;
mod signature;

pub(crate) use self::intake::{Intake, path};
pub(crate) use self::listen::Receiver;
pub(crate) use self::manner::{Manner, Manners};
pub(crate) use self::signature::{HEX_HEADER, Keys, Scheme, sign};

#[cfg(test)]
mod tests;
