//! The command line's contract that needs no running server.

use crate::harness::pinion;

fn run(arguments: &[&str], environment: &[(&str, &str)], file: Option<&str>) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    if let Some(text) = file {
        std::fs::write(folder.path().join("pinion.toml"), text).unwrap();
    }
    let output = pinion()
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder.path())
        .output()
        .expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[test]
fn print_config_shows_every_layer_and_where_it_came_from() {
    let file = "shards = 3\nmax_in_flight = 5\nmailbox_capacity = 7\n";
    let environment =
        [("PINION_MAX_IN_FLIGHT", "6"), ("PINION_SHARDS", "4"), ("PINION_ROOT_KEY", "canary-canary-canary")];
    let (code, stdout, stderr) = run(&["serve", "--print-config", "--shards", "9"], &environment, Some(file));
    assert_eq!((code, stderr.as_str()), (0, ""));
    for (setting, source) in [
        ("shards = 9 ", "# --shards"),
        ("max_in_flight = 6 ", "# PINION_MAX_IN_FLIGHT"),
        ("mailbox_capacity = 7 ", "# pinion.toml:3"),
        ("listen = \"127.0.0.1:8071\" ", "# default"),
    ] {
        assert!(stdout.lines().any(|line| line.starts_with(setting) && line.ends_with(source)), "{setting}: {stdout}");
    }
    assert!(stdout.contains("PINION_ROOT_KEY (hidden)") && !stdout.contains("canary"), "{stdout}");
}

#[test]
fn an_invalid_file_ends_with_2_and_names_the_place() {
    let (code, stdout, stderr) = run(&["serve"], &[], Some("listen = \"127.0.0.1:0\"\nshrads = 2\n"));
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.starts_with("pinion: pinion.toml:2:1: unknown setting `shrads`"), "{stderr}");
}

#[test]
fn a_value_out_of_bounds_ends_with_2_and_names_the_variable() {
    let (code, _, stderr) = run(&["serve"], &[("PINION_SHARDS", "0")], None);
    assert_eq!(code, 2);
    assert!(stderr.starts_with("pinion: PINION_SHARDS: shards must be between 1 and 256"), "{stderr}");
}

#[test]
fn a_named_file_must_exist() {
    let (code, _, stderr) = run(&["serve", "--config", "absent.toml"], &[], None);
    assert_eq!(code, 2);
    assert!(stderr.starts_with("pinion: could not read absent.toml"), "{stderr}");
}

#[test]
fn an_unknown_flag_ends_with_2() {
    let (code, _, stderr) = run(&["serve", "--frobnicate"], &[], None);
    assert_eq!(code, 2);
    assert!(stderr.contains("--frobnicate"), "{stderr}");
}

#[test]
fn help_is_text_without_holes() {
    for arguments in
        [&["--help"][..], &["serve", "--help"], &["demo", "--help"], &["key", "--help"], &["repair", "--help"]]
    {
        let (code, stdout, _) = run(arguments, &[], None);
        assert_eq!(code, 0);
        let holed = stdout.lines().find(|line| line.trim().contains(&" ".repeat(20)));
        assert_eq!(holed, None, "{arguments:?}");
    }
    let (_, stdout, _) = run(&["repair", "--help"], &[], None);
    let words = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("a new one beside it, and puts that in its place"), "{stdout}");
}
