//! Metrics of this process from the operating system, under the names that Prometheus uses for every process.
//!
//! They are read from `/proc` at each scrape. Without a `/proc` these metrics are missing, and only these.

/// Ticks per second in `/proc/self/stat`: a constant of the Linux user interface (USER_HZ), not of the kernel's build.
const TICKS_PER_S: f64 = 100.0;

/// The values read from `/proc`. A value that cannot be read is left out, and the others are still shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Process {
    cpu_s: Option<f64>,
    resident_bytes: Option<u64>,
    threads: Option<u64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
    start_time_s: Option<f64>,
}

/// The lines for a scrape, in the text format of Prometheus.
pub(crate) fn render() -> String {
    read().to_text()
}

fn read() -> Process {
    let file = |name: &str| std::fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
    let stat = file("self/stat");
    let mut process = Process {
        cpu_s: cpu_s(&stat),
        resident_bytes: status_field(&file("self/status"), "VmRSS:").map(|kib| kib * 1024),
        threads: status_field(&file("self/status"), "Threads:"),
        open_fds: std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
        max_fds: max_fds(&file("self/limits")),
        start_time_s: None,
    };
    let boot_time_s = status_field(&file("stat"), "btime ");
    process.start_time_s =
        stat_field(&stat, 19).zip(boot_time_s).map(|(ticks, boot_s)| boot_s as f64 + ticks as f64 / TICKS_PER_S);
    process
}

/// A field of `/proc/self/stat` by its place after the name of the program, which may hold anything, spaces too.
fn stat_field(stat: &str, index: usize) -> Option<u64> {
    stat.rsplit_once(") ")?.1.split(' ').nth(index)?.parse().ok()
}

fn cpu_s(stat: &str) -> Option<f64> {
    let (user, system) = (stat_field(stat, 11)?, stat_field(stat, 12)?);
    Some((user + system) as f64 / TICKS_PER_S)
}

/// The number of a line `name  number unit`.
fn status_field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// The soft limit.
fn max_fds(limits: &str) -> Option<u64> {
    status_field(limits, "Max open files")
}

// === impl Process ===

impl Process {
    fn to_text(self) -> String {
        let whole = |value: Option<u64>| value.map(|value| value as f64);
        let lines = [
            ("process_cpu_seconds_total", "counter", "User and system CPU time spent.", self.cpu_s),
            ("process_resident_memory_bytes", "gauge", "Resident memory.", whole(self.resident_bytes)),
            ("process_threads", "gauge", "Threads.", whole(self.threads)),
            ("process_open_fds", "gauge", "Open file descriptors.", whole(self.open_fds)),
            ("process_max_fds", "gauge", "The limit of open file descriptors.", whole(self.max_fds)),
            ("process_start_time_seconds", "gauge", "When the process started, in Unix time.", self.start_time_s),
        ];
        let mut out = String::new();
        for (name, kind, help, value) in lines {
            if let Some(value) = value {
                out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n"));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "7 (a (b) c) S 1 7 7 0 -1 4194560 123 0 0 0 250 50 0 0 20 0 9 0 1000 1 2 3";

    #[test]
    fn fields_are_counted_behind_the_name() {
        assert_eq!(cpu_s(STAT), Some(3.0));
        assert_eq!(stat_field(STAT, 19), Some(1000));
        assert_eq!(cpu_s(""), None);
    }

    #[test]
    fn limits_and_status_are_read() {
        assert_eq!(max_fds("Max open files            1024                 4096                 files\n"), Some(1024));
        assert_eq!(max_fds("Max open files            unlimited            unlimited            files\n"), None);
        assert_eq!(status_field("Name:\tx\nVmRSS:\t  1234 kB\n", "VmRSS:"), Some(1234));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        assert_eq!(Process::default().to_text(), "");
        let text = Process { cpu_s: Some(1.5), ..Process::default() }.to_text();
        assert!(text.starts_with("# HELP process_cpu_seconds_total ") && text.ends_with("seconds_total 1.5\n\n"));
    }
}
