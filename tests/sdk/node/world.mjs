// What the checks share: the client, names that differ between SDK 1.x and 2.x, waiting, paging.
//
// Everything that depends on the SDK's version is here and nowhere else, so that the checks read
// the same for both. No check logic lives here.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";

import { DEADLINE_MS, Receiver } from "./receiver.mjs";

const PAGE_SIZE = 7;

/** An operation outside the promised set that the server does not serve (404). */
export class Skipped extends Error {}

/** Loads `svix` and `standardwebhooks` from the folder they were installed in. */
export async function loadSdk(folder) {
  const from = createRequire(path.join(folder, "package.json"));
  const load = async (name) => {
    const module = await import(pathToFileURL(from.resolve(name)));
    return module.Webhook ? module : module.default; // 2.x is an ES module, 1.x is not
  };
  return {
    svix: await load("svix"),
    standard: await load("standardwebhooks"),
    version: from(path.join(folder, "node_modules/svix/package.json")).version,
  };
}

/** Runs `call`, which must throw the SDK's own exception for `status`; returns it. */
export async function rejects(world, status, call, what) {
  let error;
  try {
    const result = await call();
    assert.fail(`${what}: expected ApiException ${status}, got ${JSON.stringify(result)}`);
  } catch (caught) {
    if (caught instanceof assert.AssertionError) throw caught;
    error = caught;
  }
  const isApi = error instanceof world.ApiException;
  assert.ok(isApi, `${what}: expected ApiException ${status}, got ${error.name}: ${error.message}`);
  assert.equal(error.code, status, `${what}: HTTP status`);
  if (status !== 422) assert.ok(error.body.code && error.body.detail, `${what}: error has no code or no detail`);
  return error;
}

/** Calls `probe` until it returns something true, and returns that; fails at the deadline. */
export async function eventually(probe, what) {
  const giveUpAt = performance.now() + DEADLINE_MS;
  for (;;) {
    const result = await probe();
    if (result) return result;
    assert.ok(performance.now() < giveUpAt, `not within ${DEADLINE_MS} ms: ${what}`);
    await pause(50);
  }
}

/** Reads a list to its end in small pages; fails on an endless list or a repeated iterator. */
export async function allPages(listPage, filters = {}) {
  const items = [];
  const seen = new Set();
  let iterator = null;
  for (;;) {
    const page = await listPage({ limit: PAGE_SIZE, iterator, ...filters });
    assert.ok(page.data.length <= PAGE_SIZE, `a page of ${page.data.length} for limit=${PAGE_SIZE}`);
    items.push(...page.data);
    if (page.done) return items;
    assert.ok(page.iterator, "a page with done=false has no iterator");
    assert.ok(!seen.has(page.iterator), `the iterator ${page.iterator} came twice`);
    seen.add(page.iterator);
    iterator = page.iterator;
  }
}

export function checkUnique(ids, what) {
  assert.equal(new Set(ids).size, ids.length, `${what}: distinct ids`);
}

/** Compares as sets, with a message of readable length. */
export function checkSameSet(actual, expected, what) {
  const [is, wanted] = [new Set(actual), new Set(expected)];
  const missing = [...wanted].filter((id) => !is.has(id));
  const surplus = [...is].filter((id) => !wanted.has(id));
  const show = (ids, kind) => `${ids.length} ${kind} ${ids.slice(0, 3)}`;
  const text = `${what}: ${show(missing, "missing")}, ${show(surplus, "surplus")}`;
  assert.ok(missing.length + surplus.length === 0, text);
}

/** For operations the SDKs have and `svix-openapi` lacks: a 404 skips the check. */
export async function optional(world, call) {
  try {
    return await call();
  } catch (error) {
    const missing = error instanceof world.ApiException && [404, 405].includes(error.code);
    if (missing && !process.env.PINION_SDK_STRICT) throw new Skipped(`not served: ${error.code}`);
    throw error;
  }
}

export const payloadOf = (delivery) => JSON.parse(delivery.body.toString("utf8"));

