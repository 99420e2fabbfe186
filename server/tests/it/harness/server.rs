//! The real binary on free loopback ports and a data directory of its own.

use super::Watched;
use super::client::{Client, Response};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A start takes well below a second; this is for a loaded machine.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Log lines kept per process.
const MAX_LINES: usize = 100_000;

/// The lines that a process wrote to standard error so far.
#[derive(Debug, Default)]
struct Output {
    lines: Vec<String>,
    ended: bool,
}

/// A process that ended instead of starting.
#[derive(Debug)]
pub(crate) struct Exited {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

/// The running server. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    output: Arc<Watched<Output>>,
    api: SocketAddr,
    metrics: SocketAddr,
    data: Arc<TempDir>,
    launch: Launch,
}

/// The settings of a process, to start it again the same way.
#[derive(Clone, Debug, Default)]
struct Launch {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// No file of it may grow beyond this: the next write fails, as on a full disk.
    file_size_kib: Option<u32>,
    /// The soft limit of open files that it is started with.
    open_files: Option<u32>,
    /// The limit of open files, which it cannot raise.
    open_files_max: Option<u32>,
}

/// Names a release build, which is tested then in place of the test's own.
const RELEASE: &str = "PINION_TEST_BINARY";

/// True if a release build is tested.
pub(crate) fn is_release() -> bool {
    std::env::var_os(RELEASE).is_some() || !cfg!(debug_assertions)
}

/// The binary with a clean environment: no variable of ours from outside but [`RELEASE`].
pub(crate) fn pinion() -> Command {
    let binary = std::env::var_os(RELEASE).unwrap_or_else(|| env!("CARGO_BIN_EXE_pinion").into());
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PINION_")) {
        command.env_remove(name);
    }
    command.env_remove("SSL_CERT_FILE");
    command.stdin(Stdio::null());
    command
}

/// Runs `pinion repair` on the data directory below this folder: its report, or why it refused.
pub(crate) fn repair(folder: &Path) -> Result<String, String> {
    let output = pinion().arg("repair").arg("--data-dir").arg(folder.join("data")).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

// === impl Launch ===

impl Launch {
    fn command(&self) -> Command {
        // The limit of a file is in blocks of 512 bytes. Its signal is ignored, so that the write fails instead.
        let file_size = self.file_size_kib.map(|kib| format!("trap '' XFSZ; ulimit -f {};", kib * 2));
        let open_files = self.open_files.map(|count| format!("ulimit -Sn {count};"));
        let open_files = open_files.or(self.open_files_max.map(|count| format!("ulimit -n {count};")));
        if file_size.is_none() && open_files.is_none() {
            return pinion();
        }
        let script = format!("{} {} exec \"$@\"", file_size.unwrap_or_default(), open_files.unwrap_or_default());
        let program = pinion();
        let mut command = Command::new("sh");
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).args(["-c", &script, "sh"]).arg(program.get_program());
        command
    }
}

// === impl Server ===

