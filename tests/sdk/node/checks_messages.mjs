// Checks of sending and of history: one stream of 100 messages, read back in every way.
//
// The checks run in order and share `world.stream`, which `sendingDeliversEachOnce` makes. What
// goes wrong with deliveries on purpose is in `checks_recovery`.

import assert from "node:assert/strict";

import { ANSWER_BODY } from "./receiver.mjs";
import { allPages, checkSameSet, checkUnique, eventually, payloadOf, rejects } from "./world.mjs";

const MESSAGES = 100;
const HOUR_MS = 3_600_000;
const MANUAL = 1;

/** Two endpoints, one filtered; some messages sent twice under one idempotency key. */
async function sendingDeliversEachOnce(world) {
  const startedAt = Date.now();
  const app = (await world.newApplication("stream")).id;
  const every = await world.newEndpoint(app, "every");
  const orders = await world.newEndpoint(app, "orders", { eventTypes: [world.orderCreated] });
  await world.headersSet(app, orders.endpoint.id, { "X-Tenant": "acme" });

  const [payloads, orderIds, eventIds] = [new Map(), new Set(), new Map()];
  world.stream = { app, startedAt, every, orders, payloads, orderIds, eventIds };
  for (let n = 0; n < MESSAGES; n++) {
    const isOrder = n % 2 === 0;
    const payload = { n, text: "ünïcode €\n", list: [1, 2.5, null] };
    const messageIn = { eventType: isOrder ? world.orderCreated : world.invoicePaid, payload };
    if (n % 4 === 0) messageIn.channels = ["even"];
    if (n % 5 === 0) messageIn.eventId = `${world.run}-event-${n}`;
    const options = n % 10 === 3 ? { idempotencyKey: `${world.run}-key-${n}` } : {};
    const message = await world.sdk.message.create(app, messageIn, options);
    if (options.idempotencyKey) {
      const again = await world.sdk.message.create(app, messageIn, options);
      assert.equal(again.id, message.id, `message ${n} sent twice under one idempotency key: id`);
    }
    assert.ok(!payloads.has(message.id), `message id ${message.id} was given twice`);
    payloads.set(message.id, payload);
    if (isOrder) orderIds.add(message.id);
    if (messageIn.eventId) eventIds.set(message.id, messageIn.eventId);
  }

  await every.inbox.waitFor(payloads.keys());
  await orders.inbox.waitFor(orderIds);
  // A fence: it is accepted after all others, so a second delivery of those has had its chance.
  const fence = await world.send(app, world.orderCreated, { fence: true });
  payloads.set(fence.id, { fence: true });
  orderIds.add(fence.id);
  for (const [inbox, expected] of [[every.inbox, payloads.keys()], [orders.inbox, orderIds]]) {
    await inbox.waitFor([fence.id]);
    const arrived = inbox.deliveries.map((delivery) => delivery.messageId);
    checkUnique(arrived, `deliveries at ${inbox.name}`);
    checkSameSet(arrived, expected, `messages that arrived at ${inbox.name}`);
  }
}

async function deliveriesAreSignedAndWhole(world) {
  const { every, orders, payloads } = world.need("stream");
  for (const { inbox } of [every, orders]) {
    for (const delivery of inbox.deliveries) {
      assert.ok(world.verifies(delivery, inbox.secrets[0]), `${delivery.messageId}: bad signature`);
      assert.deepEqual(payloadOf(delivery), payloads.get(delivery.messageId), "payload as delivered");
      assert.match(delivery.headers["content-type"] ?? "", /^application\/json/, "content-type of a delivery");
      const tenant = inbox === orders.inbox ? "acme" : undefined;
      assert.equal(delivery.headers["x-tenant"], tenant, "the endpoint's own header");
    }
  }
}

async function aDuplicateEventIdIs409(world) {
  const { app, eventIds } = world.need("stream");
  const [eventId] = eventIds.values();
  const again = () => world.send(app, world.orderCreated, { again: true }, { eventId });
  await rejects(world, 409, again, "a second message with the same eventId");
}

