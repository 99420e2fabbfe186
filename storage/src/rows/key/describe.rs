//! The place of a key, for a repair and its report. The key may be cut short, as the bounds between pages are.
//!
//! It shows only numbers: names are the tenants'.

use super::{KeyKind, KeyReader, Owner, endpoint_of};
use crate::rows::audit;
use model::AppId;

/// The kind of a key, also of one cut short; none when it begins like no key of ours.
pub(crate) fn kind_of(key: &[u8]) -> Option<KeyKind> {
    let first = *key.first()?;
    KeyKind::ALL.iter().copied().find(|kind| *kind as u8 == first)
}

/// The application that a key belongs to, of a kind whose keys begin with one.
pub(crate) fn app_of(key: &[u8]) -> Option<AppId> {
    let kind = kind_of(key).filter(|kind| kind.owner() != Owner::Store)?;
    KeyReader::new(kind, key).and_then(|mut reader| reader.part::<AppId>()).ok()
}

/// Kind, application, and endpoint or position, as far as they are whole.
pub(crate) fn describe(key: &[u8]) -> String {
    let Some(kind) = kind_of(key) else { return "the beginning".to_owned() };
    let app = app_of(key).map(|app| format!(" of application {app}"));
    let place = match (kind, kind.owner()) {
        (KeyKind::Event | KeyKind::Payload, _) => {
            let seq = key.get(5..13).and_then(|seq| seq.try_into().ok()).map(u64::from_be_bytes);
            seq.map(|seq| format!(", position {seq}"))
        }
        (KeyKind::Audit, _) => audit::decode(key).ok().map(|seq| format!(", position {seq}")),
        (_, Owner::Endpoint) => endpoint_of(kind, key).ok().map(|target| format!(", endpoint {}", target.endpoint)),
        _ => None,
    };
    format!("{}{}{}", kind.name(), app.unwrap_or_default(), place.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{event, meta, pending};
    use crate::tables::testing::target;
    use model::Seq;

    #[test]
    fn a_key_says_what_is_whole_in_it() {
        let block = event::encode(AppId(3), Seq(70));
        assert_eq!(describe(&block), "event of application 3, position 70");
        assert_eq!(describe(&block[..12]), "event of application 3");
        assert_eq!(describe(&block[..4]), "event");
        assert_eq!(describe(&pending::encode(target(1, 2), Seq(3))), "pending of application 1, endpoint 2");
        assert_eq!(describe(&audit::encode(7)), "audit, position 7");
        assert_eq!((describe(&meta::encode("secret")), describe(&[])), ("meta".to_owned(), "the beginning".to_owned()));
        assert_eq!((app_of(&block), app_of(&meta::encode("abcd"))), (Some(AppId(3)), None));
    }

    #[test]
    fn every_kind_is_known() {
        for first in 0..=255 {
            let named = kind_of(&[first]);
            assert!(named.is_none_or(|kind| kind as u8 == first));
            let is_kind = matches!(first, 1..=7 | 16..=33 | 40..=41 | 50..=52 | 60..=61);
            assert_eq!(named.is_some(), is_kind, "{first}");
        }
    }
}
