//! Messages come in as fast as they are taken, many times the bytes that `--retain-bytes` keeps. The data directory
//! stays within twice the live data. This also holds with ids of the tenant's own, whose rows lie in random order.
//!
//! `PINION_CHURN_MIB` sets the MiB that are sent (default 160). Nothing on the choice of retention and its
//! traces in deliveries: that is tested in `engine`.

use crate::harness::{Random, Server, from_environment, poll_until, seconds};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const RETAIN_MIB: u64 = 24;
const MIB: f64 = (1 << 20) as f64;

/// Room beside the values and the map. It holds two log files, the value file that is appended to and not swept, and
/// new messages while files and gauge are looked at.
const FIXED_MIB: f64 = 2.0 * 2.0 + 16.0 + 8.0;

/// Messages of one request.
const BATCH: usize = 50;

const PUSHERS: u64 = 3;

fn batch(random: &mut Random, fill: &str) -> String {
    let message = |_| {
        let id = format!("{:016x}{:016x}", random.below(u64::MAX), random.below(u64::MAX));
        format!(r#"{{"eventId":"{id}","eventType":"churn","payload":{{"fill":"{fill}"}}}}"#)
    };
    format!("[{}]", (0..BATCH).map(message).collect::<Vec<_>>().join(","))
}

fn retained_mib(server: &Server) -> f64 {
    server.metric("pinion_retained_bytes", &[]) / MIB
}

fn files_mib(server: &Server) -> f64 {
    fn bytes(folder: &std::path::Path) -> u64 {
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        // A file may go while it is looked at.
        entries
            .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
            .fold(0, |sum, (path, metadata)| sum + if metadata.is_dir() { bytes(&path) } else { metadata.len() })
    }
    bytes(&server.data_dir()) as f64 / MIB
}

#[test]
fn the_data_directory_stays_within_twice_the_live_data() {
    let retain = format!("{RETAIN_MIB}MiB");
    let server = Server::start(&["--retain-bytes", &retain, "--store-log-bytes", "2MiB"]);
    server.api_expect(201, "POST", "/api/v1/app", serde_json::json!({"name": "churn", "uid": "churn"}));
    let to_send = from_environment("PINION_CHURN_MIB", 160) << 20;
    let (sent, over) = (AtomicU64::new(0), AtomicBool::new(false));
    // Slower than 20 MiB/s is not full rate.
    let deadline = seconds(120 + (to_send >> 20) / 20);
    let fill = "x".repeat(900);
    std::thread::scope(|scope| {
        for pusher in 0..PUSHERS {
            let (client, sent, over, fill) = (server.client(), &sent, &over, &fill);
            scope.spawn(move || {
                let mut random = Random::new(pusher + 1);
                while sent.load(Ordering::SeqCst) < to_send && !over.load(Ordering::SeqCst) {
                    let body = batch(&mut random, fill);
                    let answer =
                        client.send("POST", "/api/v1/app/churn/msg/batch", &[], Some(body.as_bytes())).unwrap();
                    assert!(matches!(answer.status, 202 | 503), "{}", answer.text());
                    if answer.status == 202 {
                        sent.fetch_add(body.len() as u64, Ordering::SeqCst);
                    }
                }
            });
        }
        let mut most = (0.0, 0.0, 0.0);
        // The gauge is set once a second: messages since then are live too.
        let (mut gauge, mut sent_mib, mut sent_at_gauge_mib) = (0.0, 0.0, 0.0);
        poll_until("everything is sent", deadline, || {
            let (files, gauge_now) = (files_mib(&server), retained_mib(&server));
            if gauge_now != gauge {
                (gauge, sent_at_gauge_mib) = (gauge_now, sent_mib);
            }
            sent_mib = sent.load(Ordering::SeqCst) as f64 / MIB;
            let live = gauge + sent_mib - sent_at_gauge_mib;
            let ratio = (files - FIXED_MIB) / live.max(RETAIN_MIB as f64);
            if ratio > most.0 {
                most = (ratio, files, live);
            }
            if ratio > 2.0 {
                over.store(true, Ordering::SeqCst);
            }
            (sent.load(Ordering::SeqCst) >= to_send || over.load(Ordering::SeqCst)).then_some(())
        });
        let (ratio, files, live) = most;
        eprintln!("at most {ratio:.2} times the live data: {files:.0} MiB of files, {live:.0} MiB live");
        assert!(ratio <= 2.0, "{files:.0} MiB of files for {live:.0} MiB of live data");
    });
    // The excess goes, and its room with it.
    poll_until("retention", seconds(60), || (retained_mib(&server) <= RETAIN_MIB as f64 * 1.02).then_some(()));
}