async function messagesPageWithoutLoss(world) {
  const { app, startedAt, payloads, orderIds } = world.need("stream");
  const read = (filters) => allPages((options) => world.sdk.message.list(app, options), filters);
  const ids = (messages) => messages.map((message) => message.id);
  const listed = await read({ withContent: true });
  checkUnique(ids(listed), "messages");
  checkSameSet(ids(listed), payloads.keys(), "messages in all pages");
  for (const message of listed) {
    assert.deepEqual(message.payload, payloads.get(message.id), `payload of ${message.id} in the list`);
  }
  const stamps = listed.map((message) => message.timestamp.getTime());
  assert.deepEqual(stamps, stamps.toSorted((a, b) => b - a), "messages must be listed newest first");

  const bare = await read({ withContent: false });
  assert.ok(bare.every((item) => Object.keys(item.payload).length === 0), "withContent=false must leave payloads out");
  checkSameSet(ids(await read({ eventTypes: [world.orderCreated] })), orderIds, "messages of one event type");
  const both = await read({ eventTypes: [world.orderCreated, world.invoicePaid] });
  assert.equal(both.length, payloads.size, "messages of two event types");
  assert.equal((await read({ channel: "even" })).length, MESSAGES / 4, "messages of one channel");

  const [after, before] = [new Date(startedAt - HOUR_MS), new Date(startedAt + HOUR_MS)];
  assert.equal((await read({ after, before })).length, payloads.size, "messages in the hour");
  assert.equal((await read({ before: after })).length, 0, "messages before the first");
}

async function oneMessageCanBeRead(world) {
  const { app, eventIds, payloads } = world.need("stream");
  const [[messageId, eventId]] = eventIds;
  for (const key of [messageId, eventId]) {
    const message = await world.sdk.message.get(app, key, { withContent: true });
    assert.deepEqual([message.id, message.eventId], [messageId, eventId], `message read by ${key}`);
    assert.deepEqual(message.payload, payloads.get(messageId), "payload of one message");
  }
}

async function attemptsPageWithoutLoss(world) {
  const { app, every, orders, payloads, orderIds } = world.need("stream");
  const api = world.sdk.messageAttempt;
  for (const [{ endpoint }, expected] of [[every, new Set(payloads.keys())], [orders, orderIds]]) {
    const read = (filters) => allPages((options) => api.listByEndpoint(app, endpoint.id, options), filters);
    // History may be written a moment after the receiver answered.
    const attempts = await eventually(async () => {
      const found = await read({ withContent: true });
      return found.length >= expected.size && found;
    }, `${expected.size} attempts in the history of ${endpoint.url}`);
    checkUnique(attempts.map((attempt) => attempt.id), "attempts");
    assert.equal(attempts.length, expected.size, "number of attempts");
    checkSameSet(attempts.map((attempt) => attempt.msgId), expected, "messages attempted");
    for (const attempt of attempts) {
      const { status, statusText, responseStatusCode, response, triggerType, endpointId, url } = attempt;
      assert.deepEqual(
        { status, statusText, responseStatusCode, response, triggerType, endpointId, url },
        {
          status: world.MessageStatus.Success,
          statusText: "success",
          responseStatusCode: 200,
          response: ANSWER_BODY,
          triggerType: 0,
          endpointId: endpoint.id,
          url: endpoint.url,
        },
        `attempt ${attempt.id}`,
      );
      assert.equal(typeof attempt.responseDurationMs, "number", "response duration");
    }
    assert.equal((await read({ status: world.MessageStatus.Fail })).length, 0, "failed attempts");
    assert.equal((await read({ statusCodeClass: 200 })).length, expected.size, "2xx attempts");
    const ofOrders = await read({ eventTypes: [world.orderCreated] });
    checkSameSet(ofOrders.map((attempt) => attempt.msgId), orderIds, "attempts of one event type");

    const messages = await allPages((options) => api.listAttemptedMessages(app, endpoint.id, options));
    checkUnique(messages.map((message) => message.id), "attempted messages");
    checkSameSet(messages.map((message) => message.id), expected, "attempted messages");
    world.someAttempt = attempts[0];
  }
}

async function attemptsOfOneMessageCanBeRead(world) {
  const { app, every, orders } = world.need("stream");
  const seen = world.need("someAttempt");
  const api = world.sdk.messageAttempt;
  const attempt = await api.get(app, seen.msgId, seen.id);
  assert.deepEqual([attempt.id, attempt.msgId, attempt.status], [seen.id, seen.msgId, seen.status], "one attempt");
  const read = (filters) => allPages((options) => api.listByMsg(app, seen.msgId, options), filters);
  const both = [every.endpoint.id, orders.endpoint.id];
  checkSameSet((await read()).map((item) => item.endpointId), both, "endpoints attempted");
  const one = await read({ endpointId: orders.endpoint.id });
  assert.deepEqual(one.map((item) => item.endpointId), [orders.endpoint.id], "attempts at one endpoint");
  const destinations = await allPages((options) => api.listAttemptedDestinations(app, seen.msgId, options));
  checkSameSet(destinations.map((item) => item.id), both, "destinations");
  assert.ok(destinations.every((item) => item.status === world.MessageStatus.Success), "destination status");
}

