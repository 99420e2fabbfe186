//! The report of a repair in plain words: findings, losses, and rows kept. It shows numbers and places, never names or
//! content of tenants.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::{AppId, EndpointRef, Seq, UnixMs};

use crate::damage::salvage::Finding;
use crate::disk::commit::watermark::FILE_NAME as WATERMARK;
use crate::rows::{self, KeyKind};

/// Lines of one sort that are shown; more are counted.
const LINES_MAX: usize = 1_000;

/// Collects the sentences of the report.
pub(super) struct Report {
    time_text: fn(UnixMs) -> String,
    findings: Vec<Finding>,
    losses: Vec<String>,
    mended: Vec<String>,
    kept: BTreeMap<&'static str, u64>,
}

// === impl Report ===

impl Report {
    pub(super) fn new(time_text: fn(UnixMs) -> String, findings: Vec<Finding>) -> Self {
        Self { time_text, findings, losses: Vec::new(), mended: Vec::new(), kept: BTreeMap::new() }
    }

    /// Adds faults that were found later.
    pub(super) fn find(&mut self, findings: Vec<Finding>) {
        self.findings.extend(findings);
    }

    /// Counts a row that is kept.
    pub(super) fn keep(&mut self, kind: Option<KeyKind>) {
        *self.kept.entry(kind.map_or("unknown", KeyKind::name)).or_default() += 1;
    }

    /// One that was counted is not kept after all.
    pub(super) fn drop(&mut self, kind: KeyKind) {
        self.kept.entry(kind.name()).and_modify(|rows| *rows = rows.saturating_sub(1));
    }

    /// True if anything is lost, or may be.
    pub(super) fn has_losses(&self) -> bool {
        self.findings.iter().any(|finding| !matches!(finding, Finding::Corrected(..)))
    }

    /// True if for sure no row of this key is left, but for what the log has.
    pub(super) fn is_lost(&self, key: &[u8]) -> bool {
        self.findings.iter().any(|finding| match finding {
            Finding::LostKeys(from, to) => from.as_ref() <= key && (to.is_empty() || key < to.as_ref()),
            _ => false,
        })
    }

    /// True if rows with a key from `start` to before `end` may be missing.
    pub(super) fn may_be_lost(&self, start: &[u8], end: &[u8]) -> bool {
        self.findings.iter().any(|finding| match finding {
            Finding::LostKeys(from, to) | Finding::OutdatedKeys(from, to, _) => {
                from.as_ref() < end && (to.is_empty() || start < to.as_ref())
            }
            Finding::Unknown | Finding::LostCommits(..) => true,
            Finding::Corrected(..) | Finding::Unreadable(..) | Finding::Missing(_) => false,
        })
    }

    /// Messages that are not there any more.
    pub(super) fn lost_messages(&mut self, app: AppId, first: Seq, last: Seq, between: [Option<UnixMs>; 2]) {
        let text = |time: Option<UnixMs>, none: &str| time.map_or_else(|| none.to_owned(), self.time_text);
        let [after, before] = between;
        self.losses.push(format!(
            "messages of application {app} at positions {first} to {last} ({} of them), accepted between {} and {}",
            last.0 - first.0 + 1,
            text(after, "the beginning"),
            text(before, "the end"),
        ));
    }

    /// The last messages of an application, up to at most some position. `known`: the last one that is left.
    pub(super) fn lost_last_messages(&mut self, app: AppId, known: Option<Seq>, upto: Seq) {
        let from = known.map_or_else(|| "all left".to_owned(), |known| format!("those behind position {known}"));
        self.losses.push(format!(
            "the last messages of application {app}: {from}; the next one gets a position behind {upto} so that no id is \
             given out twice"
        ));
    }

    /// Messages behind the last one that is left cannot be excluded.
    pub(super) fn lost_end(&mut self, app: AppId, known: Seq, skipped_to: Seq) {
        self.losses.push(format!(
            "perhaps the last messages of application {app}, behind position {known}; the next one gets position {} so \
             that no id is given out twice, and its endpoints may count the positions between as expired",
            skipped_to.next()
        ));
    }

