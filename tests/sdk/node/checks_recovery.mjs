// Checks of what happens when deliveries fail or keys change: retry, rotation, recovery, replay.
//
// Each check makes an application of its own, so that one failure does not spoil the next. The
// last check holds every delivery of the whole run against the secrets of its endpoint.

import assert from "node:assert/strict";

import { Skipped, checkUnique, eventually, optional } from "./world.mjs";

const MINUTE_MS = 60_000;

async function attemptsAt(world, app, endpoint, filters = {}) {
  const options = { limit: 50, ...filters };
  return (await world.sdk.messageAttempt.listByEndpoint(app.id, endpoint.id, options)).data;
}

/** The answer of a recovery names its task, which ends as `finished` where tasks are served. */
async function taskEnds(world, answer, taskType) {
  assert.ok(answer.id, "the answer has no task id");
  assert.equal(answer.task, taskType, "task type");
  assert.ok(["running", "finished", "failed"].includes(answer.status), `task status ${answer.status}`);
  assert.ok(!Number.isNaN(answer.updatedAt.getTime()), "the answer has no updatedAt");
  const isFinished = async () => {
    const task = await optional(world, () => world.sdk.backgroundTask.get(answer.id));
    return task.status === "finished";
  };
  try {
    await eventually(isFinished, `task ${answer.id} finished`);
  } catch (error) {
    if (!(error instanceof Skipped)) throw error;
  }
}

async function aFailedDeliveryIsRetried(world) {
  const app = await world.newApplication("retry");
  const { endpoint, inbox } = await world.newEndpoint(app.id, "retry");
  inbox.answers.push(500);
  const message = await world.send(app.id, world.orderCreated, { retry: true });
  await inbox.waitFor([message.id], 2);
  await eventually(async () => (await attemptsAt(world, app, endpoint)).length === 2, "two attempts in the history");
  const codes = async (filters) =>
    (await attemptsAt(world, app, endpoint, filters)).map((attempt) => attempt.responseStatusCode);
  assert.deepEqual(await codes({ status: world.MessageStatus.Fail }), [500], "failed attempts");
  assert.deepEqual(await codes({ statusCodeClass: 500 }), [500], "attempts answered with 5xx");
  assert.deepEqual(await codes({ status: world.MessageStatus.Success }), [200], "successful attempts");
}

async function bothSecretsSignDuringTheGracePeriod(world) {
  const app = await world.newApplication("rotation");
  const { endpoint, inbox } = await world.newEndpoint(app.id, "rotation");
  const [old] = inbox.secrets;
  const arrive = async (phase) => {
    const message = await world.send(app.id, world.orderCreated, { phase });
    await inbox.waitFor([message.id]);
    return inbox.of(message.id)[0];
  };
  const before = await arrive("before");
  assert.ok(world.verifies(before, old), "before rotation: the secret does not verify");

  const fresh = await world.rotate(app.id, endpoint.id, { gracePeriodSeconds: 600 });
  inbox.secrets.push(fresh);
  assert.notEqual(fresh, old, "the rotation kept the secret");
  const during = await arrive("during");
  assert.ok(world.verifies(during, old), "during the grace period: the old secret does not verify");
  assert.ok(world.verifies(during, fresh), "during the grace period: the new secret does not verify");
  assert.ok(!world.verifies(before, fresh), "the new secret verifies an earlier delivery");
}

async function theOldSecretEndsWithItsGracePeriod(world) {
  const app = await world.newApplication("rotation end");
  const { endpoint, inbox } = await world.newEndpoint(app.id, "rotation-end");
  const [old] = inbox.secrets;
  const key = `whsec_${Buffer.from("chosen by the test itself").toString("base64")}`;
  const fresh = await world.rotate(app.id, endpoint.id, { key, gracePeriodSeconds: 1 });
  assert.equal(fresh, key, "the secret given to the rotation");
  inbox.secrets.push(fresh);
  await eventually(async () => {
    const message = await world.send(app.id, world.orderCreated, { phase: "after" });
    await inbox.waitFor([message.id]);
    const [delivery] = inbox.of(message.id);
    assert.ok(world.verifies(delivery, fresh), "after rotation: the new secret does not verify");
    return !world.verifies(delivery, old);
  }, "a delivery without the old secret's signature");
}

