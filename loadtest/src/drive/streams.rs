//! Which application an event belongs to, and which endpoints must get it.
//!
//! A stream is an application; each has the same number of endpoints (its members). The application follows from the
//! event's number, so that nothing needs to be kept for each event. Endpoints are numbered `stream x members + member`.
//! It has no state.

/// Entries of the table that numbers are spread by; a power of two.
const TABLE_LEN: usize = 1 << 16;

/// The applications of a run and their share of the load.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    count: u32,
    fan_out: u32,
    /// Consecutive numbers of one application: a batch goes to one.
    run: u32,
    /// Empty for one stream, and for streams that take turns.
    table: Box<[u32]>,
    /// Ordering keys of an application; 0: events have none.
    keys: u32,
    /// Endpoints below this misbehave.
    bad: usize,
    /// True when those must get their deliveries all the same, in the end.
    are_bad_owed: bool,
}

impl Streams {
    /// One application with `fan_out` endpoints.
    pub(crate) fn one(fan_out: u32) -> Streams {
        Streams { count: 1, fan_out, run: 1, table: Box::default(), keys: 0, bad: 0, are_bad_owed: true }
    }

    /// `count` applications with an equal share of the load.
    pub(crate) fn even(count: u32, fan_out: u32) -> Streams {
        let table = (0..TABLE_LEN).map(|slot| (slot % count.max(1) as usize) as u32).collect();
        Streams { count: count.max(1), table, ..Streams::one(fan_out) }
    }

    /// `count` applications that get an event in turn.
    pub(crate) fn in_turn(count: u32, fan_out: u32) -> Streams {
        Streams { count: count.max(1), ..Streams::one(fan_out) }
    }

    /// `count` applications with a share of the load by Zipf's law: the k-th gets 1/k of the first one's share.
    pub(crate) fn skewed(count: u32) -> Streams {
        let total: f64 = (1..=count).map(|rank| 1.0 / f64::from(rank)).sum();
        let mut table = Vec::with_capacity(TABLE_LEN);
        let mut until = 0.0;
        for rank in 1..=count {
            until += TABLE_LEN as f64 / f64::from(rank) / total;
            table.resize((until.round() as usize).clamp(table.len(), TABLE_LEN), rank - 1);
        }
        table.resize(TABLE_LEN, 0);
        Streams { count: count.max(1), table: table.into(), ..Streams::one(1) }
    }

    /// Keeps `run` consecutive numbers in one application.
    pub(crate) fn in_runs_of(self, run: u32) -> Streams {
        Streams { run: run.max(1), ..self }
    }

    /// Each event has one of `keys` ordering keys.
    pub(crate) fn with_keys(self, keys: u32) -> Streams {
        Streams { keys, ..self }
    }

    /// The first `bad` endpoints misbehave; `are_owed` says whether they must get their deliveries in the end.
    pub(crate) fn with_bad(self, bad: u32, are_owed: bool) -> Streams {
        Streams { bad: bad as usize, are_bad_owed: are_owed, ..self }
    }

    /// Applications.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Endpoints of each application.
    pub(crate) fn fan_out(&self) -> u32 {
        self.fan_out
    }

    /// Endpoints in all.
    pub(crate) fn endpoints(&self) -> usize {
        self.count as usize * self.fan_out as usize
    }

    /// Healthy endpoints of the last application, where none misbehaves unless all do.
    pub(crate) fn healthy_fan_out(&self) -> u32 {
        self.healthy_in(self.count - 1)
    }

    fn healthy_in(&self, stream: u32) -> u32 {
        let bad = self.bad.saturating_sub(self.endpoint(stream, 0)).min(self.fan_out as usize);
        self.fan_out - bad as u32
    }

    /// The application of an event.
    pub(crate) fn of(&self, number: u64) -> u32 {
        if self.table.is_empty() {
            return (number / u64::from(self.run) % u64::from(self.count)) as u32;
        }
        self.table[mix(number / u64::from(self.run)) as usize % TABLE_LEN]
    }

    /// Ordering keys of an application; 0 when events have none.
    pub(crate) fn keys(&self) -> u32 {
        self.keys
    }

    /// The ordering key of an event. From other bits than its application, so that each has all of them.
    pub(crate) fn key(&self, number: u64) -> u32 {
        ((mix(number) >> 32) % u64::from(self.keys.max(1))) as u32
    }

    /// The number of an endpoint.
    pub(crate) fn endpoint(&self, stream: u32, member: u32) -> usize {
        stream as usize * self.fan_out as usize + member as usize
    }

    /// True when an endpoint behaves.
    pub(crate) fn is_healthy(&self, endpoint: usize) -> bool {
        endpoint >= self.bad
    }

    /// True when an endpoint must get its deliveries.
    pub(crate) fn is_owed(&self, endpoint: usize) -> bool {
        self.are_bad_owed || self.is_healthy(endpoint)
    }

    /// The number of healthy endpoints that get an event.
    pub(crate) fn healthy_of(&self, number: u64) -> u32 {
        if self.bad == 0 { self.fan_out } else { self.healthy_in(self.of(number)) }
    }
}

/// Spreads consecutive numbers evenly (the finaliser of splitmix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(streams: &Streams, events: u64) -> Vec<u64> {
        let mut shares = vec![0; streams.count() as usize];
        (0..events).for_each(|number| shares[streams.of(number) as usize] += 1);
        shares
    }

    #[test]
    fn an_even_load_is_even() {
        let shares = shares(&Streams::even(10, 1), 100_000);
        assert!(shares.iter().all(|share| (9_000..11_000).contains(share)), "{shares:?}");
    }

    #[test]
    fn a_skewed_load_follows_zipf_and_leaves_nobody_out() {
        let shares = shares(&Streams::skewed(1_000), 1_000_000);
        let ratio = shares[0] as f64 / shares[9] as f64;
        assert!((8.0..12.0).contains(&ratio), "the first gets {ratio} times the tenth");
        assert!(shares.iter().all(|share| *share > 0));
    }

    #[test]
    fn a_batch_stays_in_one_application() {
        let streams = Streams::even(10, 1).in_runs_of(100);
        for first in (0..10_000).step_by(100) {
            assert!((first..first + 100).all(|number| streams.of(number) == streams.of(first)));
        }
    }

    #[test]
    fn applications_in_turn_get_the_same() {
        assert_eq!(shares(&Streams::in_turn(7, 1), 70), [10; 7]);
    }

    #[test]
    fn an_application_has_events_of_all_keys() {
        let streams = Streams::even(10, 1).with_keys(50);
        let mut counts = [0; 50];
        let of_one = (0..100_000).filter(|number| streams.of(*number) == 3);
        of_one.for_each(|number| counts[streams.key(number) as usize] += 1);
        assert!(counts.iter().all(|count| (100..300).contains(count)), "{counts:?}");
        assert_eq!(Streams::one(1).key(7), 0);
    }

    #[test]
    fn bad_endpoints_are_the_first() {
        let streams = Streams::one(10).with_bad(3, false);
        assert_eq!(streams.healthy_of(0), 7);
        assert!(!streams.is_owed(2) && streams.is_owed(3));
        assert!(Streams::one(10).with_bad(3, true).is_owed(2));
    }
}