    /// The position of an endpoint may be lost: it was set to `set_to`.
    pub(super) fn lost_cursor(&mut self, target: EndpointRef, set_to: Seq) {
        self.losses.push(format!(
            "perhaps where endpoint {} of application {} stood: it gets the messages behind position {set_to} again",
            target.endpoint, target.app
        ));
    }

    /// Something that was put together again.
    pub(super) fn mended(&mut self, count: u64, what: &str) {
        if count > 0 {
            self.mended.push(format!("{count} {what}"));
        }
    }

    /// All of it. `kept_in` is where the damaged store is.
    pub(super) fn text(&self, kept_in: &str) -> String {
        let mut text = String::new();
        let found: Vec<String> = self.findings.iter().filter_map(found).collect();
        let lost: Vec<String> = self.findings.iter().filter_map(lost).chain(self.losses.iter().cloned()).collect();
        section(&mut text, "Found damaged", &found);
        section(&mut text, "Lost, or perhaps lost", &lost);
        section(&mut text, "Put together again", &self.mended);
        let kept: Vec<String> = self.kept.iter().map(|(kind, rows)| format!("{rows} of {kind}")).collect();
        let rows: u64 = self.kept.values().sum();
        text.push_str(&format!("Kept: {rows} rows ({}).\n", kept.join(", ")));
        text.push_str(match (found.is_empty(), lost.is_empty()) {
            (true, true) => "No damage was found in the store. Nothing is lost.\n",
            (false, true) => "Nothing is lost.\n",
            (_, false) => {
                "Messages that an endpoint may have missed: `POST /api/v1/app/{app}/endpoint/{endpoint}/recover` or \
                 `.../replay-missing` with a time before the damage.\n"
            }
        });
        text.push_str(&format!("The damaged store is in {kept_in}; remove it when you need it no more.\n"));
        text
    }
}

fn section(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    text.push_str(&format!("{title}:\n"));
    for line in lines.iter().take(LINES_MAX) {
        text.push_str(&format!("  - {line}\n"));
    }
    if lines.len() > LINES_MAX {
        text.push_str(&format!("  - and {} more\n", lines.len() - LINES_MAX));
    }
}

fn found(finding: &Finding) -> Option<String> {
    Some(match finding {
        Finding::Corrected(file, byte) => format!("store/{file}: one flipped bit near byte {byte}, put right"),
        Finding::Unreadable(file, byte, bytes) => format!("store/{file}: {bytes} bytes from byte {byte} on"),
        Finding::Missing(file) => format!("store/{file}: it is missing"),
        Finding::LostKeys(..) | Finding::OutdatedKeys(..) | Finding::Unknown | Finding::LostCommits(..) => {
            return None;
        }
    })
}

fn lost(finding: &Finding) -> Option<String> {
    Some(match finding {
        Finding::LostKeys(from, to) => format!("rows {}", range(from, to)),
        Finding::OutdatedKeys(from, to, changes) => {
            format!("{changes} changes of rows {}: a row may be missing or an older one", range(from, to))
        }
        Finding::Unknown => {
            "up to about twenty neighbouring rows of a kind that cannot be said, for each few hundred bytes: they may be \
             missing or older ones"
                .into()
        }
        Finding::LostCommits(from, to) => format!(
            "commits {from} to {to}, each of up to a few hundred requests and outcomes: messages, changed settings, \
             retries; what was delivered in them is delivered again"
        ),
        Finding::Unreadable(file, ..) | Finding::Missing(file) if file == WATERMARK => {
            "perhaps the very last commits: what would tell how many there were cannot be read".to_owned()
        }
        Finding::Corrected(..) | Finding::Unreadable(..) | Finding::Missing(_) => return None,
    })
}

fn range(from: &Bytes, to: &Bytes) -> String {
    let end = if to.is_empty() { "the end".to_owned() } else { rows::key::describe(to) };
    format!("from {} to before {end}", rows::key::describe(from))
}
