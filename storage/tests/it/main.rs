//! What only a real process on a real disk can show. One binary, one file per subject.

mod kill;