/** One run against one server: a client, a receiver, and what earlier checks created. */
export class World {
  static async start(serverUrl, token, folder) {
    const world = new World();
    const { svix, standard, version } = await loadSdk(folder);
    Object.assign(world, { serverUrl, version, isV2: !version.startsWith("1.") });
    world.Svix = svix.Svix;
    world.ApiException = svix.ApiException;
    world.verifiers = [standard.Webhook, svix.Webhook];
    world.VerificationErrors = [standard.WebhookVerificationError, svix.WebhookVerificationError];
    Object.assign(world, { messageInRaw: svix.messageInRaw, MessageStatus: svix.MessageStatus });
    world.sdk = world.clientWith(token);
    world.receiver = await Receiver.start();
    // Several clients run against one server: every name that must be unique carries this.
    world.run = `js${version.replaceAll(".", "-")}-${randomUUID().slice(0, 8)}`;
    world.orderCreated = `${world.run}.order.created`;
    world.invoicePaid = `${world.run}.invoice.paid`;
    return world;
  }

  clientWith(token) {
    return new this.Svix(token, { serverUrl: this.serverUrl });
  }

  /** Whether both verification libraries accept the delivery; they must agree. */
  verifies(delivery, secret) {
    const verdicts = this.verifiers.map((Webhook) => {
      try {
        new Webhook(secret).verify(delivery.body, delivery.headers);
        return true;
      } catch (error) {
        if (this.VerificationErrors.some((kind) => error instanceof kind)) return false;
        throw error;
      }
    });
    assert.equal(verdicts[0], verdicts[1], `standardwebhooks and svix on ${delivery.messageId}`);
    return verdicts[0];
  }

  // === one name for what 1.x and 2.x call differently ===

  endpointIn({ eventTypes, throttleRate, ...fields }) {
    if (eventTypes !== undefined) fields[this.isV2 ? "eventTypes" : "filterTypes"] = eventTypes;
    if (throttleRate !== undefined) fields[this.isV2 ? "throttleRate" : "rateLimit"] = throttleRate;
    return fields;
  }

  eventTypesOf(endpoint) {
    return (this.isV2 ? endpoint.eventTypes : endpoint.filterTypes) ?? null;
  }

  throttleRateOf(endpoint) {
    return this.isV2 ? endpoint.throttleRate : endpoint.rateLimit;
  }

  endpointUpsert(appId, endpointId, fields) {
    const name = this.isV2 ? "upsert" : "update";
    return this.sdk.endpoint[name](appId, endpointId, this.endpointIn(fields));
  }

  applicationUpsert(appId, fields) {
    return this.sdk.application[this.isV2 ? "upsert" : "update"](appId, fields);
  }

  eventTypeUpsert(name, fields) {
    return this.sdk.eventType[this.isV2 ? "upsert" : "update"](name, fields);
  }

  headersSet(appId, endpointId, headers) {
    return this.sdk.endpoint[this.isV2 ? "setHeaders" : "updateHeaders"](appId, endpointId, { headers });
  }

  /** Rotates and returns the new secret (some versions get it in the answer, some do not). */
  async rotate(appId, endpointId, fields) {
    const answer = await this.sdk.endpoint.rotateSecret(appId, endpointId, fields);
    const { key } = await this.sdk.endpoint.getSecret(appId, endpointId);
    if (answer?.key !== undefined) assert.equal(answer.key, key, "the secret in the answer to a rotation");
    return key;
  }

  // === short cuts ===

  newApplication(name) {
    return this.sdk.application.create({ name: `${this.run} ${name}` });
  }

  /** An endpoint with an inbox of its own, whose generated secret the inbox knows. */
  async newEndpoint(appId, name, fields = {}) {
    const inbox = this.receiver.inbox(`${this.run}-${name}`);
    const endpoint = await this.sdk.endpoint.create(appId, this.endpointIn({ url: inbox.url, ...fields }));
    inbox.secrets.push((await this.sdk.endpoint.getSecret(appId, endpoint.id)).key);
    return { endpoint, inbox };
  }

  send(appId, eventType, payload, fields = {}) {
    return this.sdk.message.create(appId, { eventType, payload, ...fields });
  }

  /** What an earlier check made; fails clearly when that check failed. */
  need(name) {
    assert.ok(this[name] !== undefined, `needs ${name}, which an earlier check failed to make`);
    return this[name];
  }
}
