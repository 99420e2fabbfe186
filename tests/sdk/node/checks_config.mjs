// Checks of what users configure: applications, event types, endpoints, headers, and of errors.
//
// Nothing here waits for a delivery; that is `checks_messages` and `checks_recovery`.

import assert from "node:assert/strict";

import { allPages, checkSameSet, checkUnique, rejects } from "./world.mjs";

const secretOf = (key) => `whsec_${Buffer.from(key).toString("base64")}`;

async function healthAnswers(world) {
  await world.sdk.health.get();
}

async function aWrongTokenIs401(world) {
  const stranger = world.clientWith("wrong");
  await rejects(world, 401, () => stranger.application.list(), "list with a wrong token");
  await rejects(world, 401, () => stranger.message.get("a", "m"), "get with a wrong token");
}

async function applicationsCanBeManaged(world) {
  const api = world.sdk.application;
  const uid = `${world.run}-app`;
  const app = await api.create({ name: "Uid", uid, metadata: { plan: "gold" } });
  assert.deepEqual(app.metadata, { plan: "gold" }, "metadata after create");
  for (const stamp of [app.createdAt, app.updatedAt]) {
    assert.ok(!Number.isNaN(stamp.getTime()), `not a date the SDK reads: ${stamp}`);
  }
  assert.equal((await api.get(app.id)).id, app.id, "get by id");
  assert.equal((await api.get(uid)).id, app.id, "get by uid");
  assert.equal((await api.getOrCreate({ name: "Uid", uid })).id, app.id, "getOrCreate");
  await rejects(world, 409, () => api.create({ name: "Again", uid }), "create with a taken uid");

  const renamed = await world.applicationUpsert(uid, { name: "Renamed", uid });
  assert.equal(renamed.name, "Renamed", "upsert of a known uid");
  const other = await world.applicationUpsert(`${uid}-2`, { name: "Other", uid: `${uid}-2` });
  assert.notEqual(other.id, app.id, "upsert of an unknown uid must create an application");

  const patched = await api.patch(app.id, { metadata: { plan: "free" } });
  assert.deepEqual(patched.metadata, { plan: "free" }, "metadata after patch");
  assert.equal(patched.name, "Renamed", "name after a patch of the metadata alone");

  await api.delete(other.id);
  await rejects(world, 404, () => api.get(other.id), "get of a deleted application");
}

async function applicationsPageWithoutLoss(world) {
  const made = [];
  for (let n = 0; n < 9; n++) made.push((await world.newApplication(`page ${n}`)).id);
  for (const order of ["ascending", "descending"]) {
    const listed = await allPages((options) => world.sdk.application.list(options), { order });
    const ids = listed.map((app) => app.id);
    checkUnique(ids, `applications, ${order}`);
    checkSameSet(ids.filter((id) => made.includes(id)), made, `applications, ${order}`);
  }
}

async function eventTypesCanBeManaged(world) {
  const api = world.sdk.eventType;
  for (const name of [world.orderCreated, world.invoicePaid]) {
    assert.equal((await api.create({ name, description: "made by a check" })).name, name, "name of a new event type");
  }
  const again = { name: world.orderCreated, description: "again" };
  await rejects(world, 409, () => api.create(again), "create of a known event type");
  assert.equal((await api.get(world.orderCreated)).description, "made by a check", "description");
  const updated = await world.eventTypeUpsert(world.orderCreated, { description: "updated" });
  assert.equal(updated.description, "updated", "description after upsert");
  const patched = await api.patch(world.orderCreated, { description: "patched" });
  assert.equal(patched.description, "patched", "description after patch");

  const more = Array.from({ length: 9 }, (_, n) => `${world.run}.more.${n}`);
  for (const name of more) await world.eventTypeUpsert(name, { description: "made by upsert" });
  const names = async () => (await allPages((options) => api.list(options))).map((item) => item.name);
  const listed = await names();
  checkUnique(listed, "event types");
  const ours = [world.orderCreated, world.invoicePaid, ...more];
  checkSameSet(listed.filter((name) => ours.includes(name)), ours, "event types in all pages");

  await api.delete(more[0]);
  assert.ok(!(await names()).includes(more[0]), "a deleted (archived) event type is still in the list");
  await api.delete(more[1], { expunge: true });
  await rejects(world, 404, () => api.get(more[1]), "get of an expunged event type");
}

