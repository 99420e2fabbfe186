//! The least of HTTP/1.1 that a client needs which talks to one server over kept-alive connections.
//!
//! A request is bytes that were prepared once; an answer is its status and body. Understood: `Content-Length`, answers
//! without a body, keep-alive. It does not support chunked answers, pipelining, redirects, TLS. A full client would
//! cost as much CPU as the engine under test, on the same cores.

mod connection;
mod request;

pub(crate) use self::connection::Connection;
pub(crate) use self::request::request;
