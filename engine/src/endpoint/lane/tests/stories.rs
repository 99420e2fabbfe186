//! The main stories of a lane, told one by one.
