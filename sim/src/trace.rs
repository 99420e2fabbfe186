//! The trace of a run, in words: its last lines, and a hash over all of it that shows if two runs were the same run.
//!
//! Only decisions stand here: nothing random from outside (sealed secrets) may.

use std::collections::VecDeque;
use std::fmt;

/// Lines kept for a failure's report.
const LINES_KEPT: usize = 60;

/// FNV-1a's offset and prime (64 bit).
const FNV: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x0100_0000_01b3);

/// The trace of one run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    lines: u64,
    last: VecDeque<String>,
    print: bool,
    text: String,
}

impl Trace {
    /// An empty one; `print` also writes each line to standard output.
    #[must_use]
    pub fn new(print: bool) -> Trace {
        Trace { hash: FNV.0, lines: 0, last: VecDeque::new(), print, text: String::new() }
    }

    /// Adds a line.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        // Writing to a string cannot fail.
        let _always = fmt::write(&mut text, line);
        for byte in text.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(FNV.1);
        }
        self.lines += 1;
        if self.print {
            println!("{text}");
        }
        if self.last.len() == LINES_KEPT {
            self.text = self.last.pop_front().unwrap_or_default();
        }
        self.last.push_back(text);
    }

    /// The hash over all lines.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Number of lines so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The last ones.
    pub fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }
}
