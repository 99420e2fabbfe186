//! The process under test: started on a temporary folder and free ports, killed, started again.
//!
//! It is killed at the end and not stopped, as its promises are about kills.

use super::api::Access;
use super::binary;
use crate::cli::Options;
use crate::measure::is_memory_backed;
use anyhow::{Context as _, bail};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A start takes well below a second; a store with a million endpoints takes longer.
const START_DEADLINE: Duration = Duration::from_secs(120);
/// The time between two questions to the server whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// The longest time that an answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of its log shown when it did not start.
const LOG_SHOWN: usize = 2_000;

/// A running server, ours or another.
#[derive(Debug)]
pub(crate) struct Pinion {
    access: Access,
    pid: Option<u32>,
    own: Option<Own>,
}

/// A process of ours. Killed when dropped.
#[derive(Debug)]
struct Own {
    binary: PathBuf,
    arguments: Vec<String>,
    metrics: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Pinion {
    /// Starts one, or takes the one that the options name.
    ///
    /// # Errors
    /// When it does not start, or does not answer.
    pub(crate) fn start(options: &Options) -> anyhow::Result<Pinion> {
        if let (Some(url), Some(key)) = (&options.url, &options.key) {
            let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
            let address = authority.parse().with_context(|| format!("{authority} is no address and port"))?;
            wait_until_ready(address, None)?;
            return Ok(Pinion { access: Access { address, key: key.clone() }, pid: options.pid, own: None });
        }
        let binary = binary::find(options.pinion.as_deref())?;
        let parent = options.data_parent.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new().prefix("pinion-loadtest-").tempdir_in(&parent)?;
        if is_memory_backed(&folder.path().canonicalize()?) {
            eprintln!("note: {} is in memory, so that durability costs nothing; see --data-parent", parent.display());
        }
        let (address, metrics) = (free_address()?, free_address()?);
        let arguments = options.serve_arg.clone();
        let child = spawn(&binary, &folder, address, metrics, &arguments)?;
        let mut own = Own { binary, arguments, metrics, child, folder };
        wait_until_ready(address, Some(&mut own))?;
        let key = std::fs::read_to_string(own.data_dir().join("root.key")).context("the generated root key")?;
        let pid = Some(own.child.id());
        Ok(Pinion { access: Access { address, key: key.trim().to_owned() }, pid, own: Some(own) })
    }

    /// The access to its API; the same after a restart.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Its process, when it is known.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Bytes of its files; `None` when it is not ours.
    pub(crate) fn disk_bytes(&self) -> Option<u64> {
        self.own.as_ref().and_then(|own| len_of_files(&own.data_dir()).ok())
    }

    /// The last lines of its log, for error messages.
    pub(crate) fn end_of_log(&self) -> String {
        self.own.as_ref().map_or_else(String::new, |own| format!("; the engine's log ends with: {}", own.end_of_log()))
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When it is not ours.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        let own = self.own.as_mut().context("only a process that was started here can be killed (without --url)")?;
        own.child.kill()?;
        own.child.wait()?;
        Ok(())
    }

    /// Starts it again on the same folder and ports; returns how long it took until it was ready.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<Duration> {
        let own = self.own.as_mut().context("only a process that was started here can be started again")?;
        let started = Instant::now();
        own.child = spawn(&own.binary, &own.folder, self.access.address, own.metrics, &own.arguments)?;
        self.pid = Some(own.child.id());
        wait_until_ready(self.access.address, Some(own))?;
        Ok(started.elapsed())
    }
}

impl Own {
    fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn end_of_log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_SHOWN)..]).into_owned()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing more to do then.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(
    binary: &PathBuf,
    folder: &TempDir,
    address: SocketAddr,
    metrics: SocketAddr,
    arguments: &[String],
) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(folder.path().join("log"))?;
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PINION_")) {
        command.env_remove(name);
    }
    command
        .arg("serve")
        // Scenarios put a million endpoints, or more scheduled events than that, into one application. As variables, so
        // that a flag may say otherwise.
        .env("PINION_MAX_ENDPOINTS_PER_APP", "2000000")
        .env("PINION_MAX_SCHEDULED_MESSAGES_PER_APP", "100000000")
        .args(["--listen", &address.to_string(), "--metrics-listen", &metrics.to_string()])
        .args(["--allow-target", "127.0.0.0/8", "--log-level", "warn"])
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))
}

/// Bytes of all files in a folder. One that goes away meanwhile counts as none.
fn len_of_files(folder: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)?.flatten() {
        let Ok(about) = entry.metadata() else { continue };
        sum += if about.is_dir() { len_of_files(&entry.path()).unwrap_or_default() } else { about.len() };
    }
    Ok(sum)
}

/// A port that was free a moment ago. A later start needs the same one again, so that port 0 will not do.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn wait_until_ready(address: SocketAddr, mut own: Option<&mut Own>) -> anyhow::Result<()> {
    let until = Instant::now() + START_DEADLINE;
    while !is_ready(address) {
        if let Some(own) = &mut own
            && let Some(status) = own.child.try_wait()?
        {
            bail!("it ended instead of starting ({status}):\n{}", own.end_of_log());
        }
        if Instant::now() > until {
            bail!("{address} was not ready within {START_DEADLINE:?}");
        }
        std::thread::sleep(ASK_EVERY);
    }
    Ok(())
}

/// True when the health check says 204.
fn is_ready(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_DEADLINE)?;
        stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
        let request = format!("GET /api/v1/health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        std::io::Result::Ok(answer == *b"HTTP/1.1 204")
    };
    ask().unwrap_or(false)
}
