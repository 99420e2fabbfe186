//! The files under `ops` that run the binary, against the code: variables, flags, the version of Rust, the profile.

use crate::documents;
use crate::tree::Tree;

/// The image.
const IMAGE: &str = "ops/docker/Dockerfile";
/// The manifest with the version of Rust and the profiles.
const MANIFEST: &str = "Cargo.toml";

/// Files of systemd and of the image.
fn files(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    let is_one = |path: &str| path == IMAGE || path.starts_with("ops/systemd/");
    tree.files().filter(move |(path, _)| is_one(path)).map(|(path, file)| (path, file.text.as_str()))
}

/// `PINION_…` variables that no setting has, and flags of the server's command line that it does not take.
#[must_use]
pub fn settings(tree: &Tree) -> Vec<String> {
    let declared = documents::declared(tree);
    let mut wrong = Vec::new();
    for (path, text) in files(tree) {
        for (variable, _) in documents::words(text, "PINION_").filter(|(variable, _)| *variable != "PINION_") {
            if !declared.iter().any(|(_, known)| known.as_deref() == Some(variable)) {
                wrong.push(format!("{path}: no setting has the variable {variable}"));
            }
        }
        let commands = text.lines().filter(|line| line.starts_with("ExecStart=") || line.starts_with("CMD "));
        for (flag, _) in commands.flat_map(|line| documents::words(line, "--")) {
            if !declared.iter().any(|(known, _)| known == flag) {
                wrong.push(format!("{path}: the server does not take {flag}"));
            }
        }
    }
    wrong
}

/// An image that is built with another Rust than the manifest wants, or by a profile that it does not have.
#[must_use]
pub fn image(tree: &Tree) -> Vec<String> {
    let (image, manifest) = (tree.text(IMAGE).unwrap_or_default(), tree.text(MANIFEST).unwrap_or_default());
    let version =
        manifest.split("rust-version = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let mut wrong = Vec::new();
    if !image.contains(&format!("FROM rust:{version}-")) {
        wrong.push(format!("{IMAGE}: it is not built with Rust {version}, the rust-version of {MANIFEST}"));
    }
    let profile = image.split("--profile ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    if !manifest.contains(&format!("[profile.{profile}]")) || !image.contains(&format!("/target/{profile}/pinion ")) {
        wrong.push(format!("{IMAGE}: the profile `{profile}` is not one of {MANIFEST}, or its binary is not taken"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(unit: &str, image: &str) -> Tree {
        Tree::of([
            ("server/src/settings.rs", "#[arg(long, env = \"PINION_LISTEN\")]\npub(crate) listen: Option<u8>,\n"),
            (MANIFEST, "rust-version = \"1.95\"\n[profile.dist]\n"),
            ("ops/systemd/pinion.service", unit),
            (IMAGE, image),
        ])
    }

    #[test]
    fn variables_and_flags_that_are_no_settings_are_seen() {
        let fine = "# PINION_* of all kinds\nExecStart=/usr/bin/pinion serve --listen a\nEnvironment=PINION_LISTEN=b\n";
        assert_eq!(settings(&tree(fine, "RUN cargo --locked\nENV PINION_LISTEN=c\n")), [""; 0]);
        let wrong = settings(&tree("ExecStart=pinion --lisen a\n", "ENV PINION_LISEN=c\n"));
        let expected = [
            "ops/docker/Dockerfile: no setting has the variable PINION_LISEN",
            "ops/systemd/pinion.service: the server does not take --lisen",
        ];
        assert_eq!(wrong, expected);
    }

    #[test]
    fn an_image_of_another_rust_or_profile_is_seen() {
        let of = |version: &str, profile: &str, binary: &str| {
            let text = format!(
                "FROM rust:{version}-slim\nRUN cargo build --profile {profile}\nCOPY /src/target/{binary}/pinion a\n"
            );
            image(&tree("", &text)).len()
        };
        assert_eq!(of("1.95", "dist", "dist"), 0);
        assert_eq!([of("1.94", "dist", "dist"), of("1.95", "lean", "lean"), of("1.95", "dist", "release")], [1, 1, 1]);
    }
}
