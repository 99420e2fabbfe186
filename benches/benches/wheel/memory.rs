//! Resident bytes per pending timer. Each is measured in a process of its own, since memory that one gives back to the
//! allocator the next one would find there.

use crate::load::Loaded;
use crate::timers::{HashWheel, Timers, TokioQueue};
use engine::retry::wheel::Wheel;
use std::process::Command;

/// Marks a process that is to answer with the resident bytes of one kind, and then its name and size.
const QUESTION: &str = "--resident-bytes-of";

/// True when this process was started to answer for one of these kinds.
pub(crate) fn is_asked(names: &[&str]) -> bool {
    let mut args = std::env::args().skip(1);
    args.next().as_deref() == Some(QUESTION) && args.next().is_some_and(|name| names.contains(&name.as_str()))
}

/// Fills what is asked for and prints how many bytes became resident.
pub(crate) fn answer() {
    let name = std::env::args().nth(2).unwrap_or_default();
    let size = std::env::args().nth(3).and_then(|text| text.parse().ok()).unwrap_or(0);
    match name.as_str() {
        TokioQueue::NAME => fill::<TokioQueue>(size),
        HashWheel::NAME => fill::<HashWheel>(size),
        _ => fill::<Wheel<u64>>(size),
    }
}

fn fill<T: Timers>(size: usize) {
    let before = resident_bytes();
    let loaded = Loaded::<T>::new(size);
    let keys = size * size_of::<T::Key>();
    println!("{}", resident_bytes().saturating_sub(before + keys));
    drop(loaded);
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}

/// Prints a line per size.
pub(crate) fn print(sizes: &[usize]) {
    let Ok(program) = std::env::current_exe() else { return };
    for size in sizes {
        for name in [Wheel::<u64>::NAME, TokioQueue::NAME, HashWheel::NAME] {
            let Ok(output) = Command::new(&program).args([QUESTION, name, &size.to_string()]).output() else { return };
            let bytes: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(f64::NAN);
            println!("resident/{name}/{size:<10} {:>6.1} bytes per timer", bytes / *size as f64);
        }
    }
}
