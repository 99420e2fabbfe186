//! Looks at the store: what is read for one answer, and in which order.
