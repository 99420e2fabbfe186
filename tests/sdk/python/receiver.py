"""A loopback webhook receiver that keeps every request as it came, raw body and headers.

It deliberately does not judge deliveries: checks read an inbox and decide. The one thing it
does besides storing is answering with the status a check asked for.
"""

import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Every wait of the suite ends within this many seconds, with a sentence saying what did not happen.
DEADLINE_S = 20.0
ANSWER_BODY = b"received"


@dataclass(frozen=True)
class Delivery:
    """One request as it arrived; header names in lower case."""

    body: bytes
    headers: dict

    @property
    def message_id(self):
        return self.headers.get("webhook-id", "")


@dataclass
class Inbox:
    """What one endpoint URL received, and how it answers.

    `secrets` is every signing secret that was ever valid for the endpoint, so that the last
    check of a run can hold each delivery against them.
    """

    name: str
    url: str
    changed: threading.Condition
    answer_with: list = field(default_factory=list)
    answer_default: int = 200
    secrets: list = field(default_factory=list)
    deliveries: list = field(default_factory=list)

    def count(self, message_id):
        return sum(1 for delivery in self.snapshot() if delivery.message_id == message_id)

    def of(self, message_id):
        return [delivery for delivery in self.snapshot() if delivery.message_id == message_id]

    def snapshot(self):
        with self.changed:
            return list(self.deliveries)

    def wait(self, condition, what):
        """Waits until `condition(deliveries)` holds; fails with `what` at the deadline."""
        give_up_at = time.monotonic() + DEADLINE_S
        with self.changed:
            while not condition(self.deliveries):
                left = give_up_at - time.monotonic()
                if left <= 0:
                    raise AssertionError(
                        f"inbox {self.name!r}: not within {DEADLINE_S:.0f} s: {what}; "
                        f"{len(self.deliveries)} deliveries so far"
                    )
                self.changed.wait(left)
            return list(self.deliveries)

    def wait_for(self, message_ids, times=1):
        """Waits until each of `message_ids` arrived at least `times` times."""
        wanted = set(message_ids)

        def arrived(deliveries):
            counts = dict.fromkeys(wanted, 0)
            for delivery in deliveries:
                if delivery.message_id in counts:
                    counts[delivery.message_id] += 1
            return all(count >= times for count in counts.values())

        return self.wait(arrived, f"{len(wanted)} messages arriving {times} time(s) each")

    def take_answer(self):
        with self.changed:
            return self.answer_with.pop(0) if self.answer_with else self.answer_default


class Receiver:
    """The server behind all inboxes of a run; stops with `close`."""

    def __init__(self):
        self._changed = threading.Condition()
        self.inboxes = {}
        self.strays = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status = receiver._take(self.path, body, self.headers)
                self.send_response(status)
                self.send_header("content-length", str(len(ANSWER_BODY)))
                self.end_headers()
                self.wfile.write(ANSWER_BODY)

            def log_message(self, *_args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def inbox(self, name):
        host, port = self._server.server_address[:2]
        inbox = Inbox(name, f"http://{host}:{port}/{name}", self._changed)
        self.inboxes["/" + name] = inbox
        return inbox

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def _take(self, path, body, headers):
        delivery = Delivery(body, {name.lower(): value for name, value in headers.items()})
        inbox = self.inboxes.get(path)
        if inbox is None:
            self.strays.append((path, delivery))
            return 404
        status = inbox.take_answer()
        with self._changed:
            inbox.deliveries.append(delivery)
            self._changed.notify_all()
        return status
