// A loopback webhook receiver that keeps every request as it came, raw body and headers.
//
// It deliberately does not judge deliveries: checks read an inbox and decide. The one thing it
// does besides storing is answering with the status a check asked for.

import assert from "node:assert/strict";
import http from "node:http";

// Every wait of the suite ends within this time, with a sentence saying what did not happen.
export const DEADLINE_MS = 20_000;
export const ANSWER_BODY = "received";

class Inbox {
  constructor(name, url) {
    this.name = name;
    this.url = url;
    this.answers = []; // statuses for the next requests, before `answerDefault` applies
    this.answerDefault = 200;
    this.secrets = []; // every secret that was ever valid, for the last check of a run
    this.deliveries = [];
    this.waiters = new Set();
  }

  add(delivery) {
    this.deliveries.push(delivery);
    for (const look of this.waiters) look();
  }

  of(messageId) {
    return this.deliveries.filter((delivery) => delivery.messageId === messageId);
  }

  count(messageId) {
    return this.of(messageId).length;
  }

  /** Waits until `condition()` holds; fails with `what` at the deadline. */
  wait(condition, what) {
    return new Promise((resolve, reject) => {
      const end = (finish) => {
        clearTimeout(timer);
        this.waiters.delete(look);
        finish();
      };
      const look = () => condition() && end(resolve);
      const timer = setTimeout(() => {
        const seen = `${this.deliveries.length} deliveries so far`;
        const message = `inbox ${this.name}: not within ${DEADLINE_MS} ms: ${what}; ${seen}`;
        end(() => reject(new assert.AssertionError({ message })));
      }, DEADLINE_MS);
      this.waiters.add(look);
      look();
    });
  }

  /** Waits until each of `messageIds` arrived at least `times` times. */
  waitFor(messageIds, times = 1) {
    const ids = [...messageIds];
    return this.wait(
      () => ids.every((id) => this.count(id) >= times),
      `${ids.length} messages arriving ${times} time(s) each`,
    );
  }
}

/** The server behind all inboxes of a run. */
export class Receiver {
  inboxes = new Map();
  strays = [];

  static async start() {
    const receiver = new Receiver();
    receiver.server = http.createServer((request, response) => {
      const chunks = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("end", () => {
        response.writeHead(receiver.#take(request, Buffer.concat(chunks)));
        response.end(ANSWER_BODY);
      });
    });
    await new Promise((resolve) => receiver.server.listen(0, "127.0.0.1", resolve));
    return receiver;
  }

  inbox(name) {
    const inbox = new Inbox(name, `http://127.0.0.1:${this.server.address().port}/${name}`);
    this.inboxes.set(`/${name}`, inbox);
    return inbox;
  }

  close() {
    this.server.close();
    this.server.closeAllConnections();
  }

  #take(request, body) {
    const delivery = { body, headers: request.headers, messageId: request.headers["webhook-id"] ?? "" };
    const inbox = this.inboxes.get(request.url);
    if (inbox === undefined) {
      this.strays.push({ path: request.url, ...delivery });
      return 404;
    }
    inbox.add(delivery);
    return inbox.answers.shift() ?? inbox.answerDefault;
  }
}
