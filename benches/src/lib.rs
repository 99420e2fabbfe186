//! One benchmark for each cost that Pinion claims; they are in `benches/`, and this library is empty.
