//! Both servers over real sockets: the acts of a sender, and the ledger's numbers after them.

use super::{Intake, Keys, Manner, Manners, Receiver, Scheme, path, sign};
use crate::cli::ReceiverKind;
use crate::drive::{Streams, payload};
use crate::ledger::{Account, Ledger, Promise};
use crate::measure::{Clock, Recorder};
use crate::wire::Connection;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

/// Events that were sent and acknowledged, to one endpoint.
const EVENTS: u32 = 3;

/// A webhook as the engine would send it.
struct Webhook {
    number: u64,
    path: String,
    signature: Option<String>,
}

fn webhook(number: u64) -> Webhook {
    Webhook { number, path: path(0, 0), signature: None }
}

impl Webhook {
    fn bytes(&self) -> Vec<u8> {
        let mut body = payload::payload(100);
        payload::write_number(&mut body, self.number);
        let (id, now_s) =
            (format!("msg_{}", self.number), SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs());
        let signature = self.signature.clone().unwrap_or_else(|| sign(0, &id, now_s, &body));
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nwebhook-id: {id}\r\nwebhook-timestamp: {now_s}\r\n\
             webhook-signature: v1,{signature}\r\ncontent-length: {}\r\n\r\n",
            self.path,
            body.len()
        );
        [head.as_bytes(), &body].concat()
    }
}

/// Sends to a receiver of its own; the statuses, and the ledger's numbers.
fn receive(kind: ReceiverKind, manner: Manner, webhooks: &[Webhook]) -> (Vec<u16>, Account) {
    let streams = Arc::new(Streams::one(1));
    let ledger = Arc::new(Ledger::new(Arc::clone(&streams), Promise::None));
    for number in ledger.claim(EVENTS).unwrap() {
        ledger.ack(number, 1);
    }
    let intake = Intake {
        clock: Clock::start(),
        streams,
        ledger: Arc::clone(&ledger),
        recorder: Arc::new(Recorder::new(1)),
        manners: Manners::healthy(1),
        keys: Keys::new(Scheme::Standard),
        verify_every: 1,
        arrivals: AtomicU64::new(0),
        connections: AtomicU64::new(0),
    };
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let receiver = Receiver::start(&[listen], kind, 1, Arc::new(intake)).unwrap();
    receiver.intake().manners.set_all(manner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let statuses = runtime.block_on(async {
        let mut connection = Connection::open(receiver.addresses()[0]).await.unwrap();
        let mut statuses = Vec::new();
        for webhook in webhooks {
            statuses.push(connection.exchange(&webhook.bytes()).await.unwrap().status);
        }
        statuses
    });
    drop(receiver);
    (statuses, ledger.account())
}

const KINDS: [ReceiverKind; 2] = [ReceiverKind::Hyper, ReceiverKind::Lean];

#[test]
fn what_arrives_once_and_signed_balances() {
    for kind in KINDS {
        let (statuses, account) = receive(kind, Manner::Healthy, &[webhook(0), webhook(1), webhook(2)]);
        assert_eq!(statuses, [200, 200, 200]);
        assert!(account.complaints(false).is_empty(), "{kind:?}: {account:?}");
    }
}

#[test]
fn a_forged_a_repeated_a_lost_and_an_unknown_one_do_not() {
    for kind in KINDS {
        let forged = Webhook { signature: Some("bm90aGluZw==".to_owned()), ..webhook(0) };
        let stray = Webhook { path: "/nowhere".to_owned(), ..webhook(2) };
        let (_, account) = receive(kind, Manner::Healthy, &[forged, webhook(1), webhook(1), webhook(99), stray]);
        let found = (account.bad_signatures, account.duplicated, account.lost, account.unexpected);
        assert_eq!(found, (1, 1, 1, 2), "{kind:?}: {account:?}");
    }
}

#[test]
fn an_endpoint_that_is_down_has_received_nothing() {
    for kind in KINDS {
        let (statuses, account) = receive(kind, Manner::Down, &[webhook(0), webhook(0)]);
        assert_eq!(statuses, [503, 503]);
        assert_eq!((account.received, account.refused, account.lost), (0, 2, 3), "{kind:?}");
    }
}
