//! The levels of slots: which slot a deadline belongs to, and the bitmaps that skip empty ranges. Knows nothing of
//! the timers themselves.
//!
//! A slot is named by its level and its *number*, the time at which it begins divided by its width. Numbers
//! only grow; a level keeps those from the cursor's own up to `SLOTS - 1` further, at their number modulo `SLOTS`. So
//! within that window number and place determine each other.

/// Number of levels.
pub(super) const LEVELS: usize = 3;

/// Bits of a bitmap word.
const WORD: usize = u64::BITS as usize;

/// All slots of all levels.
pub(super) struct Levels<const BITS: u32> {
    /// One bit per slot, level after level: set if the slot is occupied.
    words: Vec<u64>,
    /// One bit per word of a level: set if the word is not zero.
    summaries: [u64; LEVELS],
}

impl<const BITS: u32> Levels<BITS> {
    /// Slots of a level: two for each step of the next level, for the reason given in the module above.
    const SLOTS: usize = {
        // One summary word has to cover a level: at most 64 * 64 slots.
        assert!(BITS >= 1 && BITS <= 11, "a level has between 4 and 4096 slots");
        2 << BITS
    };
    const WORDS: usize = Self::SLOTS.div_ceil(WORD);

    /// Slots of all levels.
    pub(super) const ALL_SLOTS: usize = LEVELS * Self::SLOTS;

    pub(super) fn new() -> Self {
        Self { words: vec![0; LEVELS * Self::WORDS], summaries: [0; LEVELS] }
    }

    /// Logarithm of the slot width of a level, in milliseconds.
    #[inline]
    pub(super) const fn shift(level: usize) -> u32 {
        BITS * level as u32
    }

    /// The place of the slot with this number.
    #[inline]
    pub(super) const fn slot(level: usize, number: u64) -> u32 {
        (level * Self::SLOTS + Self::position(number)) as u32
    }

    #[inline]
    const fn position(number: u64) -> usize {
        number as usize & (Self::SLOTS - 1)
    }

    /// The slot that a deadline belongs to while the cursor stands at `cursor_ms`: on the finest level that
    /// reaches it. A deadline in the past belongs to the cursor's tick, one beyond the top to the top's last.
    ///
    /// Never, on a coarse level, the cursor's slot or the one after it: the level below reaches to the end of
    /// both. That is what makes refiling these two slots end.
    #[inline]
    pub(super) fn place(cursor_ms: u64, deadline_ms: u64) -> u32 {
        let deadline_ms = deadline_ms.max(cursor_ms);
        for level in 0..LEVELS {
            let shift = Self::shift(level);
            let number = deadline_ms >> shift;
            if number - (cursor_ms >> shift) < Self::SLOTS as u64 {
                return Self::slot(level, number);
            }
        }
        let top = LEVELS - 1;
        let last = (cursor_ms >> Self::shift(top)) + Self::SLOTS as u64 - 1;
        Self::slot(top, last)
    }

    /// Notes whether a slot is occupied.
    #[inline]
    pub(super) fn mark(&mut self, slot: u32, occupied: bool) {
        let slot = slot as usize;
        let (level, position) = (slot / Self::SLOTS, slot % Self::SLOTS);
        let word = &mut self.words[level * Self::WORDS + position / WORD];
        let word_bit = 1 << (position / WORD);
        if occupied {
            *word |= 1 << (position % WORD);
            self.summaries[level] |= word_bit;
        } else {
            *word &= !(1 << (position % WORD));
            if *word == 0 {
                self.summaries[level] &= !word_bit;
            }
        }
    }

    /// The first occupied slot behind this one, whatever its level; after the last one, the first of all.
    pub(super) fn occupied_after(&self, slot: u32) -> Option<u32> {
        let slot = slot as usize;
        let (level, position) = (slot / Self::SLOTS, slot % Self::SLOTS);
        let first = level * Self::WORDS + position / WORD;
        let named = |word: usize, bits: u64| {
            let slot = word / Self::WORDS * Self::SLOTS + word % Self::WORDS * WORD + bits.trailing_zeros() as usize;
            (bits != 0).then_some(slot as u32)
        };
        let words = self.words.len();
        let beyond = (!0 << (position % WORD)) << 1;
        named(first, self.words[first] & beyond)
            .or_else(|| (1..=words).map(|step| (first + step) % words).find_map(|word| named(word, self.words[word])))
    }

    /// Number of the first occupied slot on a level, from `number` (the cursor's own) on, in a few
    /// instructions however far away it is.
    #[inline]
    pub(super) fn next_occupied(&self, level: usize, number: u64) -> Option<u64> {
        let summary = self.summaries[level];
        if summary == 0 {
            return None;
        }
        let words = &self.words[level * Self::WORDS..][..Self::WORDS];
        let start = Self::position(number);
        let (first, bit) = (start / WORD, start % WORD);
        let rest = words[first] & (!0 << bit);
        let found = if rest != 0 {
            first * WORD + rest.trailing_zeros() as usize
        } else {
            // The words after the first; failing those, from the start of the ring up to and with the first,
            // of which only the bits before `start` can still be set.
            let after = summary & ((!0 << first) << 1);
            let word = if after != 0 { after } else { summary }.trailing_zeros() as usize;
            word * WORD + words[word].trailing_zeros() as usize
        };
        let distance = found.wrapping_sub(start) & (Self::SLOTS - 1);
        Some(number + distance as u64)
    }
}
