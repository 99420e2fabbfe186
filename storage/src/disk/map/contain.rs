//! Keeps a panic inside sled from becoming ours: it turns into a value, and its message is never printed.
//!
//! sled asserts its invariants with panics, some of which format whole pages (that is: tenants' data) into the message.
//! So the message is dropped at the panic hook and only the source location kept. It does not make sled usable after a
//! panic: the caller must poison the store.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// The prefix of the names that sled gives to the threads that write its buffers.
const IO_THREAD_PREFIX: &str = "sled-io-";

/// The time in which a failure inside sled may come out by itself.
const WATCH_PERIOD: Duration = Duration::from_millis(200);

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

static IO_THREAD_PANICKED: AtomicBool = AtomicBool::new(false);

/// sled panicked on the calling thread.
#[derive(Debug)]
pub(crate) struct Panicked {
    location: String,
}

impl Panicked {
    /// Says what happened without showing the data.
    pub(crate) fn reason(&self) -> String {
        format!("an invariant of the embedded store does not hold ({})", self.location)
    }
}

/// Runs `call`, turning a panic into a value.
pub(crate) fn contain<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    install_hook();
    CONTAINED.set(true);
    // State that `call` borrows may be left in disorder by a panic; the store is poisoned then and never enters sled
    // again.
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    CONTAINED.set(false);
    result.map_err(|_message| Panicked { location: LOCATION.take().unwrap_or_else(|| "unknown location".to_owned()) })
}

/// A handle of sled's whose end is contained: sled syncs its file when the last one goes, and panics if that fails.
pub(crate) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    pub(crate) fn new(handle: T) -> Self {
        Self(Some(handle))
    }
}

impl<T> Deref for Contained<T> {
    type Target = T;

    #[expect(clippy::expect_used, reason = "only taken out when dropped")]
    fn deref(&self) -> &T {
        self.0.as_ref().expect("the handle is there until it is dropped")
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        // Told by the panic hook, and no caller is left to tell.
        drop(contain(|| drop(self.0.take())));
    }
}

/// Runs `call` in sled on a thread that is left behind when one of sled's own has failed or died: sled does not always
/// wake the threads that wait for that one's buffer.
pub(crate) fn watched<T: Send + 'static>(
    config: &::sled::Config,
    call: impl FnOnce() -> Result<T, ::sled::Error> + Send + 'static,
) -> Result<Result<T, ::sled::Error>, Panicked> {
    let (done, result) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("pinion-flush".to_owned());
    if let Err(error) = thread.spawn(move || drop(done.send(contain(call)))) {
        return Ok(Err(::sled::Error::Io(error)));
    }
    loop {
        // Before the wait, so that a failure that came out by itself in that time counts.
        let (failed, died) = (config.global_error().err(), io_thread_panicked());
        match result.recv_timeout(WATCH_PERIOD) {
            Ok(result) => return result,
            Err(_) if died => return Err(Panicked { location: "a thread of its own".to_owned() }),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Panicked { location: "unknown location".to_owned() }),
        }
        if let Some(error) = failed {
            return Ok(Err(error));
        }
    }
}

/// True if one of sled's own threads has died, in this process. sled does not report that: a thread that waits for the
/// dead one's buffer waits for ever, and acknowledges nothing. All stores of a process share the pool.
pub(crate) fn io_thread_panicked() -> bool {
    IO_THREAD_PANICKED.load(Ordering::Acquire)
}

/// The panic hook belongs to the whole process, so ours only steps in for sled and passes everything else on.
fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let io_thread = std::thread::current().name().is_some_and(|name| name.starts_with(IO_THREAD_PREFIX));
            if io_thread {
                IO_THREAD_PANICKED.store(true, Ordering::Release);
            }
            if io_thread || CONTAINED.get() { record(info) } else { previous(info) }
        }));
    });
}

fn record(info: &PanicHookInfo<'_>) {
    let location = info.location().map(|location| {
        let file = location.file();
        // Without the build machine's folders in front.
        let file = file.find("sled-").map_or(file, |at| &file[at..]);
        format!("{file}:{}", location.line())
    });
    tracing::error!(location = location.as_deref().unwrap_or("unknown"), "the embedded store panicked");
    LOCATION.set(location);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_that_panics_when_it_is_dropped_does_not_take_us_with_it() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("the file cannot be synced");
            }
        }
        drop(Contained::new(Panics));
    }

    #[test]
    fn a_panic_becomes_a_value_without_its_message() {
        assert_eq!(contain(|| 7).unwrap(), 7);
        let reason = contain(|| panic!("tenant's secret")).unwrap_err().reason();
        assert!(reason.contains("contain.rs:"), "{reason}");
        assert!(!reason.contains("secret"));
        assert!(!io_thread_panicked());
    }
}
