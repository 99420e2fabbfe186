//! The rules of this source tree. Each rule is a function from the files to what is wrong with them; `tests/it` runs
//! all of them on the real tree. The lists that a change of the tree edits are in [`rooms`], [`reserved`] and
//! [`answers`].
//!
//! It reads the sources as text and compiles none of them, so that it answers in seconds. The dashboard of `ops` is made
//! here too, from the table in [`panels`].

pub mod tree;

pub mod rust;

pub mod rooms;

pub mod uses;

pub mod arrows;

pub mod circles;

pub mod reserved;

pub mod shape;

pub mod answers;

pub mod documents;

pub mod words;

pub mod promql;

pub mod alerts;

pub mod panels;

pub mod board;

pub mod packaging;
