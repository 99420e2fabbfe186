//! The log as an opening finds it: whether it can be read, and whether it is all there.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::commit::{log, recover, watermark};
use crate::disk::error::OpenError;

/// Opens both files of the log in `folder` and reads the commits that they have beyond commit `checkpointed`, the last
/// one of the map.
pub(crate) fn read(
    folder: &Path,
    checkpointed: u64,
    data_file: &Path,
) -> Result<(log::Files, recover::Recovered), OpenError> {
    let read = |file| {
        let path = log::path(folder, file);
        log::open(folder, file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => OpenError::Corrupt { path, reason: "it is missing".to_owned() },
            _ => OpenError::io("open", &path, error),
        })
    };
    let ((first, first_bytes), (second, second_bytes)) = (read(0)?, read(1)?);
    let recovered = recover::recover(&[first_bytes, second_bytes], checkpointed).map_err(|damage| {
        let (path, at) = match damage.file {
            Some(file) => (log::path(folder, file), format!(" (at byte {})", damage.offset)),
            None => (data_file.to_owned(), String::new()),
        };
        OpenError::Corrupt { path, reason: format!("{}{at}", damage.reason) }
    })?;
    Ok((Arc::new([first, second]), recovered))
}

/// Refuses a store that ends before the last commit that was acknowledged. `file` is where that commit should be.
pub(crate) fn refuse_loss(
    home: &Path,
    file: &Path,
    last_commit: u64,
    acknowledged: Option<u64>,
) -> Result<(), OpenError> {
    let mark = home.join(watermark::FILE_NAME);
    match acknowledged {
        Some(acknowledged) if acknowledged > last_commit => Err(OpenError::Corrupt {
            path: file.to_owned(),
            reason: format!(
                "it ends at commit {last_commit}, but commit {acknowledged} was acknowledged; restore a backup, or \
                 remove {} to go on without what is lost",
                mark.display()
            ),
        }),
        Some(_) => Ok(()),
        None => {
            if last_commit > 0 {
                tracing::warn!(path = %mark.display(), "no readable watermark: a loss would go unnoticed this time");
            }
            Ok(())
        }
    }
}
