//! Every rule on the real tree. That each rule sees what it forbids is shown beside it, in `tidy/src`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tidy::promql::Exported;
use tidy::tree::Tree;
use tidy::uses::{self, Use};
use tidy::{alerts, answers, arrows, board, circles, documents, packaging, panels, reserved, rooms, shape, words};

static ROOT: LazyLock<PathBuf> = LazyLock::new(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
static TREE: LazyLock<Tree> = LazyLock::new(|| Tree::read(&ROOT).unwrap());
static USES: LazyLock<Vec<Use>> = LazyLock::new(|| uses::all(&TREE));

/// Fails with everything that is wrong, one line each.
#[track_caller]
fn nothing_is(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_tree_was_found() {
    assert!(TREE.rust().count() > 300 && TREE.has("README.md"));
}

#[test]
fn a_room_uses_only_rooms_below_it() {
    nothing_is(&arrows::check(&TREE, &USES, rooms::ROOMS, rooms::UPWARD));
}

#[test]
fn no_modules_stand_in_a_circle() {
    nothing_is(&circles::check(&USES, circles::CIRCLES));
}

#[test]
fn clocks_randomness_sockets_and_frameworks_are_used_where_the_list_says() {
    nothing_is(&reserved::check(&TREE, reserved::RESERVED));
}

#[test]
fn every_file_opens_with_what_it_is() {
    nothing_is(&shape::headers(&TREE));
}

#[test]
fn files_and_functions_are_short() {
    nothing_is(&shape::lengths(&TREE, shape::LONG_FILES));
}

#[test]
fn nothing_is_left_over() {
    nothing_is(&shape::leftovers(&TREE));
}

#[test]
fn the_answers_to_a_newcomer_are_true() {
    nothing_is(&answers::check(&TREE, answers::QUESTIONS));
}

#[test]
fn the_table_of_rooms_in_the_document_is_ours() {
    let rendered = TREE.text(answers::DOCUMENT).and_then(|text| documents::with_rooms(text, rooms::ROOMS));
    if let Some(rendered) = rendered.filter(|_| std::env::var_os("TIDY_WRITE").is_some()) {
        return std::fs::write(ROOT.join(answers::DOCUMENT), rendered).unwrap();
    }
    nothing_is(&documents::rooms(&TREE, rooms::ROOMS));
}

#[test]
fn links_and_paths_in_documents_lead_somewhere() {
    nothing_is(&documents::paths(&TREE));
    nothing_is(&documents::modules(&TREE));
}

#[test]
fn settings_metrics_and_routes_in_documents_exist() {
    nothing_is(&documents::settings(&TREE));
    nothing_is(&documents::metrics(&TREE));
    nothing_is(&documents::routes(&TREE));
}

#[test]
fn names_are_words_of_the_field_or_in_the_glossary() {
    nothing_is(&words::names(&TREE, words::VOCABULARY));
}

#[test]
fn comments_are_in_plain_english() {
    nothing_is(&words::riddles(&TREE, words::PLAIN));
    nothing_is(&words::absences(&TREE, words::ABSENCES_AT_MOST));
}

#[test]
fn each_alert_has_its_runbook_and_its_tests() {
    nothing_is(&alerts::entries(&TREE));
    nothing_is(&alerts::tested(&TREE));
}

#[test]
fn alerts_name_only_what_is_exported() {
    nothing_is(&alerts::metrics(&TREE));
}

#[test]
fn the_dashboard_shows_every_metric_and_nothing_else() {
    nothing_is(&board::check(panels::ROWS, &Exported::of(&TREE), board::LEFT_OUT));
}

#[test]
fn the_committed_dashboard_is_the_one_that_is_made() {
    let (rendered, path) = (board::render(panels::ROWS), ROOT.join(board::FILE));
    if std::env::var_os("TIDY_WRITE").is_some() {
        return std::fs::write(path, rendered).unwrap();
    }
    let is_same = std::fs::read_to_string(path).is_ok_and(|committed| committed == rendered);
    assert!(
        is_same,
        "{} is not what tidy/src/panels.rs makes; `TIDY_WRITE=1 cargo test -p tidy` writes it",
        board::FILE
    );
}

#[test]
fn the_unit_and_the_image_start_the_binary_that_there_is() {
    nothing_is(&packaging::settings(&TREE));
    nothing_is(&packaging::image(&TREE));
}
