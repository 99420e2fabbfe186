//! Everything that is wrong with an input, collected so that one answer names all of it.
//!
//! The rules on characters and lengths are those of the API's published shape. No I/O: a command finds out later
//! whether a uid is taken.

use crate::error::{Error, Wrong};
use crate::limits;
use engine::prepare::content::check_filter;
use model::id::IdKind;
use std::collections::{BTreeMap, HashSet};

/// Collects the faults of an input.
#[derive(Debug, Default)]
pub struct Checks {
    items: Vec<Wrong>,
}

impl Checks {
    /// Notes one thing, at a path of field names and indexes.
    pub fn wrong(&mut self, path: &[&str], msg: impl Into<String>, kind: &'static str) {
        self.items.push(Wrong { at: path.iter().map(|part| (*part).to_owned()).collect(), msg: msg.into(), kind });
    }

    /// # Errors
    /// Everything that was noted, if anything was.
    pub fn finish(self) -> Result<(), Error> {
        if self.items.is_empty() { Ok(()) } else { Err(Error::Invalid(self.items)) }
    }

    /// A uid, event id or exact event type.
    pub fn name(&mut self, field: &str, value: &str) {
        self.name_at(&[field], value, limits::NAME_MAX);
    }

    /// A name that a path may call a thing of this kind by: a uid or an event id. A name that begins as the ids of its
    /// kind do, or looks like any id of ours, would be taken for that id. `.` and `..` do not survive in a path.
    pub fn path_name_if_any(&mut self, field: &str, kind: IdKind, value: Option<&str>) {
        let Some(value) = value else { return };
        self.name(field, value);
        if means_another(kind, value) {
            let prefix = kind.prefix();
            let msg = format!("must be neither '.' nor '..', nor begin with '{prefix}', nor look like an id");
            self.wrong(&[field], msg, "value_error.reserved");
        }
    }

    /// As [`Checks::name`], when there is one.
    pub fn name_if_any(&mut self, field: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.name(field, value);
        }
    }

    fn name_at(&mut self, path: &[&str], value: &str, max: usize) {
        if value.is_empty() || value.len() > max {
            self.wrong(path, format!("must have 1 to {max} characters"), "value_error.any_str.length");
        } else if !is_name(value) {
            self.wrong(path, "may hold only letters, digits, '-', '_' and '.'", "value_error.str.regex");
        }
    }

    /// A text for people.
    pub fn text(&mut self, field: &str, value: &str, least: usize, most: usize) {
        if value.len() < least || value.len() > most {
            self.wrong(&[field], format!("must have {least} to {most} bytes"), "value_error.any_str.length");
        }
    }

    /// Channels: distinct names, `1..=most` of them (0 allowed with `may_be_empty`).
    pub fn channels<S: AsRef<str>>(&mut self, values: &[S], most: usize, may_be_empty: bool) {
        if self.count("channels", values.len(), usize::from(!may_be_empty), most) {
            for (index, value) in values.iter().enumerate() {
                self.name_at(&["channels", &index.to_string()], value.as_ref(), limits::CHANNEL_MAX);
            }
            self.distinct("channels", values);
        }
    }

    /// An endpoint's filter: exact event types, or a prefix followed by `.*`.
    pub fn event_type_filter(&mut self, field: &str, values: &[String], may_be_empty: bool) {
        if self.count(field, values.len(), usize::from(!may_be_empty), limits::ENDPOINT_EVENT_TYPES_MAX) {
            for (index, value) in values.iter().enumerate() {
                let exact = value.strip_suffix(".*").unwrap_or(value);
                self.name_at(&[field, &index.to_string()], exact, limits::NAME_MAX);
            }
            self.distinct(field, values);
        }
    }

    /// A content filter, when there is one.
    pub fn content_filter_if_any(&mut self, field: &str, text: Option<&str>) {
        if let Some(text) = text
            && let Err(fault) = check_filter(text)
        {
            self.wrong(&[field], fault.to_string(), "value_error.filter");
        }
    }

    /// The number of entries, and whether it is right. Content is only looked at then: a list within a legal body may
    /// be as long as the body.
    pub fn count(&mut self, field: &str, count: usize, least: usize, most: usize) -> bool {
        let is_right = (least..=most).contains(&count);
        if !is_right {
            self.wrong(&[field], format!("must have {least} to {most} entries"), "value_error.list.length");
        }
        is_right
    }

    /// Tags: distinct texts without control characters.
    pub fn tags(&mut self, values: &[String]) {
        if self.count("tags", values.len(), 0, limits::MESSAGE_TAGS_MAX) {
            for (index, value) in values.iter().enumerate() {
                self.label(&["tags", &index.to_string()], value, limits::TAG_BYTES_MAX);
            }
            self.distinct("tags", values);
        }
    }

    /// A text of 1 to `most` bytes without control characters.
    pub fn label(&mut self, path: &[&str], value: &str, most: usize) {
        if value.is_empty() || value.len() > most {
            self.wrong(path, format!("must have 1 to {most} bytes"), "value_error.any_str.length");
        } else if value.chars().any(char::is_control) {
            self.wrong(path, "must not have control characters", "value_error.str.regex");
        }
    }

    fn distinct<S: AsRef<str>>(&mut self, field: &str, values: &[S]) {
        let mut seen = HashSet::with_capacity(values.len());
        if let Some(value) = values.iter().map(AsRef::as_ref).find(|value| !seen.insert(*value)) {
            self.wrong(&[field], format!("names {value:?} twice"), "value_error.list.unique_items");
        }
    }

    /// A number within bounds.
    pub fn within<N>(&mut self, field: &str, value: N, bounds: &std::ops::RangeInclusive<N>)
    where
        N: PartialOrd + std::fmt::Display,
    {
        self.within_at(&[field], value, bounds);
    }

    /// A number within bounds, of a field of an object.
    pub fn within_at<N>(&mut self, path: &[&str], value: N, bounds: &std::ops::RangeInclusive<N>)
    where
        N: PartialOrd + std::fmt::Display,
    {
        if !bounds.contains(&value) {
            let msg = format!("must be between {} and {}", bounds.start(), bounds.end());
            self.wrong(path, msg, "value_error.number.range");
        }
    }

    /// Metadata: bounded as the JSON text that is kept.
    pub fn metadata(&mut self, metadata: &BTreeMap<String, String>) {
        let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
        if bytes > limits::METADATA_BYTES_MAX {
            let msg = format!("must not have more than {} bytes as JSON", limits::METADATA_BYTES_MAX);
            self.wrong(&["metadata"], msg, "value_error.any_str.max_length");
        }
    }
}

