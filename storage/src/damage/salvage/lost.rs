//! The cost of a span of the data file in which no message can be read.
//!
//! A damaged message's header may still say which page it was of, and so which rows are lost. It is not believed alone:
//! its page number may be the damaged part. [`super::leaves`] decides the cost of a lost page.

use std::io;

use super::message::{Kind, Leaf, Message, link_key, low};
use super::segments::{DataFile, Hole, Page, Pages};

/// Notes the cost of a span without a readable message. `goes_on`: a readable one follows right behind it.
pub(crate) fn lose(
    file: &DataFile,
    bytes: &[u8],
    segment: u64,
    (position, offset): (i64, u64),
    goes_on: bool,
    pages: &mut Pages,
) -> io::Result<()> {
    let head = Message::head(bytes).map(|(message, _)| message);
    // A header is only believed when the next message is where it says.
    let fits = head.filter(|head| goes_on && head.segment == segment && head.bytes() == bytes.len());
    let head = match fits {
        Some(head) => {
            let known = pages.pages.keys().chain(pages.inner.keys()).copied();
            match head.page_by_sum(bytes, known) {
                Some(page) => Some(Message { page, ..head }),
                None => is_confirmed(file, &head, &bytes[head.head_bytes..], pages)?.then_some(head),
            }
        }
        None => None,
    };
    let page = head.map(|head| head.page);
    match head.map(|head| head.kind) {
        Some(Kind::Node | Kind::Elsewhere) => {
            pages.inner.remove(&page.unwrap_or_default());
            pages.pages.insert(page.unwrap_or_default(), Page::default());
        }
        Some(Kind::Link) => {
            if let Some(page) = page.and_then(|page| pages.pages.get_mut(&page)) {
                page.lost_links += 1;
            }
        }
        Some(Kind::Nothing | Kind::Cap | Kind::Free) | None => {}
    }
    pages.holes.push(Hole { position, offset, bytes: bytes.len(), page });
    Ok(())
}

/// True if a damaged message's body is of the page that its header names: the page number may be the damaged part.
fn is_confirmed(file: &DataFile, head: &Message, body: &[u8], pages: &Pages) -> io::Result<bool> {
    let page = pages.pages.get(&head.page);
    let before = match page.and_then(|page| page.base).or_else(|| pages.inner.get(&head.page).copied()) {
        Some(place) => low(&file.read(place.offset, place.bytes)?),
        None => None,
    };
    Ok(match (head.kind, before) {
        // A page never begins at another key.
        (Kind::Node, Some((begins_at, _))) => low(body).is_some_and(|(low, _)| low == begins_at),
        (Kind::Link, Some((begins_at, prefix_bytes))) => {
            let key = link_key(body).map(|key| [&begins_at[..prefix_bytes.min(begins_at.len())], key].concat());
            let leaf = page.map(|page| file.leaf(page)).transpose()?.flatten();
            let within = |key: &Vec<u8>, leaf: &Leaf| {
                leaf.low.as_ref() <= key.as_slice() && (leaf.high.is_empty() || key.as_slice() < leaf.high.as_ref())
            };
            key.zip(leaf).is_some_and(|(key, leaf)| within(&key, &leaf))
        }
        (Kind::Node | Kind::Link | Kind::Elsewhere, _) => false,
        (Kind::Nothing | Kind::Cap | Kind::Free, _) => true,
    })
}
