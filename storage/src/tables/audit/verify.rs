//! The check of a chain of audit records: pure, fed with one record after the other, oldest first.

use super::{Head, TRIM, hash_of, signed_text};
use model::audit::{HASH_LEN, SIGNATURE_LEN};
use model::{AuditRecord, hex};

/// Faults that are told; more are counted.
pub const FAULTS_SHOWN: usize = 20;

/// Checks a signature of a message.
pub type IsSigned<'a> = &'a dyn Fn(&[u8], &[u8; SIGNATURE_LEN]) -> bool;

/// A thing that is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Records are missing.
    #[error("records {first} to {last} are missing")]
    Missing {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// A record lies at another place than its own.
    #[error("the record at {at} says that it is {says}")]
    Moved {
        /// Its place.
        at: u64,
        /// Its own position.
        says: u64,
    },
    /// A record is not the one that its successor has the hash of: one of the two was changed.
    #[error("record {0} is not the one that the next one was made behind")]
    Changed(u64),
    /// A signature does not fit: this record, or one before it, was changed, or the signature was made by another key.
    #[error("the signature of record {0} does not fit")]
    Signature(u64),
    /// The records before the first are gone, and no record says that retention did.
    #[error("the log begins at {0}, and no record says that retention removed what came before")]
    Begin(u64),
    /// The expected end is not in the log.
    #[error("record {0} is not as expected, or not there")]
    End(u64),
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Records that were looked at.
    pub records: u64,
    /// The position of the first.
    pub first: u64,
    /// The last one.
    pub end: Head,
    /// The position of the last one with a signature that fits. Records behind it are not proven.
    pub signed_upto: u64,
    /// The first faults.
    pub faults: Vec<Fault>,
    /// Their number.
    pub faulty: u64,
}

/// A check under way.
pub struct Verification<'a> {
    is_signed: IsSigned<'a>,
    expected: Option<Head>,
    found: Findings,
    /// The end that the first record was made behind, until retention's record of it is found.
    begin: Option<Head>,
    met_expected: bool,
}

impl<'a> Verification<'a> {
    /// Of a chain that has a record `expected`, noted earlier, if any.
    #[must_use]
    pub fn new(is_signed: IsSigned<'a>, expected: Option<Head>) -> Verification<'a> {
        Verification { is_signed, expected, found: Findings::default(), begin: None, met_expected: false }
    }

    /// Looks at the next record, which lies at this place.
    pub fn next(&mut self, at: u64, record: &AuditRecord) {
        if at != record.seq {
            self.fault(Fault::Moved { at, says: record.seq });
        }
        let before = self.found.end;
        if self.found.records == 0 {
            self.found.first = at;
            self.begin = Some(Head { seq: at - 1, hash: record.previous }).filter(|head| *head != Head::default());
        } else if at > before.seq + 1 {
            self.fault(Fault::Missing { first: before.seq + 1, last: at - 1 });
        } else if record.previous != before.hash {
            self.fault(Fault::Changed(before.seq));
        }
        let end = Head { seq: at, hash: hash_of(record) };
        if let Some(signature) = &record.signature {
            if (self.is_signed)(&signed_text(end), signature) {
                self.found.signed_upto = at;
            } else {
                self.fault(Fault::Signature(at));
            }
        }
        if self.begin.is_some_and(|begin| is_trim(record, begin)) {
            self.begin = None;
        }
        self.met_expected |= self.expected == Some(end);
        self.found.records += 1;
        self.found.end = end;
    }

    /// The findings.
    #[must_use]
    pub fn finish(mut self) -> Findings {
        if self.begin.is_some() {
            self.fault(Fault::Begin(self.found.first));
        }
        if let Some(expected) = self.expected.filter(|_| !self.met_expected) {
            self.fault(Fault::End(expected.seq));
        }
        self.found
    }

    fn fault(&mut self, fault: Fault) {
        self.found.faulty += 1;
        if self.found.faults.len() < FAULTS_SHOWN {
            self.found.faults.push(fault);
        }
    }
}

/// True if retention's record says that it removed all up to `begin`.
fn is_trim(record: &AuditRecord, begin: Head) -> bool {
    let entry = &record.entry;
    let hash = entry.changes.first().and_then(|change| change.old.as_deref());
    entry.action == TRIM && entry.id == begin.seq.to_string() && hash == Some(&format!("\"{}\"", hex(&begin.hash)))
}

/// Reads a hash as it is shown.
#[must_use]
pub fn hash_from_hex(text: &str) -> Option<[u8; HASH_LEN]> {
    let mut hash = [0; HASH_LEN];
    if text.len() != 2 * HASH_LEN || !text.is_ascii() {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(hash)
}
