//! The pace of a job that keeps to a rate: how much a chunk puts in line, and when the next one may come. Pure.

use model::UnixMs;

/// Chunks in a second of a job that keeps to a rate, at most: each is a commit.
const CHUNKS_PER_S: u32 = 4;

/// Deliveries that one chunk puts in line at most, of a job with this rate per second; `most` for one without.
pub(super) fn of_chunk(rate_per_s: Option<u32>, most: usize) -> usize {
    let paced = rate_per_s.map(|rate| rate.div_ceil(CHUNKS_PER_S).max(1) as usize);
    paced.map_or(most, |paced| paced.min(most))
}

/// The longest time between two chunks: that of a rate of one a second.
const GAP_MAX_MS: u64 = 1_000;

/// True if a job is to wait for the time that its last chunk noted. A time that is further away than any chunk notes was
/// noted before the clock was set back.
pub(super) fn is_to_wait(resume_at: UnixMs, now: UnixMs) -> bool {
    resume_at > now && resume_at.since_ms(now) <= GAP_MAX_MS
}

/// The time before which no further chunk is made, when one has just put `affected` deliveries in line.
pub(super) fn resume_at(rate_per_s: u32, affected: u64, now: UnixMs) -> UnixMs {
    now.plus_ms(affected.saturating_mul(1_000).div_ceil(u64::from(rate_per_s.max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_second_has_more_than_the_rate_and_one_chunk(rate in 1u32..2_000, chunks in 1usize..200) {
            let (mut now, mut made) = (UnixMs(5), Vec::new());
            for _ in 0..chunks {
                let count = of_chunk(Some(rate), 256) as u64;
                made.push((now, count));
                let next = resume_at(rate, count, now);
                prop_assert!(next > now && is_to_wait(next, now) && !is_to_wait(next, next));
                now = next;
            }
            for (from, _) in &made {
                let in_second = made.iter().filter(|(at, _)| at >= from && at.since_ms(*from) < 1_000);
                let sent: u64 = in_second.map(|(_, count)| count).sum();
                prop_assert!(sent <= u64::from(rate) + of_chunk(Some(rate), 256) as u64, "{sent} at {rate}/s");
            }
        }
    }

    #[test]
    fn a_job_without_a_rate_takes_whole_chunks() {
        assert_eq!(of_chunk(None, 256), 256);
        assert_eq!((of_chunk(Some(1), 256), of_chunk(Some(9), 256), of_chunk(Some(10_000), 256)), (1, 3, 256));
    }
}
