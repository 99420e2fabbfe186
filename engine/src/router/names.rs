//! Texts that endpoints name (event types, prefixes, channels) as small numbers.
//!
//! So an index entry is 12 bytes, however long its texts are. A text is forgotten with the last endpoint that names it.
//! The endpoints of one application, and the texts that one endpoint may name, bound the number of texts. Pure.

use foldhash::HashMap;

/// The number that stands for "every": no text has it.
pub(super) const EVERY: u32 = 0;

/// Texts and their numbers, from 1.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashMap<Box<str>, Known>,
    /// Numbers at or below `last` that no text has now.
    free: Vec<u32>,
    last: u32,
}

#[derive(Debug)]
struct Known {
    number: u32,
    users: u32,
}

impl Names {
    /// The number of a text, which gets one user more.
    pub(super) fn take(&mut self, text: &str) -> u32 {
        if let Some(known) = self.known.get_mut(text) {
            known.users += 1;
            return known.number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.last += 1;
            self.last
        });
        self.known.insert(text.into(), Known { number, users: 1 });
        number
    }

    /// One user less; with the last one the text is forgotten. Answers its number, and `true` if it is forgotten.
    pub(super) fn give_back(&mut self, text: &str) -> Option<(u32, bool)> {
        let known = self.known.get_mut(text)?;
        known.users -= 1;
        let (number, forgotten) = (known.number, known.users == 0);
        if forgotten {
            self.known.remove(text);
            self.free.push(number);
        }
        Some((number, forgotten))
    }

    /// The number of a text that somebody names.
    pub(super) fn get(&self, text: &str) -> Option<u32> {
        self.known.get(text).map(|known| known.number)
    }

    /// True if no endpoint names any text.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number_while_somebody_names_it_and_numbers_are_used_again() {
        let mut names = Names::default();
        assert_eq!((names.take("a"), names.take("b"), names.take("a")), (1, 2, 1));
        assert_eq!(names.give_back("a"), Some((1, false)));
        assert_eq!(names.get("a"), Some(1));
        assert_eq!(names.give_back("a"), Some((1, true)));
        assert_eq!((names.get("a"), names.give_back("a")), (None, None));
        assert_eq!(names.take("c"), 1);
    }
}