async function endpointsCanBeManaged(world) {
  const api = world.sdk.endpoint;
  const app = await world.newApplication("endpoints");
  const uid = `${world.run}-endpoint`;
  const secret = secretOf("a secret of twenty-four b");
  const made = await api.create(
    app.id,
    world.endpointIn({
      url: "http://127.0.0.1:9/none",
      eventTypes: [world.orderCreated],
      throttleRate: 50,
      uid,
      description: "one",
      metadata: { team: "a" },
      secret,
      headers: { "X-One": "1" },
    }),
  );
  for (const endpoint of [made, await api.get(app.id, made.id), await api.get(app.id, uid)]) {
    assert.equal(endpoint.id, made.id, "endpoint id");
    assert.deepEqual(world.eventTypesOf(endpoint), [world.orderCreated], "event types");
    assert.equal(world.throttleRateOf(endpoint), 50, "throttle rate");
    assert.deepEqual(endpoint.metadata, { team: "a" }, "metadata");
    assert.ok(!endpoint.disabled, "a new endpoint is disabled");
    if (!world.isV2) assert.equal(typeof endpoint.version, "number", "1.x declares a version");
  }
  assert.equal((await api.getSecret(app.id, made.id)).key, secret, "the secret given at create");
  const headers = (await api.getHeaders(app.id, made.id)).headers;
  assert.deepEqual(headers, { "X-One": "1" }, "the headers given at create");

  const patched = await api.patch(app.id, made.id, world.endpointIn({ description: "two", disabled: true }));
  assert.deepEqual([patched.description, patched.disabled], ["two", true], "patched fields");
  assert.equal(patched.url, made.url, "url after a patch of other fields");
  assert.deepEqual(world.eventTypesOf(patched), [world.orderCreated], "event types after a patch of other fields");
  const retyped = await api.patch(app.id, made.id, world.endpointIn({ eventTypes: [world.invoicePaid] }));
  assert.deepEqual(world.eventTypesOf(retyped), [world.invoicePaid], "patched event types");

  const url = "http://127.0.0.1:9/other";
  const put = await world.endpointUpsert(app.id, made.id, { url, description: "three", uid });
  assert.deepEqual([put.url, put.description], [url, "three"], "updated fields");
  assert.equal((world.eventTypesOf(put) ?? []).length, 0, "an update without event types must leave no filter");
  await api.patch(app.id, made.id, { uid: null });
  await rejects(world, 404, () => api.get(app.id, uid), "get by a uid that was cleared with null");

  await api.create(app.id, { url, uid: "twice" });
  await rejects(world, 409, () => api.create(app.id, { url, uid: "twice" }), "create with a taken uid");
  await api.delete(app.id, made.id);
  await rejects(world, 404, () => api.get(app.id, made.id), "get of a deleted endpoint");
}

async function endpointsPageWithoutLoss(world) {
  const app = await world.newApplication("endpoint pages");
  const made = [];
  for (let n = 0; n < 16; n++) {
    made.push((await world.sdk.endpoint.create(app.id, { url: `http://127.0.0.1:9/${n}` })).id);
  }
  for (const order of ["ascending", "descending"]) {
    const listed = await allPages((options) => world.sdk.endpoint.list(app.id, options), { order });
    const ids = listed.map((endpoint) => endpoint.id);
    checkUnique(ids, `endpoints, ${order}`);
    checkSameSet(ids, made, `endpoints, ${order}`);
  }
}

async function endpointHeadersCanBeManaged(world) {
  const api = world.sdk.endpoint;
  const app = await world.newApplication("headers");
  const { id } = await api.create(app.id, { url: "http://127.0.0.1:9/none" });
  const check = async (expected, when) => {
    assert.deepEqual((await api.getHeaders(app.id, id)).headers, expected, `headers ${when}`);
  };
  await check({}, "of a new endpoint");
  await world.headersSet(app.id, id, { "X-One": "1", "X-Two": "2" });
  await check({ "X-One": "1", "X-Two": "2" }, "after set");
  await api.patchHeaders(app.id, id, { headers: { "X-Three": "3" }, deleteHeaders: ["X-One"] });
  await check({ "X-Two": "2", "X-Three": "3" }, "after patch");
  await world.headersSet(app.id, id, { "X-Four": "4" });
  await check({ "X-Four": "4" }, "after a second set, which replaces all");
}

async function unknownThingsAre404(world) {
  const { sdk } = world;
  const app = await world.newApplication("unknown");
  const endpoint = await sdk.endpoint.create(app.id, { url: "http://127.0.0.1:9/none" });
  const message = await world.send(app.id, world.orderCreated, { n: 1 });
  const unknown = {
    application: () => sdk.application.get("app_unknown"),
    "application of a message": () => world.send("app_unknown", world.orderCreated, {}),
    "event type": () => sdk.eventType.get(`${world.run}.unknown`),
    endpoint: () => sdk.endpoint.get(app.id, "ep_unknown"),
    "endpoint to delete": () => sdk.endpoint.delete(app.id, "ep_unknown"),
    "endpoint secret": () => sdk.endpoint.getSecret(app.id, "ep_unknown"),
    message: () => sdk.message.get(app.id, "msg_unknown"),
    attempt: () => sdk.messageAttempt.get(app.id, message.id, "atmpt_unknown"),
    "message to resend": () => sdk.messageAttempt.resend(app.id, "msg_unknown", endpoint.id),
    "attempts of an endpoint": () => sdk.messageAttempt.listByEndpoint(app.id, "ep_unknown"),
  };
  for (const [what, call] of Object.entries(unknown)) await rejects(world, 404, call, `unknown ${what}`);
}

async function invalidRequestsAre422(world) {
  const { sdk } = world;
  const app = await world.newApplication("invalid");
  const short = { url: "http://127.0.0.1:9/none", secret: "whsec_short" };
  const invalid = {
    "an application without a name": () => sdk.application.create({ name: "" }),
    "an application uid with spaces": () => sdk.application.create({ name: "n", uid: "a b" }),
    "an endpoint url that is none": () => sdk.endpoint.create(app.id, { url: "not a url" }),
    "a secret that is too short": () => sdk.endpoint.create(app.id, short),
    "an event type with spaces": () => world.send(app.id, "no spaces please", {}),
  };
  for (const [what, call] of Object.entries(invalid)) {
    const { body } = await rejects(world, 422, call, what);
    assert.ok(Array.isArray(body.detail) && body.detail.length > 0, `${what}: no validation detail`);
    for (const item of body.detail) {
      assert.ok(Array.isArray(item.loc) && item.loc.length > 0, `${what}: no field path`);
      assert.ok(item.msg && item.type, `${what}: no message or type`);
    }
  }
}

export const CHECKS = [
  healthAnswers,
  aWrongTokenIs401,
  applicationsCanBeManaged,
  applicationsPageWithoutLoss,
  eventTypesCanBeManaged,
  endpointsCanBeManaged,
  endpointsPageWithoutLoss,
  endpointHeadersCanBeManaged,
  unknownThingsAre404,
  invalidRequestsAre422,
];
