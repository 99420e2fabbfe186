//! Recovery: to come.
