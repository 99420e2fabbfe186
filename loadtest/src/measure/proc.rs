//! CPU time and memory of a process on Linux, from `/proc`.
//!
//! Elsewhere there is nothing, and nothing is reported. No crate is used for three lines of text.

use std::fs;
use std::path::Path;

/// The kernel reports times in ticks of 1/100 s on every platform that we build for.
const TICKS_PER_S: f64 = 100.0;

/// CPU and memory of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// CPU seconds since its start, user and system.
    pub(crate) cpu_s: f64,
    /// Resident memory in bytes.
    pub(crate) resident_bytes: u64,
    /// The most it ever was, in bytes.
    pub(crate) resident_max_bytes: u64,
}

impl Usage {
    /// Of a process; `None` when it is gone, or there is no `/proc`.
    pub(crate) fn of(pid: u32) -> Option<Usage> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Usage {
            cpu_s: cpu_s(&stat)?,
            resident_bytes: memory(&status, "VmRSS:")?,
            resident_max_bytes: memory(&status, "VmHWM:")?,
        })
    }
}

/// Fields 14 and 15; the name, field 2, may hold spaces and parentheses.
fn cpu_s(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_S)
}

fn memory(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1_024)
}

/// True when a folder is on a file system in memory, where a barrier costs nothing and a figure means nothing.
pub(crate) fn is_memory_backed(folder: &Path) -> bool {
    let Ok(mounts) = fs::read_to_string("/proc/mounts") else { return false };
    let longest = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (at, kind) = (fields.nth(1)?, fields.next()?);
            folder.starts_with(at).then_some((at.len(), kind))
        })
        .max_by_key(|(len, _)| *len);
    longest.is_some_and(|(_, kind)| matches!(kind, "tmpfs" | "ramfs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 100 1000 200";
        assert_eq!(cpu_s(stat), Some(3.0));
    }

    #[test]
    fn memory_is_in_kib() {
        assert_eq!(memory("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n", "VmRSS:"), Some(1 << 20));
        assert_eq!(memory("Name:\tx\n", "VmRSS:"), None);
    }
}