impl Server {
    /// Starts on an empty data directory. Loopback targets are allowed; flags in `arguments` win over that.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub(crate) fn start(arguments: &[&str]) -> Server {
        Server::try_start(arguments).unwrap_or_else(|exited| panic!("the server did not start: {exited:?}"))
    }

    /// The same for a start that may be refused.
    pub(crate) fn try_start(arguments: &[&str]) -> Result<Server, Exited> {
        let data = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        Server::try_start_in(data, arguments, &[])
    }

    /// On a data directory that exists, with environment variables.
    pub(crate) fn try_start_in(
        data: Arc<TempDir>,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Server, Exited> {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        spawn(data, Launch { arguments, environment, ..Launch::default() })
    }

    /// On a disk that fails: no file may grow beyond `file_size_kib`.
    #[track_caller]
    pub(crate) fn start_on_small_disk(file_size_kib: u32) -> Server {
        let data = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let launch = Launch { file_size_kib: Some(file_size_kib), ..Launch::default() };
        spawn(data, launch).unwrap_or_else(|exited| panic!("the server did not start: {exited:?}"))
    }

    /// With a soft limit of open files.
    #[track_caller]
    pub(crate) fn start_with_open_files(open_files: u32) -> Server {
        let data = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let launch = Launch { open_files: Some(open_files), ..Launch::default() };
        spawn(data, launch).unwrap_or_else(|exited| panic!("the server did not start: {exited:?}"))
    }

    /// With a limit of open files that it cannot raise.
    pub(crate) fn try_start_within_open_files(open_files: u32, arguments: &[&str]) -> Result<Server, Exited> {
        let data = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let arguments = arguments.iter().map(ToString::to_string).collect();
        spawn(data, Launch { arguments, open_files_max: Some(open_files), ..Launch::default() })
    }

    /// Kills it (SIGKILL) and starts it again on the same data directory; ports change.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Starts it again after it ended.
    #[track_caller]
    pub(crate) fn start_again(&mut self) {
        let again = spawn(Arc::clone(&self.data), self.launch.clone());
        *self = again.unwrap_or_else(|exited| panic!("the server did not start again: {exited:?}"));
    }

    /// SIGKILL, as a crash does it, and waits for the end.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// When it has not ended at the deadline.
    #[track_caller]
    pub(crate) fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_exit(deadline)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process takes signals");
    }

    /// Waits for the process to end by itself.
    ///
    /// # Panics
    /// When it has not ended at the deadline.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let until = Instant::now() + deadline;
        // It ends a moment after it closed its standard error.
        let ended = self.output.wait(deadline, |output| output.ended.then_some(()));
        while ended.is_some() && Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the server did not end within {deadline:?}; its last lines: {:#?}", self.last_lines(20))
    }

    /// Calls the API with the root key: JSON in (`Value::Null`: no body), status and JSON out.
    #[track_caller]
    pub(crate) fn api(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.client().json(method, path, body)
    }

    /// The same, and the status must be as expected.
    #[track_caller]
    pub(crate) fn api_expect(&self, expected: u16, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.api(method, path, body);
        assert_eq!(status, expected, "{method} {path}: {answer}");
        answer
    }

    /// A client of the API with the root key.
    pub(crate) fn client(&self) -> Client {
        self.anonymous().with_bearer(&self.root_key())
    }

    /// A client of the API without a key.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(self.api)
    }

    /// Asks the metrics listener.
    #[track_caller]
    pub(crate) fn monitor(&self, path: &str) -> Response {
        Client::new(self.metrics).send("GET", path, &[], None).expect("the metrics listener answers")
    }

    /// The sum of a metric's samples whose labels contain all of `labels` (each as `name="value"`).
    #[track_caller]
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.monitor("/metrics").text();
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        samples
            .filter(|(key, _)| key.split('{').next() == Some(name) && labels.iter().all(|label| key.contains(label)))
            .filter_map(|(_, value)| value.parse::<f64>().ok())
            .sum()
    }

    /// The one it was given, or the one that it generated.
    pub(crate) fn root_key(&self) -> String {
        let given = self.launch.environment.iter().find(|(name, _)| name == "PINION_ROOT_KEY");
        if let Some((_, key)) = given {
            return key.clone();
        }
        let path = self.data_dir().join("root.key");
        std::fs::read_to_string(path).expect("the root key was generated").trim().to_owned()
    }

    pub(crate) fn api_address(&self) -> SocketAddr {
        self.api
    }

    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.metrics
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        data_dir(&self.data)
    }

    /// The data directory, to start another server on it.
    pub(crate) fn data(&self) -> Arc<TempDir> {
        Arc::clone(&self.data)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory of the process, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line for it");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// The log so far, one JSON object per line.
    pub(crate) fn logs(&self) -> Vec<String> {
        self.output.lock().lines.clone()
    }

    /// Waits for a log line that `predicate` takes.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, deadline: Duration, predicate: impl Fn(&str) -> bool) -> String {
        let found = self.output.wait(deadline, |output| output.lines.iter().find(|line| predicate(line)).cloned());
        found.unwrap_or_else(|| panic!("no such log line within {deadline:?}: {:#?}", self.last_lines(20)))
    }

    fn last_lines(&self, count: usize) -> Vec<String> {
        let output = self.output.lock();
        output.lines[output.lines.len().saturating_sub(count)..].to_vec()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the server's last lines: {:#?}", self.last_lines(40));
        }
    }
}

/// Inside the temporary folder, so that the server creates it itself.
fn data_dir(data: &TempDir) -> PathBuf {
    Path::join(data.path(), "data")
}

fn spawn(data: Arc<TempDir>, launch: Launch) -> Result<Server, Exited> {
    // As variables, so that a test's own flags win.
    let mut child = launch
        .command()
        .arg("serve")
        .env("PINION_LISTEN", "127.0.0.1:0")
        .env("PINION_METRICS_LISTEN", "127.0.0.1:0")
        .env("PINION_LOG_FORMAT", "json")
        .env("PINION_ALLOW_TARGETS", "127.0.0.0/8")
        .env("PINION_DATA_DIR", data_dir(&data))
        .args(&launch.arguments)
        .envs(launch.environment.iter().cloned())
        .current_dir(data.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let stderr = child.stderr.take().expect("standard error is a pipe");
    let output = Arc::new(Watched::<Output>::default());
    let collector = Arc::clone(&output);
    std::thread::spawn(move || collect(stderr, &collector));
    let listening = output.wait(START_DEADLINE, |output| {
        let addresses = output.lines.iter().find_map(|line| listening(line));
        addresses.map(Some).or(output.ended.then_some(None))
    });
    match listening {
        Some(Some((api, metrics))) => Ok(Server { child, output, api, metrics, data, launch }),
        ended_or_late => {
            if ended_or_late.is_none() {
                let _ = child.kill();
            }
            let status = child.wait().expect("a child can be waited for");
            let stderr = output.lock().lines.join("\n");
            Err(Exited { status, stderr })
        }
    }
}

/// Reads until the process closes its end, so that it never blocks on writing.
fn collect(stderr: impl Read, output: &Watched<Output>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        output.change(|output| {
            if output.lines.len() < MAX_LINES {
                output.lines.push(line);
            }
        });
    }
    output.change(|output| output.ended = true);
}

/// The addresses of the line that says that the server is ready.
fn listening(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |field: &str| line.get(field)?.as_str()?.parse().ok();
    (line.get("message")?.as_str()? == "listening").then_some(())?;
    Some((address("api")?, address("metrics")?))
}