/** 410 fails a delivery for good and disables the endpoint; recovery brings each back once. */
async function recoverSendsFailedMessagesAgain(world) {
  const since = new Date(Date.now() - MINUTE_MS);
  const app = await world.newApplication("recover");
  const { endpoint, inbox } = await world.newEndpoint(app.id, "recover");
  inbox.answerDefault = 410;
  const failed = [];
  for (let n = 0; n < 3; n++) {
    const { id } = await world.send(app.id, world.orderCreated, { n });
    failed.push(id);
    await inbox.waitFor([id]);
    const isDisabled = async () => (await world.sdk.endpoint.get(app.id, endpoint.id)).disabled;
    await eventually(isDisabled, "the endpoint disabled after a 410");
    const enabled = await world.sdk.endpoint.patch(app.id, endpoint.id, { disabled: false });
    assert.ok(!enabled.disabled, "still disabled after the patch");
  }

  inbox.answerDefault = 200;
  const answer = await world.sdk.endpoint.recover(app.id, endpoint.id, { since });
  await inbox.waitFor(failed, 2);
  await taskEnds(world, answer, "endpoint.recover");
  for (const id of failed) assert.equal(inbox.count(id), 2, `deliveries of ${id}, failed once and recovered once`);
}

async function replayMissingSendsWhatWasNeverSent(world) {
  const since = new Date(Date.now() - MINUTE_MS);
  const app = await world.newApplication("missing");
  const { endpoint, inbox } = await world.newEndpoint(app.id, "missing", { disabled: true });
  const missed = [];
  for (let n = 0; n < 5; n++) missed.push((await world.send(app.id, world.orderCreated, { n })).id);
  await world.sdk.endpoint.patch(app.id, endpoint.id, { disabled: false });
  const live = (await world.send(app.id, world.orderCreated, { live: true })).id;
  await inbox.waitFor([live]);
  // Arrived is not yet settled: wait for the history, or the live one may count as missing.
  const isSettled = async () => (await attemptsAt(world, app, endpoint)).length > 0;
  await eventually(isSettled, "the live delivery in the history");
  for (const id of missed) assert.equal(inbox.count(id), 0, "deliveries of a message sent while disabled");
  const answer = await optional(world, () => world.sdk.endpoint.replayMissing(app.id, endpoint.id, { since }));
  await inbox.waitFor(missed);
  await taskEnds(world, answer, "endpoint.replay");
  assert.equal(inbox.count(live), 1, "deliveries of the message that was not missing");
}

async function bulkReplaySendsEverythingAgain(world) {
  const since = new Date(Date.now() - MINUTE_MS);
  const app = await world.newApplication("bulk");
  const { endpoint, inbox } = await world.newEndpoint(app.id, "bulk");
  const sent = [];
  for (let n = 0; n < 20; n++) sent.push((await world.send(app.id, world.orderCreated, { n })).id);
  await inbox.waitFor(sent);
  // Arrived is not yet settled, and only what is settled can be replayed.
  const isSettled = async () => (await attemptsAt(world, app, endpoint)).length >= sent.length;
  await eventually(isSettled, "all first attempts in the history");
  const answer = await optional(world, () => world.sdk.endpoint.bulkReplay(app.id, endpoint.id, { since }));
  await inbox.waitFor(sent, 2);
  await taskEnds(world, answer, "endpoint.bulk-replay");
  for (const id of sent) assert.equal(inbox.count(id), 2, `deliveries of ${id}, replayed once`);
}

/** The tripwire: nothing unsigned, unnamed, late or at an unknown path in the whole run. */
async function everyDeliveryOfTheRunVerifies(world) {
  assert.deepEqual(world.receiver.strays, [], "requests to paths that belong to no endpoint");
  let total = 0;
  for (const inbox of world.receiver.inboxes.values()) {
    for (const delivery of inbox.deliveries) {
      total += 1;
      assert.ok(delivery.messageId, `a delivery at ${inbox.name} has no webhook-id`);
      const isSigned = inbox.secrets.some((secret) => world.verifies(delivery, secret));
      assert.ok(isSigned, `${delivery.messageId} at ${inbox.name} verifies with none of its endpoint's secrets`);
    }
  }
  const { orders } = world.need("stream");
  checkUnique(orders.inbox.deliveries.map((delivery) => delivery.messageId), "deliveries where nothing was resent");
  assert.ok(total > 100, `only ${total} deliveries in the whole run`);
}

export const CHECKS = [
  aFailedDeliveryIsRetried,
  bothSecretsSignDuringTheGracePeriod,
  theOldSecretEndsWithItsGracePeriod,
  recoverSendsFailedMessagesAgain,
  replayMissingSendsWhatWasNeverSent,
  bulkReplaySendsEverythingAgain,
  everyDeliveryOfTheRunVerifies,
];
