//! Tests of the engine against real sockets on the loopback interface. One binary, one module per subject.

mod dispatch;
mod receiver;
