//! A backup as a tar stream: the files of a folder of backups, the manifest last. Unpacked, it is such a folder.
//!
//! *When the input is hostile:* names are taken apart and never used as paths, and a chunk whose bytes do not fit its name
//! is refused.

use std::io::{self, Read, Write};
use std::path::Path;
use storage::backup::chunk::{CHUNK_BYTES_MAX, Chunk, Name};
use storage::backup::collect::Sink;
use storage::backup::folder::{FolderError, MARK, MARK_TEXT, Writing, chunk_path, manifest_path};
use storage::backup::manifest::{MANIFEST_BYTES_MAX, Manifest, ManifestError};
use tar::{Archive, Builder, EntryType, Header};

/// The folder that everything is in.
const TOP: &str = "pinion-backup";

/// Why a stream was not written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// Writing.
    #[error("could not write the tar stream: {0}")]
    Write(io::Error),
    /// Reading.
    #[error("could not read the tar stream: {0}")]
    Read(io::Error),
    /// It is of something else, or was changed.
    #[error("the tar stream is no backup: {0}")]
    Foreign(String),
    /// It has no manifest.
    #[error("the tar stream ends before its manifest: the backup was broken off")]
    BrokenOff,
    /// Its manifest.
    #[error("the manifest in the tar stream is damaged: {0}")]
    Manifest(#[from] ManifestError),
    /// The place that it is unpacked in.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// Writes a backup as a tar stream.
pub(crate) struct TarSink<W: Write> {
    tar: Builder<W>,
}

impl<W: Write> TarSink<W> {
    /// Begins one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn new(output: W) -> Result<TarSink<W>, ArchiveError> {
        let mut sink = TarSink { tar: Builder::new(output) };
        sink.file(MARK, MARK_TEXT.as_bytes())?;
        Ok(sink)
    }

    /// Ends it, which makes a backup of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn finish(mut self, manifest: &Manifest) -> Result<(), ArchiveError> {
        self.file(&manifest_path(1), manifest.to_text().as_bytes())?;
        let mut output = self.tar.into_inner().map_err(ArchiveError::Write)?;
        output.flush().map_err(ArchiveError::Write)
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        let path = format!("{TOP}/{name}");
        self.tar.append_data(&mut header, path, bytes).map_err(ArchiveError::Write)
    }
}

impl<W: Write> Sink for TarSink<W> {
    type Error = ArchiveError;

    fn take(&mut self, chunk: &Chunk) -> Result<(), ArchiveError> {
        self.file(&chunk_path(chunk.entry.name), &chunk.bytes)
    }
}

/// A file of the stream.
#[derive(Debug, PartialEq, Eq)]
enum Member {
    Mark,
    Chunk(Name),
    Manifest,
}

impl Member {
    /// Told by the path, whatever the top folder is called; none for any other file.
    fn of(path: &str) -> Option<Member> {
        let name = path.strip_prefix("./").unwrap_or(path).split_once('/')?.1;
        let last = name.rsplit('/').next().and_then(|last| last.parse().ok());
        match (name, last) {
            (MARK, _) => Some(Member::Mark),
            (_, Some(chunk)) if chunk_path(chunk) == name => Some(Member::Chunk(chunk)),
            _ => (name == manifest_path(1)).then_some(Member::Manifest),
        }
    }
}

/// Unpacks a stream to a folder of backups, which has this one backup then.
///
/// # Errors
/// See [`ArchiveError`].
pub(crate) fn unpack(input: impl Read, folder: &Path) -> Result<(), ArchiveError> {
    let mut writing = Writing::open(folder)?;
    let mut archive = Archive::new(input);
    for entry in archive.entries().map_err(ArchiveError::Read)? {
        let mut entry = entry.map_err(ArchiveError::Read)?;
        let path = entry.path().map_err(ArchiveError::Read)?.to_string_lossy().into_owned();
        if entry.header().entry_type() == EntryType::Directory {
            continue;
        }
        let mut read = |most: u64| {
            let mut bytes = Vec::new();
            let read = entry.by_ref().take(most + 1).read_to_end(&mut bytes).map_err(ArchiveError::Read)?;
            if read as u64 > most { Err(ArchiveError::Foreign(format!("{path} is too long"))) } else { Ok(bytes) }
        };
        match Member::of(&path) {
            Some(Member::Mark) if read(MARK_TEXT.len() as u64)? == MARK_TEXT.as_bytes() => {}
            Some(Member::Chunk(name)) => {
                if !writing.add(name, read(CHUNK_BYTES_MAX)?.into())? {
                    return Err(ArchiveError::Foreign(format!("{path} does not fit its name: it was changed")));
                }
            }
            Some(Member::Manifest) => {
                let text = String::from_utf8(read(MANIFEST_BYTES_MAX)?).map_err(|_| ManifestError::Sum)?;
                writing.publish(&text.parse()?)?;
                return Ok(());
            }
            _ => return Err(ArchiveError::Foreign(format!("it has {path}"))),
        }
    }
    Err(ArchiveError::BrokenOff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_a_backup_are_taken() {
        let name = Name::of(b"abc");
        let chunk = format!("pinion-backup/{}", chunk_path(name));
        for (path, member) in [
            ("pinion-backup/PINION-BACKUP", Some(Member::Mark)),
            ("./other/PINION-BACKUP", Some(Member::Mark)),
            (&chunk, Some(Member::Chunk(name))),
            ("pinion-backup/backups/00000001", Some(Member::Manifest)),
            ("pinion-backup/backups/00000002", None),
            ("pinion-backup/../../etc/passwd", None),
            ("/etc/passwd", None),
            (&chunk.replace("chunks/ba", "chunks/.."), None),
            ("PINION-BACKUP", None),
        ] {
            assert_eq!(Member::of(path), member, "{path}");
        }
    }

    #[test]
    fn a_stream_of_something_else_or_cut_short_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |bytes: &[u8]| unpack(bytes, &dir.path().join("to")).unwrap_err();
        let mut sink = TarSink::new(Vec::new()).unwrap();
        assert!(matches!(refused(&sink.tar.get_ref().clone()), ArchiveError::BrokenOff));
        sink.file("letter.txt", b"dear").unwrap();
        let bytes = sink.tar.into_inner().unwrap();
        assert!(refused(&bytes).to_string().contains("it has pinion-backup/letter.txt"));
        assert!(matches!(refused(&bytes[..100]), ArchiveError::Read(_)));
        assert!(matches!(refused(&[]), ArchiveError::BrokenOff));
    }
}
