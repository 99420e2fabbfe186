//! The list of chunks that is a backup. Pure.
//!
//! ```text
//! pinion-backup 1              the version of this layout
//! store-format 4
//! version 0.1.0                of Pinion
//! from-commit 120              the last commit before the copy began
//! commit 178                   the one that the backup stands at
//! began 1764374400000          times in ms since 1970
//! ended 1764374460000
//! rows 51234
//! commits 58
//! master-key-check -           hex, or - : shows if a key is the one that opens the secrets, and nothing else
//! chunk rows NAME BYTES COUNT  in the order of their keys, and then
//! chunk commits NAME BYTES COUNT
//! sum SHA256                   of all lines before
//! ```
//! A line of text each, so that an operator can read it, and check chunks with `sha256sum`.

use std::fmt::Write as _;
use std::str::{FromStr, Lines};

use model::UnixMs;

use super::chunk::{CHUNK_BYTES_MAX, Entry, Kind, Name};
use crate::disk::open::format;

/// The version of the layout.
const LAYOUT: u32 = 1;

/// A larger file is no manifest: this one has a million chunks, of 2 TB.
pub const MANIFEST_BYTES_MAX: u64 = 128 << 20;

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The version of Pinion that made it.
    pub version: String,
    /// The last commit before the copy began.
    pub from_commit: u64,
    /// The commit that it stands at.
    pub commit: u64,
    /// When the copy began.
    pub began: UnixMs,
    /// When it ended: later writes are not in it.
    pub ended: UnixMs,
    /// Rows that were read.
    pub rows: u64,
    /// Commits behind them.
    pub commits: u64,
    /// The check value of the master key, in hex, if the store has one.
    pub master_key_check: Option<String>,
    /// Its chunks: rows by their keys, then commits by their numbers.
    pub chunks: Vec<Entry>,
}

/// Why a text is no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It was changed, or is not whole.
    #[error("it was changed, or is not whole: its sum is wrong")]
    Sum,
    /// Another version wrote it.
    #[error("it has version {0}, this program reads {LAYOUT}")]
    Layout(String),
    /// The rows have another layout.
    #[error("its rows are of store format {found}, this program reads {known}")]
    Store {
        /// That of the rows.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A line of it.
    #[error("line {0} is not as it must be")]
    Line(usize),
}

impl Manifest {
    /// The bytes of all chunks.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|entry| entry.bytes).sum()
    }

    /// Its text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let check = self.master_key_check.as_deref().unwrap_or("-");
        let mut text = format!(
            "pinion-backup {LAYOUT}\nstore-format {}\nversion {}\nfrom-commit {}\ncommit {}\nbegan {}\nended {}\n\
             rows {}\ncommits {}\nmaster-key-check {check}\n",
            format::VERSION,
            self.version,
            self.from_commit,
            self.commit,
            self.began.0,
            self.ended.0,
            self.rows,
            self.commits,
        );
        for Entry { kind, name, bytes, count } in &self.chunks {
            // Writing to a string does not fail.
            let _ok = writeln!(text, "chunk {} {name} {bytes} {count}", kind_word(*kind));
        }
        let sum = Name::of(text.as_bytes());
        text + &format!("sum {sum}\n")
    }
}

impl FromStr for Manifest {
    type Err = ManifestError;

    fn from_str(text: &str) -> Result<Manifest, ManifestError> {
        // The version comes first: the rest of another one is not ours to judge.
        let layout =
            text.lines().next().and_then(|line| line.strip_prefix("pinion-backup ")).ok_or(ManifestError::Line(1))?;
        if layout != LAYOUT.to_string() {
            return Err(ManifestError::Layout(layout.to_owned()));
        }
        let end = text.rfind("sum ").ok_or(ManifestError::Sum)?;
        let (body, sum) = text.split_at(end);
        if sum != format!("sum {}\n", Name::of(body.as_bytes())) {
            return Err(ManifestError::Sum);
        }
        let mut lines = Fields { lines: body.lines(), number: 0 };
        let _layout: u32 = lines.field("pinion-backup")?;
        let found = lines.field("store-format")?;
        if found != format::VERSION {
            return Err(ManifestError::Store { found, known: format::VERSION });
        }
        let manifest = Manifest {
            version: lines.field("version")?,
            from_commit: lines.field("from-commit")?,
            commit: lines.field("commit")?,
            began: UnixMs(lines.field("began")?),
            ended: UnixMs(lines.field("ended")?),
            rows: lines.field("rows")?,
            commits: lines.field("commits")?,
            master_key_check: Some(lines.field("master-key-check")?).filter(|check| check != "-"),
            chunks: lines.chunks()?,
        };
        let of_kind = |kind| manifest.chunks.iter().filter(|entry| entry.kind == kind).map(|entry| entry.count).sum();
        let (rows, commits): (u64, u64) = (of_kind(Kind::Rows), of_kind(Kind::Commits));
        let adds_up = rows == manifest.rows
            && commits == manifest.commits
            && manifest.from_commit.checked_add(commits) == Some(manifest.commit)
            // Commits go on from there.
            && manifest.commit < u64::MAX / 2;
        if adds_up { Ok(manifest) } else { Err(ManifestError::Sum) }
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Rows => "rows",
        Kind::Commits => "commits",
    }
}