/// One value that two generations of clients call by two names: either, or both if they agree.
pub fn either<T: PartialEq>(
    checks: &mut Checks,
    (new_name, new): (&str, Option<T>),
    (old_name, old): (&str, Option<T>),
) -> Option<T> {
    if let (Some(new), Some(old)) = (&new, &old)
        && new != old
    {
        checks.wrong(&[old_name], format!("differs from {new_name}"), "value_error.conflict");
    }
    new.or(old)
}

/// True if a path may give a new thing this name as its uid.
pub fn may_be_uid(kind: IdKind, text: &str) -> bool {
    is_name(text) && !means_another(kind, text)
}

/// True if a path with this name would mean something else than the thing of this kind with this name.
fn means_another(kind: IdKind, text: &str) -> bool {
    let is_a_path = kind == IdKind::Endpoint && text == "bulk";
    matches!(text, "." | "..") || is_a_path || text.starts_with(kind.prefix()) || looks_like_id(text)
}

/// True if the text has only the characters of names: `^[a-zA-Z0-9\-_.]+$`.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// True if a text has the shape of an id, with any letters: a prefix of ours and as many characters.
pub fn looks_like_id(text: &str) -> bool {
    IdKind::ALL.into_iter().any(|kind| kind.is_shape_of(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong_with(check: impl FnOnce(&mut Checks)) -> Vec<String> {
        let mut checks = Checks::default();
        check(&mut checks);
        checks.items.iter().map(|item| item.at.join(".")).collect()
    }

    #[test]
    fn names_have_a_length_and_an_alphabet() {
        assert!(wrong_with(|checks| checks.name("uid", "a-B_9.z")).is_empty());
        for bad in ["", "a b", "ä", "a/b", &"x".repeat(257)] {
            assert_eq!(wrong_with(|checks| checks.name("uid", bad)), ["uid"], "{bad:?}");
        }
    }

    #[test]
    fn a_name_in_a_path_is_neither_dots_nor_like_an_id() {
        let check = |kind, text: &str| wrong_with(|checks| checks.path_name_if_any("uid", kind, Some(text)));
        let long = format!("ep_{}", "0".repeat(26));
        for (kind, bad) in [
            (IdKind::Application, "app_123"),
            (IdKind::Application, "app_"),
            (IdKind::Endpoint, "ep_1"),
            (IdKind::Message, "msg_x"),
            (IdKind::Application, ".."),
            (IdKind::Endpoint, "."),
            (IdKind::Application, &long),
        ] {
            assert_eq!(check(kind, bad), ["uid"], "{bad}");
            assert!(!may_be_uid(kind, bad), "{bad}");
        }
        for (kind, good) in [(IdKind::Application, "ep_1"), (IdKind::Endpoint, "app-1"), (IdKind::Message, "evt_1")] {
            assert!(check(kind, good).is_empty() && may_be_uid(kind, good), "{good}");
        }
    }

    #[test]
    fn a_filter_may_end_in_a_star_behind_a_dot_only() {
        let check = |text: &str| wrong_with(|checks| checks.event_type_filter("eventTypes", &[text.to_owned()], false));
        assert!(check("invoice.*").is_empty());
        assert!(check("invoice.paid").is_empty());
        for bad in ["*", ".*", "invoice*", "in*.voice", "invoice.*.*"] {
            assert_eq!(check(bad), ["eventTypes.0"], "{bad}");
        }
    }

    #[test]
    fn channels_are_few_and_distinct() {
        assert!(wrong_with(|checks| checks.channels(&["a", "b"], 5, false)).is_empty());
        assert_eq!(wrong_with(|checks| checks.channels::<&str>(&[], 5, false)), ["channels"]);
        assert!(wrong_with(|checks| checks.channels::<&str>(&[], 5, true)).is_empty());
        assert_eq!(wrong_with(|checks| checks.channels(&["a", "a"], 5, false)), ["channels"]);
        assert_eq!(wrong_with(|checks| checks.channels(&["a", "b c"], 5, false)), ["channels.1"]);
    }

    #[test]
    fn two_names_of_one_value_must_agree() {
        let mut checks = Checks::default();
        assert_eq!(either(&mut checks, ("throttleRate", Some(1)), ("rateLimit", Some(1))), Some(1));
        assert_eq!(either(&mut checks, ("throttleRate", None), ("rateLimit", Some(2))), Some(2));
        assert!(checks.items.is_empty());
        either(&mut checks, ("throttleRate", Some(1)), ("rateLimit", Some(2)));
        assert_eq!(checks.items[0].at, ["rateLimit"]);
    }
}
