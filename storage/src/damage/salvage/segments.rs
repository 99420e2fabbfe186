//! The data file of sled, read without sled: the pages that there are, and their places.
//!
//! sled's file is a log: segments in the order of their positions, and in them messages that replace or change pages.
//! So the state of every page follows from the file alone, without sled's snapshot, its configuration or its index
//! pages. sled takes damage for the end of its log and stops; this goes on behind it.
//!
//! - *What bounds it:* one segment in memory, and an entry for each page.
//! - *What it tells apart:* a single flipped bit, which is put right (see [`flip`](crate::damage::flip)) and read so
//!   from then on; a message whose header still says which page it was of; a span of which nothing is known.
//!
//! Nothing is written here, and nothing judged: [`super::leaves`] decides the cost of a lost page.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;

use super::lost::lose;
use super::message::{
    Kind, Leaf, Link, MESSAGE_HEAD_MAX_BYTES, Message, Node, SEGMENT_HEAD_BYTES, link, link_key, node, outline,
    segment_position,
};
use crate::damage::flip;
use crate::disk::map::SEGMENT_BYTES;
use crate::disk::map::layout::Held;
use crate::disk::map::names::{LAST_COMMIT, is_own};

/// The place of a message's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// In the log.
    position: i64,
    /// In the file.
    pub(crate) offset: u64,
    pub(crate) bytes: usize,
}

/// A page, as far as it can be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// `None` when it was damaged, or is elsewhere.
    pub(crate) base: Option<Place>,
    pub(crate) links: Vec<Place>,
    /// Changes of it that are lost.
    pub(crate) lost_links: usize,
    /// True if it may have rows of the map's own, by its beginning.
    pub(crate) may_have_own_rows: bool,
}

/// A span that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    /// In the log.
    pub(crate) position: i64,
    /// In the file.
    pub(crate) offset: u64,
    pub(crate) bytes: usize,
    /// The page that it was of, which tells the cost; `None`: not known.
    pub(crate) page: Option<u64>,
}

/// The pages of the file.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// Those that hold rows.
    pub(crate) pages: HashMap<u64, Page>,
    /// Those that lead to others.
    pub(crate) inner: HashMap<u64, Place>,
    pub(crate) holes: Vec<Hole>,
    /// Each commit number that a checkpoint noted, by its place in the log.
    pub(crate) seals: BTreeMap<i64, u64>,
    /// Bits that were put right, by byte.
    pub(crate) corrected: BTreeMap<u64, u8>,
    /// The first position in the log that cannot be read as it stands: all that sled would recover lies before it.
    pub(crate) stops_at: Option<i64>,
}

/// The data file with the bits put right that were found to be wrong.
pub(crate) struct DataFile {
    file: File,
    bytes: u64,
    pub(crate) corrected: BTreeMap<u64, u8>,
}

// === impl DataFile ===

impl DataFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes, corrected: BTreeMap::new() })
    }

    /// So many bytes from there on, fewer where the file ends.
    pub(crate) fn read(&self, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let there = self.bytes.saturating_sub(offset).min(bytes as u64) as usize;
        let mut read = vec![0; there];
        self.file.read_exact_at(&mut read, offset)?;
        for (at, mask) in self.corrected.range(offset..offset + there as u64) {
            read[(at - offset) as usize] ^= mask;
        }
        Ok(read)
    }

    /// The leaf that a page is; `None` when it is none, or cannot be read.
    pub(crate) fn leaf(&self, page: &Page) -> io::Result<Option<Leaf>> {
        let Some(base) = page.base else { return Ok(None) };
        let body = self.read(base.offset, base.bytes)?;
        let Some(Node::Leaf(mut leaf)) = node(&body) else { return Ok(None) };
        for place in &page.links {
            if let Some(link) = link(&self.read(place.offset, place.bytes)?) {
                leaf.apply(link);
            }
        }
        Ok(Some(leaf))
    }
}

// === impl Page ===

impl Page {
    /// When it last changed, as a position in the log.
    pub(crate) fn position(&self) -> i64 {
        self.links.last().or(self.base.as_ref()).map_or(0, |place| place.position)
    }

    /// Changes of it that are lost.
    pub(crate) fn lost_links(&self) -> usize {
        self.lost_links
    }
}

// === impl Pages ===

impl Pages {
    fn stop_at(&mut self, position: i64) {
        self.stops_at = Some(self.stops_at.map_or(position, |before| before.min(position)));
    }
}

/// Reads the file between two positions in its log; the first is taken back to the beginning of its segment.
pub(crate) fn scan(file: &mut DataFile, from: i64, upto: i64) -> io::Result<Pages> {
    let mut segments = Vec::new();
    let mut pages = Pages::default();
    for offset in (0..file.bytes).step_by(SEGMENT_BYTES) {
        segments.extend(find_segment(file, offset, &mut pages)?.map(|position| (position, offset)));
    }
    segments.sort_unstable();
    let newest = segments.last().map(|(position, _)| *position);
    for (position, offset) in segments {
        if position < upto && position + SEGMENT_BYTES as i64 > from {
            read_segment(file, (position, offset), upto, Some(position) == newest, &mut pages)?;
        }
    }
    pages.corrected = file.corrected.clone();
    Ok(pages)
}

