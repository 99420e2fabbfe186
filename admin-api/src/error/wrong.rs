//! One fault of the input, and the bound on the part of the input that is shown again.

use control::Wrong;
use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// One thing wrong with the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ValidationItem {
    /// Where: `body`, `query`, `path` or `header`, then the field's path.
    pub(crate) loc: Vec<String>,
    /// The mistake in words, for people.
    pub(crate) msg: String,
    /// The kind of the mistake, for programs.
    #[serde(rename = "type")]
    pub(crate) kind: Cow<'static, str>,
}

impl ValidationItem {
    /// Of a command: its fields come in a body.
    pub(super) fn in_body(wrong: Wrong) -> ValidationItem {
        let loc = std::iter::once("body".to_owned()).chain(wrong.at).collect();
        ValidationItem { loc, msg: wrong.msg, kind: Cow::Borrowed(wrong.kind) }
    }

    pub(super) fn cut(&self) -> ValidationItem {
        ValidationItem {
            loc: self.loc.iter().map(|part| cut(part).into_owned()).collect(),
            msg: cut(&self.msg).into_owned(),
            kind: self.kind.clone(),
        }
    }
}

/// Characters of one text of an error: it may quote the input, which may be as long as a body.
const TEXT_CHARS_MAX: usize = 200;
/// The number of them that are the end of the text, which names the expected input.
const TEXT_END_CHARS: usize = 60;

/// The text, its middle cut out when it is too long. The one place where input that is shown again is cut.
pub(super) fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_CHARS_MAX || text.chars().nth(TEXT_CHARS_MAX).is_none() {
        return Cow::Borrowed(text);
    }
    let end = text.char_indices().rev().nth(TEXT_END_CHARS - 1).map_or(text.len(), |(at, _)| at);
    let mut short: String = text.chars().take(TEXT_CHARS_MAX - TEXT_END_CHARS - 1).collect();
    short.push('…');
    short.push_str(&text[end..]);
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_in_its_middle() {
        let long = "ä".repeat(900_000);
        let text = format!("{long}, expected a number");
        assert_eq!(cut(&text).chars().count(), TEXT_CHARS_MAX);
        assert!(cut(&text).ends_with("ä, expected a number"));
        let short = "ä".repeat(TEXT_CHARS_MAX);
        assert_eq!(cut(&short), short);
    }
}