async function statsCountDeliveries(world) {
  const { app, startedAt, orders, orderIds } = world.need("stream");
  const since = new Date(startedAt - HOUR_MS);
  const stats = () => world.sdk.endpoint.getStats(app, orders.endpoint.id, { since });
  await eventually(
    async () => (await stats()).success === orderIds.size,
    `${orderIds.size} successes in the statistics`,
  );
  const { pending, sending, fail, canceled } = await stats();
  assert.deepEqual([pending, sending, fail, canceled], [0, 0, 0, 0], "what did not succeed");
}

async function resendDeliversTheSameMessageAgain(world) {
  const { app, every, orders, orderIds } = world.need("stream");
  const [messageId] = orderIds;
  await world.sdk.messageAttempt.resend(app, messageId, every.endpoint.id);
  await every.inbox.waitFor([messageId], 2);
  const [first, second] = every.inbox.of(messageId);
  assert.deepEqual(payloadOf(second), payloadOf(first), "the payload of a resent message");
  assert.ok(world.verifies(second, every.inbox.secrets[0]), "a resent message has a bad signature");
  await eventually(async () => {
    const options = { endpointId: every.endpoint.id };
    const page = await world.sdk.messageAttempt.listByMsg(app, messageId, options);
    return page.data.some((attempt) => attempt.triggerType === MANUAL);
  }, "a manually triggered attempt in the history");
  assert.equal(every.inbox.count(messageId), 2, "deliveries of a message resent once");
  assert.equal(orders.inbox.count(messageId), 1, "deliveries at the endpoint it was not resent to");
}

async function anExampleCanBeSent(world) {
  const { app, every, orders } = world.need("stream");
  const schema = { title: "Example", type: "object", properties: {}, examples: [{ hello: "example" }] };
  const eventType = `${world.run}.example`;
  await world.sdk.eventType.create({ name: eventType, description: "has an example", schemas: { 1: schema } });
  const sent = await world.sdk.endpoint.sendExample(app, orders.endpoint.id, { eventType });
  await orders.inbox.waitFor([sent.id]);
  const [delivery] = orders.inbox.of(sent.id);
  assert.ok(world.verifies(delivery, orders.inbox.secrets[0]), "an example has a bad signature");
  assert.equal(typeof payloadOf(delivery), "object", "an example must be a JSON object");
  assert.equal(every.inbox.count(sent.id), 0, "examples at the endpoint that was not asked for");
}

async function aRawPayloadArrivesByteForByte(world) {
  const { app, every } = world.need("stream");
  const raw = '{ "spaced" :  1.0,\n  "escaped": "\\u20ac" }';
  const message = await world.sdk.message.create(app, world.messageInRaw(world.orderCreated, raw));
  await every.inbox.waitFor([message.id]);
  assert.equal(every.inbox.of(message.id)[0].body.toString("utf8"), raw, "a raw payload");
}

async function contentCanBeExpunged(world) {
  const { app, payloads } = world.need("stream");
  const seen = world.need("someAttempt");
  await world.sdk.messageAttempt.expungeContent(app, seen.msgId, seen.id);
  const attempt = await world.sdk.messageAttempt.get(app, seen.msgId, seen.id);
  assert.notEqual(attempt.response, ANSWER_BODY, "an expunged response is still there");
  await world.sdk.message.expungeContent(app, seen.msgId);
  const message = await world.sdk.message.get(app, seen.msgId, { withContent: true });
  assert.notDeepEqual(message.payload, payloads.get(seen.msgId), "an expunged payload is still there");
}

export const CHECKS = [
  sendingDeliversEachOnce,
  deliveriesAreSignedAndWhole,
  aDuplicateEventIdIs409,
  messagesPageWithoutLoss,
  oneMessageCanBeRead,
  attemptsPageWithoutLoss,
  attemptsOfOneMessageCanBeRead,
  statsCountDeliveries,
  resendDeliversTheSameMessageAgain,
  anExampleCanBeSent,
  aRawPayloadArrivesByteForByte,
  contentCanBeExpunged,
];
