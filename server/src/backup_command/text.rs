//! The reports of backups and restores, in words. Pure.

use crate::time_text::time_text;
use model::UnixMs;
use storage::backup::check::Findings;
use storage::backup::folder::Written;
use storage::backup::manifest::Manifest;

const MIB: f64 = (1 << 20) as f64;

/// Digits of a check value that are shown: enough to tell one from another.
const CHECK_DIGITS: usize = 16;

/// A time, whatever the server's clock said.
pub(crate) fn time(at: UnixMs) -> String {
    time_text(at).unwrap_or_else(|| at.to_string())
}

fn size(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB)
}

/// Of a backup that was made.
pub(super) fn made(manifest: &Manifest, written: Option<Written>, removed: Option<(usize, usize)>) -> String {
    let number = written.map(|written| format!(" {}", written.number)).unwrap_or_default();
    let mut text = format!(
        "backup{number} stands at commit {} of {}\n{} rows and {} commits of the meantime, {} chunks of {}\n",
        manifest.commit,
        time(manifest.ended),
        manifest.rows,
        manifest.commits,
        manifest.chunks.len(),
        size(manifest.bytes()),
    );
    if let Some(written) = written {
        text.push_str(&format!("new in the folder: {} chunks of {}\n", written.chunks, size(written.bytes)));
    }
    if let Some((backups, chunks)) = removed {
        text.push_str(&format!("removed: {backups} older backups and {chunks} chunks\n"));
    }
    text.push_str(&format!("{}\n", of_master_key(manifest, "is not in it: keep it elsewhere")));
    text
}

/// Of a backup that was checked.
pub(super) fn verified(number: u32, manifest: &Manifest, found: &Findings) -> String {
    let mut text = format!(
        "backup {number} opens: commit {} of {}, every sum is right, {} rows were read\n",
        manifest.commit,
        time(manifest.ended),
        found.rows,
    );
    found.faults.iter().for_each(|fault| text.push_str(&format!("FAULT: {fault}\n")));
    let untold = found.faulty.saturating_sub(found.faults.len() as u64);
    if untold > 0 {
        text.push_str(&format!("and {untold} more\n"));
    }
    text
}

/// Of a backup that was restored.
pub(crate) fn restored(number: u32, manifest: &Manifest, data_dir: &str, has_key: bool) -> String {
    let mut text = format!(
        "restored to commit {} of {}: backup {number}, made by Pinion {}, in {data_dir}\n\
         LOST: everything that was written later. Deliveries that were settled later are made again, under the same ids.\n",
        manifest.commit,
        time(manifest.ended),
        manifest.version,
    );
    if !has_key {
        let needed = format!("is needed before the server starts: put it into {data_dir}");
        text.push_str(&format!("{}\n", of_master_key(manifest, &needed)));
    }
    text
}

fn of_master_key(manifest: &Manifest, rest: &str) -> String {
    let check = manifest.master_key_check.as_deref().unwrap_or_default();
    let check = check.get(..CHECK_DIGITS).unwrap_or_default();
    format!("the server's master.key (check value {check}…) {rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            version: "0.1.0".to_owned(),
            from_commit: 5,
            commit: 7,
            began: UnixMs(1_700_000_000_000),
            ended: UnixMs(1_700_000_001_000),
            rows: 10,
            commits: 2,
            master_key_check: Some("ab".repeat(32)),
            chunks: Vec::new(),
        }
    }

    #[test]
    fn a_restore_says_from_which_commit_and_what_is_lost() {
        let text = restored(3, &manifest(), "/data", false);
        for part in
            ["to commit 7 of 2023-11-14T22:13:21Z", "LOST: everything", "check value abababababababab…", "/data"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!restored(3, &manifest(), "/data", true).contains("master.key"));
    }

    #[test]
    fn faults_are_listed_and_counted() {
        let found = Findings { rows: 5, faults: vec!["cursor of application 1: cut".to_owned()], faulty: 3 };
        let text = verified(1, &manifest(), &found);
        assert!(text.contains("FAULT: cursor of application 1: cut\nand 2 more"), "{text}");
    }
}
