//! The ledger against small plays: each kind of fault is noticed where it belongs.

use super::*;

const HEALTHY: usize = 0;
const DEAD: usize = 5;
const ORDERED: usize = 6;
const BACKED_UP: usize = 7;
const FILTERED: usize = 8;

/// Two events: one for everyone, one that the dead endpoint wants too.
fn ledger() -> Ledger {
    ledger_of(&[("msg_1", 6), ("msg_2", 49)])
}

fn ledger_of(events: &[(&str, u32)]) -> Ledger {
    let mut ledger = Ledger::new();
    for &(id, number) in events {
        ledger.accept(id.to_owned(), Place { pusher: 0, number }, 1_000);
    }
    ledger
}

fn receipt(message_id: &str, success: bool, at_ms: u64) -> Receipt<'_> {
    Receipt { message_id, by_backup: false, success, is_signed: true, at_ms }
}

fn complaints(ledger: &Ledger, role: usize) -> Vec<String> {
    ledger.accounts()[role].complaints(&ROLES[role])
}

#[test]
fn a_page_on_which_every_event_arrived_once_balances() {
    let mut ledger = ledger();
    assert_eq!(complaints(&ledger, HEALTHY), ["warehouse: 2 deliveries lost"]);
    ledger.receive(HEALTHY, receipt("msg_1", true, 1_010));
    ledger.receive(HEALTHY, receipt("msg_2", false, 1_010));
    ledger.receive(HEALTHY, receipt("msg_2", true, 1_210));
    assert!(complaints(&ledger, HEALTHY).is_empty());
    let account = &ledger.accounts()[HEALTHY];
    assert_eq!((account.expected, account.delivered, account.retried, account.duplicated), (2, 2, 1, 0));
    assert_eq!(account.p50_ms, 10);
    assert!((209..=211).contains(&account.p99_ms));
}

#[test]
fn a_second_success_is_a_duplicate_and_no_complaint() {
    let mut ledger = ledger();
    for _ in 0..2 {
        ledger.receive(HEALTHY, receipt("msg_1", true, 1_010));
        ledger.receive(HEALTHY, receipt("msg_2", true, 1_010));
    }
    assert_eq!(ledger.accounts()[HEALTHY].duplicated, 2);
    assert!(complaints(&ledger, HEALTHY).is_empty());
}

#[test]
fn a_dead_letter_balances_only_where_it_belongs() {
    let mut ledger = ledger();
    for _ in 0..3 {
        ledger.receive(DEAD, receipt("msg_2", false, 1_010));
    }
    assert_eq!(complaints(&ledger, DEAD), ["partner-c: 1 deliveries lost"]);
    ledger.dead_letter(DEAD, "msg_2".to_owned());
    assert!(complaints(&ledger, DEAD).is_empty());
    assert_eq!(ledger.accounts()[DEAD].retried, 2);
    ledger.receive(HEALTHY, receipt("msg_1", true, 1_010));
    ledger.dead_letter(HEALTHY, "msg_2".to_owned());
    assert_eq!(complaints(&ledger, HEALTHY), ["warehouse: 1 dead letters of an endpoint that recovers"]);
}

#[test]
fn a_forged_an_unknown_and_an_unwanted_request_are_noticed() {
    let mut ledger = ledger();
    ledger.dead_letter(DEAD, "msg_2".to_owned());
    ledger.receive(DEAD, receipt("msg_1", false, 1_010));
    ledger.receive(DEAD, Receipt { is_signed: false, ..receipt("msg_9", false, 1_010) });
    let complaints = complaints(&ledger, DEAD);
    assert!(complaints[0].contains("2 deliveries that nobody ordered"), "{complaints:?}");
    assert!(complaints[1].contains("1 signatures that do not verify"), "{complaints:?}");
}

#[test]
fn an_order_that_is_broken_is_noticed_where_it_was_promised() {
    let mut ledger = ledger_of(&[("msg_1", 3), ("msg_2", 8)]);
    for role in [HEALTHY, ORDERED] {
        ledger.receive(role, receipt("msg_2", true, 1_010));
        ledger.receive(role, receipt("msg_1", true, 1_020));
    }
    assert!(complaints(&ledger, HEALTHY).is_empty());
    assert_eq!(complaints(&ledger, ORDERED), ["statements: 1 requests out of order"]);
}

#[test]
fn a_backup_delivers_for_its_endpoint_until_that_is_back() {
    let mut ledger = ledger_of(&[("msg_1", 2), ("msg_2", 7)]);
    ledger.receive(BACKED_UP, receipt("msg_1", false, 1_010));
    ledger.receive(BACKED_UP, Receipt { by_backup: true, ..receipt("msg_1", true, 1_020) });
    ledger.put_back(BACKED_UP, 1_030);
    ledger.receive(BACKED_UP, receipt("msg_2", true, 1_040));
    assert!(complaints(&ledger, BACKED_UP).is_empty());
    let account = &ledger.accounts()[BACKED_UP];
    assert_eq!((account.delivered, account.by_backup, account.after_return), (2, 1, 1));

    ledger.accept("msg_3".to_owned(), Place { pusher: 0, number: 12 }, 1_050);
    assert_eq!(complaints(&ledger, BACKED_UP), ["payments: 1 deliveries lost"]);
}

#[test]
fn an_endpoint_that_never_switched_is_noticed() {
    let mut ledger = ledger_of(&[("msg_1", 2)]);
    ledger.receive(BACKED_UP, receipt("msg_1", true, 1_010));
    assert_eq!(complaints(&ledger, BACKED_UP), ["payments: 1 backup that took nothing"]);
}

#[test]
fn a_filter_is_exact_both_ways() {
    let wanted = (0..).find(|&number| ROLES[FILTERED].wants(number)).unwrap();
    let mut ledger = ledger_of(&[("msg_1", 0), ("msg_2", wanted)]);
    ledger.receive(FILTERED, receipt("msg_2", true, 1_010));
    assert!(complaints(&ledger, FILTERED).is_empty());
    ledger.receive(FILTERED, receipt("msg_1", true, 1_010));
    assert!(complaints(&ledger, FILTERED)[0].contains("1 deliveries that nobody ordered"));
}
