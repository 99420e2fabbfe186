//! Commands on one delivery: send it once more, redrive or forget its dead letter.
//!
//! An order to send is put in line regardless of the endpoint's filter and the state of the delivery. It gets a fresh
//! round of attempts under the endpoint's policy. A message whose first attempt is still to come is sent at once, and
//! in its turn. A message that is on its way is queued too. It can still be dropped, by a change of the filter for one:
//! then the order would have been taken for nothing.

use super::{At, Changed, Command, Reach, Repeatable, Thing};
use crate::error::Error;
use crate::find::{EndpointName, MessageName};
use crate::snapshot::Fields;
use model::{AppId, EndpointRef, Seq};
use storage::Txn;
use storage::tables::{dead_letter, delivery};

/// Sends a message to an endpoint once more, regardless of the endpoint's filter and of earlier deliveries.
pub struct Resend {
    /// To which endpoint.
    pub endpoint: EndpointName,
    /// Which message, of the same application.
    pub message: MessageName,
}

/// Puts one dead letter back in line.
pub struct Redrive {
    /// The endpoint of the dead letter.
    pub endpoint: EndpointName,
    /// Its message, of the same application.
    pub message: MessageName,
}

/// Forgets one dead letter.
pub struct ForgetDeadLetter {
    /// The endpoint of the dead letter.
    pub endpoint: EndpointName,
    /// Its message, of the same application.
    pub message: MessageName,
}

/// A delivery: a message at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The endpoint.
    pub target: EndpointRef,
    /// The position of the message.
    pub seq: Seq,
    /// The message's id; where an earlier request gave the order, as the caller names it.
    pub message: String,
    /// The endpoint's id.
    pub endpoint: String,
}

impl Thing for Delivery {
    const KIND: &'static str = "delivery";

    fn app(&self) -> Option<AppId> {
        Some(self.target.app)
    }

    fn id(&self) -> String {
        self.message.clone()
    }

    fn fields(&self) -> Fields {
        let Delivery { target: _, seq: _, message: _, endpoint } = self;
        Fields::default().with("endpointId", endpoint.clone())
    }
}

impl Command for Resend {
    const NAME: &'static str = "delivery.resend";
    type Thing = Delivery;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.endpoint.app))
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Delivery>, Error> {
        put_in_line(&self.endpoint, &self.message, at, txn, |_, _| Ok(()))
    }
}

impl Repeatable for Resend {
    fn place(&self, txn: &Txn<'_>) -> Result<(AppId, String), Error> {
        place("resend", &self.endpoint, &self.message, txn)
    }

    fn number(changed: &Delivery) -> u64 {
        changed.seq.0
    }

    fn again(&self, number: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<Delivery>, Error> {
        again(&self.endpoint, &self.message, number, txn)
    }
}

impl Command for Redrive {
    const NAME: &'static str = "dead-letter.redrive";
    type Thing = Delivery;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.endpoint.app))
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Delivery>, Error> {
        put_in_line(&self.endpoint, &self.message, at, txn, is_there)
    }
}

impl Repeatable for Redrive {
    fn place(&self, txn: &Txn<'_>) -> Result<(AppId, String), Error> {
        place("redrive", &self.endpoint, &self.message, txn)
    }

    fn number(changed: &Delivery) -> u64 {
        changed.seq.0
    }

    fn again(&self, number: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<Delivery>, Error> {
        again(&self.endpoint, &self.message, number, txn)
    }
}

impl Command for ForgetDeadLetter {
    const NAME: &'static str = "dead-letter.delete";
    type Thing = Delivery;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.endpoint.app))
    }

    fn apply(self, _: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Delivery>, Error> {
        let (row, event) = (self.endpoint.find(txn)?, self.message.find(txn)?);
        let target = row.target();
        let gone = Delivery { target, seq: event.seq, message: event.message_id(), endpoint: row.public_id() };
        is_there(txn, &gone)?;
        dead_letter::remove(txn, target, event.seq)?;
        Ok(Changed::Deleted(gone))
    }
}

/// Puts a delivery in line by hand, if it can be sent and `check` finds nothing.
fn put_in_line(
    endpoint: &EndpointName,
    message: &MessageName,
    at: &At<'_>,
    txn: &mut Txn<'_>,
    check: impl FnOnce(&Txn<'_>, &Delivery) -> Result<(), Error>,
) -> Result<Changed<Delivery>, Error> {
    let (row, event) = (endpoint.find(txn)?, message.find(txn)?);
    // A delivery that is put in line for a disabled endpoint would only become a dead letter.
    if row.disabled.is_some() {
        return Err(Error::EndpointDisabled);
    }
    if event.is_expunged() {
        return Err(Error::MissingPayload);
    }
    if event.is_past_expiry(at.now) {
        return Err(Error::Conflict("the message is past its expiry".into()));
    }
    let endpoint = row.public_id();
    let changed = Delivery { target: row.target(), seq: event.seq, message: event.message_id(), endpoint };
    check(txn, &changed)?;
    delivery::requeue(txn, changed.target, changed.seq, at.now)?;
    Ok(Changed::Created(changed))
}

fn is_there(txn: &Txn<'_>, of: &Delivery) -> Result<(), Error> {
    dead_letter::get(txn, of.target, of.seq)?.map(drop).ok_or(Error::NotFound("dead letter"))
}

fn place(order: &str, endpoint: &EndpointName, message: &MessageName, txn: &Txn<'_>) -> Result<(AppId, String), Error> {
    let target = endpoint.find(txn)?.target();
    let seq = message.position(txn)?.ok_or(Error::NotFound("message"))?;
    Ok((target.app, format!("{order}/{}/{seq}", target.endpoint.0)))
}

/// The order that was given before. What became of it does not matter.
fn again(
    endpoint: &EndpointName,
    message: &MessageName,
    number: u64,
    txn: &Txn<'_>,
) -> Result<Option<Delivery>, Error> {
    let row = endpoint.find(txn)?;
    let (target, endpoint) = (row.target(), row.public_id());
    Ok(Some(Delivery { target, seq: Seq(number), message: message.text.clone(), endpoint }))
}
