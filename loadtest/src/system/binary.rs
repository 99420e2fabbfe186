//! Finds the binary to test: the one named, the one beside this one, or one built for it.

use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The binary's name.
const NAME: &str = if cfg!(windows) { "pinion.exe" } else { "pinion" };

/// The binary to start.
///
/// # Errors
/// When it is not there and cannot be built.
pub(super) fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        if !path.is_file() {
            bail!("there is no binary {}", path.display());
        }
        return Ok(path.to_owned());
    }
    let own = std::env::current_exe().context("where this binary is")?;
    let folder = own.parent().context("the folder of this binary")?;
    let beside = folder.join(NAME);
    if beside.is_file() { Ok(beside) } else { build(folder) }
}

/// Builds it in release mode, into the target folder that this binary is in.
fn build(folder: &Path) -> anyhow::Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    if !workspace.join("Cargo.toml").is_file() {
        bail!("no {NAME} beside this binary and no source to build it from: name one with --pinion");
    }
    let target = folder.parent().context("the target folder")?;
    eprintln!("building {NAME} in release mode");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--package", "server", "--target-dir"])
        .arg(target)
        .current_dir(workspace)
        .status()
        .context("running cargo")?;
    let built = target.join("release").join(NAME);
    if !status.success() || !built.is_file() {
        bail!("building {NAME} failed: {status}");
    }
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_binary_must_exist() {
        let own = std::env::current_exe().unwrap();
        assert_eq!(find(Some(&own)).unwrap(), own);
        assert!(find(Some(Path::new("/no/such/binary"))).is_err());
    }
}
