# What CI does, by the name of the step. `just` alone lists them.

default:
    @just --list

# Formatting, lints, documentation.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Every test that needs nothing but this machine.
test:
    cargo test --workspace

# About 20 seconds of a real engine with a real receiver.
demo:
    cargo run --release -- demo

# The official SDKs against the real binary (needs Python and Node).
sdk:
    cargo build --release
    tests/sdk/run.sh

# Each benchmark once, so that none rots; `cargo bench` measures.
bench-smoke:
    cargo test --workspace --bench '*' -- --test

# The rules of alerts, the unit of systemd and the image, each by its own checker, if it is there.
ops:
    ops/check.sh

# Licences, sources, bans and advisories (needs cargo-deny).
deny:
    cargo deny check

# All of it, as CI runs it.
ci:
    bash .ci/run