/// The position in the log of the segment at `offset`; `None` for one that is not in use.
fn find_segment(file: &mut DataFile, offset: u64, pages: &mut Pages) -> io::Result<Option<i64>> {
    let mut header = file.read(offset, SEGMENT_HEAD_BYTES)?;
    if header.len() < SEGMENT_HEAD_BYTES || header.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if let Some(position) = segment_position(&header) {
        return Ok(Some(position));
    }
    let right = flip::search(&mut header, SEGMENT_HEAD_BYTES, |header| segment_position(header).is_some());
    if let Some((byte, mask)) = right {
        header[byte] ^= mask;
        file.corrected.insert(offset + byte as u64, mask);
        let position = segment_position(&header);
        pages.stop_at(position.unwrap_or_default());
        return Ok(position);
    }
    // Its first message knows. None there: a segment that was being put out of use, or one whose beginning is gone.
    let segment = file.read(offset, SEGMENT_BYTES)?;
    if segment.iter().filter(|byte| **byte != 0).count() <= 1 {
        return Ok(None);
    }
    let first = (SEGMENT_HEAD_BYTES..segment.len()).find_map(|at| Message::read(&segment[at..]));
    let position = first.and_then(|message| i64::try_from(message.segment.checked_mul(SEGMENT_BYTES as u64)?).ok());
    pages.holes.push(Hole { position: position.unwrap_or(0), offset, bytes: SEGMENT_HEAD_BYTES, page: None });
    pages.stop_at(position.unwrap_or(0));
    Ok(position)
}

fn read_segment(
    file: &mut DataFile,
    (position, offset): (i64, u64),
    upto: i64,
    newest: bool,
    pages: &mut Pages,
) -> io::Result<()> {
    let mut bytes = file.read(offset, SEGMENT_BYTES)?;
    let number = position as u64 / SEGMENT_BYTES as u64;
    let mut at = SEGMENT_HEAD_BYTES;
    while at + MESSAGE_HEAD_MAX_BYTES <= bytes.len() && position + (at as i64) < upto {
        let place = |at: usize| (position + at as i64, offset + at as u64);
        let read = Message::read(&bytes[at..]).filter(|message| message.segment == number);
        let message = match read {
            Some(message) => message,
            None if ends_here(&bytes[at..]) => return Ok(()),
            None => match Message::correct(&mut bytes[at..], number) {
                Some((message, byte, mask)) => {
                    bytes[at + byte] ^= mask;
                    file.corrected.insert(offset + (at + byte) as u64, mask);
                    pages.stop_at(place(at).0);
                    message
                }
                None => {
                    let goes_on = next_message(&bytes, at + 1, |segment| segment == number);
                    if goes_on.is_none() && next_message(&bytes, at + 1, |segment| segment > number).is_some() {
                        // It was free, and was being written anew when the power went, its header not yet.
                        return Ok(());
                    }
                    pages.stop_at(place(at).0);
                    // A message that was under way when the process ended is cut off at the end of the newest segment.
                    if goes_on.is_some() || !newest {
                        let end = goes_on.unwrap_or(bytes.len());
                        lose(file, &bytes[at..end], number, place(at), goes_on.is_some(), pages)?;
                    }
                    at = goes_on.unwrap_or(bytes.len());
                    continue;
                }
            },
        };
        if message.kind == Kind::Cap {
            return Ok(());
        }
        apply(message, &bytes[at..at + message.bytes()], place(at), pages);
        at += message.bytes();
    }
    Ok(())
}

/// True if nothing follows: zeros, or zeros but for one flipped bit.
fn ends_here(rest: &[u8]) -> bool {
    let mut set = rest.iter().filter(|byte| **byte != 0);
    set.next().is_none_or(|byte| byte.is_power_of_two() && set.next().is_none())
}

/// The offset of the next whole message of such a segment.
fn next_message(bytes: &[u8], from: usize, is_of: impl Fn(u64) -> bool) -> Option<usize> {
    let last = bytes.len().checked_sub(MESSAGE_HEAD_MAX_BYTES)?;
    let wanted = |at: &usize| Message::head(&bytes[*at..]).is_some_and(|(message, _)| is_of(message.segment));
    (from..=last).filter(wanted).find(|at| Message::read(&bytes[*at..]).is_some())
}

fn apply(message: Message, bytes: &[u8], (position, offset): (i64, u64), pages: &mut Pages) {
    let body = &bytes[message.head_bytes..];
    let place = Place { position, offset: offset + message.head_bytes as u64, bytes: body.len() };
    match message.kind {
        Kind::Nothing | Kind::Cap => {}
        Kind::Free | Kind::Elsewhere | Kind::Node => {
            pages.pages.remove(&message.page);
            pages.inner.remove(&message.page);
            // No more of it is read than tells its kind: every start reads every page here.
            match (message.kind, outline(body)) {
                (Kind::Elsewhere, _) => drop(pages.pages.insert(message.page, Page::default())),
                (Kind::Node, Some((first, true))) => {
                    if first.as_deref() == Some(LAST_COMMIT)
                        && let Some(Node::Leaf(leaf)) = node(body)
                    {
                        note_seal(leaf.rows.get(LAST_COMMIT), position, pages);
                    }
                    let may_have_own_rows = first.is_none_or(|first| is_own(&first));
                    let page = Page { base: Some(place), may_have_own_rows, ..Page::default() };
                    pages.pages.insert(message.page, page);
                }
                (Kind::Node, Some((_, false))) => drop(pages.inner.insert(message.page, place)),
                _ => {}
            }
        }
        Kind::Link => {
            if let Some(page) = pages.pages.get_mut(&message.page) {
                page.links.push(place);
            }
            // Keys of other pages may end so, but their rows are not the map's own.
            if link_key(body) == Some(LAST_COMMIT)
                && let Some(Link::Set(_, value)) = link(body)
            {
                note_seal(Some(&value), position, pages);
            }
        }
    }
}

fn note_seal(held: Option<&Bytes>, position: i64, pages: &mut Pages) {
    let commit = held.and_then(|held| Held::commit(held));
    pages.seals.extend(commit.map(|commit| (position, commit)));
}
