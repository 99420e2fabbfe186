//! Which bucket a request takes from, and how many buckets there are.

use super::*;
use model::UnixMs;
use std::convert::Infallible;

const ONE: NonZeroU32 = NonZeroU32::MIN;

fn limits() -> Limits {
    let tiers = ["free=2/60", "pro=3/60"].map(|text| text.parse().unwrap()).to_vec();
    Limits::new(Tiers::new(tiers, Some("free")).unwrap())
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn key(number: u8, rate_limit: Option<u32>) -> ApiKeyRow {
    ApiKeyRow { rate_limit, ..ApiKeyRow::plain([number; 32], String::new(), None, UnixMs(1)) }
}

/// Takes one of an application that names a tier.
fn of_app(limits: &Limits, app: u32, version: u64, tier: Option<&str>, now: u64) -> Option<Ruling> {
    let named = || Ok::<_, Infallible>(tier.map(str::to_owned));
    let Ok(ruling) = limits.take_of_app(AppId(app), version, named, ONE, at(now));
    ruling
}

#[test]
fn each_key_has_a_bucket_of_its_own_and_one_without_a_limit_has_none() {
    let limits = limits();
    let take = |key: &ApiKeyRow| limits.take_of_key(key, ONE, at(1)).map(|ruling| ruling.answer.is_ok());
    let (one, other) = (key(1, Some(1)), key(2, Some(1)));
    assert_eq!((take(&one), take(&one), take(&other)), (Some(true), Some(false), Some(true)));
    assert_eq!(take(&key(3, None)), None);
    // Another limit is another bucket.
    assert_eq!(take(&ApiKeyRow { rate_limit: Some(2), ..one }), Some(true));
}

#[test]
fn an_application_has_the_bucket_of_its_tier_until_it_gets_another_one() {
    let limits = limits();
    let ruling = of_app(&limits, 1, 1, None, 1).unwrap();
    assert_eq!((ruling.by, ruling.standing.remaining), (By::Tier(0), 1));
    assert_eq!(of_app(&limits, 2, 1, Some("pro"), 1).unwrap().by, By::Tier(1));
    of_app(&limits, 1, 1, None, 1).unwrap();
    assert!(of_app(&limits, 1, 1, None, 1).unwrap().answer.is_err());
    // Some application was changed: the bucket is as it was, unless it was the tier of this one.
    assert!(of_app(&limits, 1, 2, None, 1).unwrap().answer.is_err());
    assert_eq!(of_app(&limits, 1, 2, Some("pro"), 1).unwrap().by, By::Tier(0), "it is not read again");
    let ruling = of_app(&limits, 1, 3, Some("pro"), 1).unwrap();
    assert_eq!((ruling.by, ruling.answer), (By::Tier(1), Ok(())));
}

#[test]
fn without_tiers_no_application_is_limited_and_nothing_is_read() {
    let limits = Limits::default();
    let read = || -> Result<Option<String>, ()> { panic!("it is read") };
    assert_eq!(limits.take_of_app(AppId(1), 1, read, ONE, at(1)), Ok(None));
    assert!(!limits.may_limit(Some(&key(1, None))) && limits.may_limit(Some(&key(1, Some(5)))));
    let no_default = Limits::new(Tiers::new(vec!["free=1/1".parse().unwrap()], None).unwrap());
    assert_eq!(of_app(&no_default, 1, 1, None, 1), None);
    assert!(of_app(&no_default, 2, 1, Some("free"), 1).is_some());
}

#[test]
fn the_caller_is_told_of_the_refusal_and_else_of_the_one_with_least_left() {
    let ruling =
        |by, answer, remaining| Some(Ruling { by, answer, standing: Standing { limit: 9, remaining, full_in: at(1) } });
    let (key, tier) = (ruling(By::Key, Ok(()), 1), ruling(By::Tier(0), Ok(()), 5));
    assert_eq!((tighter(key, tier), tighter(None, tier), tighter(None, None)), (key, tier, None));
    let refused = ruling(By::Tier(0), Err(Empty::For(at(3))), 5);
    assert_eq!(tighter(key, refused), refused);
}

#[test]
fn full_buckets_make_room_and_beyond_that_a_caller_is_not_limited() {
    let limits = limits();
    for app in 0..BUCKETS_MAX as u32 {
        assert!(of_app(&limits, app, 1, None, 0).is_some());
    }
    assert_eq!(of_app(&limits, u32::MAX, 1, None, 1), None);
    assert_eq!(limits.buckets().map.len(), BUCKETS_MAX);
    // A request is back after 30 s; one application has made two.
    of_app(&limits, 7, 1, None, 1);
    assert!(of_app(&limits, u32::MAX, 1, None, 31).is_some());
    assert_eq!(limits.buckets().map.len(), 2);
}