/// The lines of a manifest.
struct Fields<'a> {
    lines: Lines<'a>,
    number: usize,
}

impl Fields<'_> {
    fn field<T: FromStr>(&mut self, name: &str) -> Result<T, ManifestError> {
        self.number += 1;
        let value = self.lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).ok_or(ManifestError::Line(self.number))
    }

    fn chunks(&mut self) -> Result<Vec<Entry>, ManifestError> {
        let mut chunks: Vec<Entry> = Vec::new();
        for line in self.lines.by_ref() {
            self.number += 1;
            let entry = entry(line).ok_or(ManifestError::Line(self.number))?;
            let behind_commits = chunks.last().is_some_and(|last| last.kind == Kind::Commits);
            if behind_commits && entry.kind == Kind::Rows {
                return Err(ManifestError::Line(self.number));
            }
            chunks.push(entry);
        }
        Ok(chunks)
    }
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.strip_prefix("chunk ")?.split(' ');
    let kind = match words.next()? {
        "rows" => Kind::Rows,
        "commits" => Kind::Commits,
        _ => return None,
    };
    let name = words.next()?.parse().ok()?;
    let bytes = words.next()?.parse().ok().filter(|bytes| *bytes <= CHUNK_BYTES_MAX)?;
    let count = words.next()?.parse().ok().filter(|count| *count > 0 && *count <= bytes)?;
    words.next().is_none().then_some(Entry { kind, name, bytes, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let entry = |kind, count| Entry { kind, name: Name::of(&[count as u8]), bytes: 1_000 + count, count };
        Manifest {
            version: "0.1.0".to_owned(),
            from_commit: 120,
            commit: 123,
            began: UnixMs(5),
            ended: UnixMs(6),
            rows: 30,
            commits: 3,
            master_key_check: Some("ab01".to_owned()),
            chunks: vec![entry(Kind::Rows, 10), entry(Kind::Rows, 20), entry(Kind::Commits, 3)],
        }
    }

    #[test]
    fn a_manifest_reads_back() {
        let whole = manifest();
        assert_eq!(whole.to_text().parse(), Ok(whole.clone()));
        let empty = Manifest { rows: 0, commits: 0, commit: 120, master_key_check: None, chunks: Vec::new(), ..whole };
        assert_eq!(empty.to_text().parse(), Ok(empty));
    }

    #[test]
    fn any_change_of_it_is_noticed() {
        let text = manifest().to_text();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            assert!(String::from_utf8(bytes).unwrap().parse::<Manifest>().is_err(), "byte {at}");
            assert!(text[..at].parse::<Manifest>().is_err(), "cut at {at}");
        }
        assert!((text.clone() + "x").parse::<Manifest>().is_err());
    }

    #[test]
    fn lists_that_do_not_add_up_are_refused() {
        let whole = manifest();
        let mut turned = whole.clone();
        turned.chunks.swap(1, 2);
        assert_eq!(turned.to_text().parse::<Manifest>(), Err(ManifestError::Line(13)));
        for wrong in [
            Manifest { rows: 31, ..whole.clone() },
            Manifest { commits: 2, ..whole.clone() },
            Manifest { commit: 124, ..whole.clone() },
            Manifest { from_commit: u64::MAX, ..whole.clone() },
            Manifest { from_commit: u64::MAX - 4, commit: u64::MAX - 1, ..whole.clone() },
        ] {
            assert_eq!(wrong.to_text().parse::<Manifest>(), Err(ManifestError::Sum));
        }
        let newer = whole.to_text().replacen("pinion-backup 1", "pinion-backup 2", 1);
        assert_eq!(newer.parse::<Manifest>(), Err(ManifestError::Layout("2".to_owned())));
    }
}
