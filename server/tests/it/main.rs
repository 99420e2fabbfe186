//! The real binary, over real sockets and a real disk: one test program for the whole crate.

mod harness;

mod command_line;
mod harness_itself;
mod keys;
mod lifecycle;
