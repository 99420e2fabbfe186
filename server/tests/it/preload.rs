//! Small libraries to preload under the real binary, in front of the C library: compiled here, with the C compiler that
//! building Pinion needs anyway.
//!
//! Nothing of their work: see `disk` and `wall`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `source`, a path below `tests/it`; returns the library. Once per run of the tests is enough.
///
/// # Panics
/// When it does not compile.
pub(crate) fn compile(source: &str) -> PathBuf {
    let name = source.trim_end_matches(".c").replace('/', "-");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(source);
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.so", std::process::id()));
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    // Fortified headers would redefine the functions that it defines.
    let status = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-U_FORTIFY_SOURCE", "-pthread", "-o"])
        .arg(&built)
        .arg(&source)
        .arg("-ldl")
        .status()
        .expect("a C compiler");
    assert!(status.success(), "{} does not compile", source.display());
    // Over the one of the run before, so that they do not pile up.
    let library = built.with_file_name(format!("{name}.so"));
    std::fs::rename(&built, &library).expect("the library moves");
    library
}
