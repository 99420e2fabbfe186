//! `kill -9` of each of the three, at random instants: a backup is there whole or not at all, and so is a store.
//!
//! `PINION_BACKUP_KILLS` sets the rounds (default 6 of each), `PINION_BACKUP_SEED` repeats a run.

use super::{SOME, backup, create, done, place_with_keys, push, push_until, restore, run, start, start_server, verify};
use crate::events::list_events;
use crate::harness::{Random, Receiver, Server, from_environment, seed};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn rounds() -> u64 {
    from_environment("PINION_BACKUP_KILLS", 6)
}

fn backups_in(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("backups")).map_or(0, Iterator::count)
}

/// Not a wait for something: the instant of the kill is the input of these tests.
fn sleep_below(random: &mut Random, longest: Duration) {
    std::thread::sleep(Duration::from_micros(random.below(longest.as_micros() as u64 + 1)));
}

#[test]
fn a_server_or_a_backup_that_is_killed_leaves_the_earlier_backups_and_the_next_one_is_whole() {
    let mut random = Random::new(seed("PINION_BACKUP_SEED"));
    let (mut server, receiver) = (start_server(&[]), Receiver::start());
    create(&server, &receiver);
    let acked = push(&server.client(), 0..SOME);
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("backup");
    let began = Instant::now();
    done(&mut backup(&server, &folder, &[]));
    let lasts = began.elapsed();
    let (mut whole, mut cut) = (1, 0);
    for round in 0..rounds() {
        // New chunks each time, so that something is being written.
        push(&server.client(), (0..8).map(|nth| 10_000 + round * 1_000 + nth * 29));
        let (stop, client) = (AtomicBool::new(false), server.client());
        std::thread::scope(|scope| {
            scope.spawn(|| push_until(&client, &stop, 100_000 * (round + 1)));
            let mut running = start(backup(&server, &folder, &[]));
            sleep_below(&mut random, lasts);
            if round % 2 == 0 {
                server.kill()
            } else {
                running.kill().unwrap()
            }
            let status = running.wait().unwrap();
            stop.store(true, Ordering::SeqCst);
            if status.success() { whole += 1 } else { cut += 1 }
        });
        // A backup that is killed behind its rename is whole, and was not said to be.
        assert!((whole..=whole + cut).contains(&backups_in(&folder)), "{whole} whole, {cut} cut");
        if round % 2 == 0 {
            server.start_again();
        }
    }
    eprintln!("{whole} backups whole, {cut} cut");
    let report = done(&mut backup(&server, &folder, &["--verify"]));
    assert!(report.contains("every sum is right"), "{report}");
    let there = backups_in(&folder);
    for number in 1..=there {
        done(verify(&folder).args(["--backup", &number.to_string()]));
    }
    let there = list_events(&server.client(), super::APP).unwrap().unwrap();
    assert!(acked.keys().all(|id| there.contains_key(id)), "the backups cost the server something");
}

#[test]
fn a_restore_that_is_killed_leaves_no_store_or_a_whole_one_and_can_be_run_again() {
    let mut random = Random::new(seed("PINION_BACKUP_SEED"));
    let (mut server, receiver) = (start_server(&[]), Receiver::start());
    create(&server, &receiver);
    let acked = push(&server.client(), 0..SOME);
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("backup");
    done(&mut backup(&server, &folder, &[]));
    let (_kept, elsewhere) = place_with_keys(&server);
    let began = Instant::now();
    done(&mut restore(&folder, &elsewhere));
    let lasts = began.elapsed();
    let (mut without, mut with) = (0, 0);
    for _ in 0..rounds() {
        let (place, data_dir) = place_with_keys(&server);
        let mut running = start(restore(&folder, &data_dir));
        sleep_below(&mut random, lasts);
        running.kill().unwrap();
        running.wait().unwrap();
        let is_there = data_dir.join("store").exists();
        if is_there {
            with += 1;
        } else {
            without += 1;
            if data_dir.join("restore.new").exists() {
                let refused = Server::try_start_in(place.clone(), &[], &[]).err().expect("no store is there");
                assert!(refused.stderr.contains("a restore was interrupted"), "{}", refused.stderr);
            }
            done(&mut restore(&folder, &data_dir));
        }
        let restored = Server::try_start_in(place, &[], &[]).unwrap();
        let there = list_events(&restored.client(), super::APP).unwrap().unwrap();
        assert!(acked.keys().all(|id| there.contains_key(id)), "a store that is not whole");
        assert!(!data_dir.join("restore.new").exists());
        let (code, _, stderr) = run(&mut restore(&folder, &data_dir));
        assert!(code == 1 && stderr.contains("in use"), "{stderr}");
    }
    eprintln!("killed before the store was there {without} times, and behind it {with} times");
    server.kill();
}
