"""What the checks share: the client, names that differ between SDK 1.x and 2.x, waiting, paging.

Everything that depends on the SDK's version is here and nowhere else, so that the checks read
the same for both. No check logic lives here.
"""

import hashlib
import hmac
import json
import os
import time
import urllib.request
import uuid

import standardwebhooks
import svix
from svix import models
from svix.api import Svix, SvixOptions
from svix.exceptions import HttpError, HTTPValidationError
from svix.webhooks import Webhook as SvixWebhook

from receiver import DEADLINE_S, Receiver
from runner import Skipped, check_equal, check_that

IS_V2 = not svix.__version__.startswith("1.")
PAGE_SIZE = 7


def check_same_set(actual, expected, what):
    """Like `check_equal` for sets of ids, with a message of readable length."""
    missing, surplus = sorted(set(expected) - set(actual)), sorted(set(actual) - set(expected))
    check_that(
        not missing and not surplus,
        f"{what}: {len(missing)} missing {missing[:3]}, {len(surplus)} surplus {surplus[:3]}",
    )


def raises(status, call, what):
    """Runs `call`, which must raise the SDK's own exception for `status`; returns it."""
    wanted = HTTPValidationError if status == 422 else HttpError
    try:
        result = call()
    except wanted as error:
        check_equal(error.status_code, status, f"{what}: HTTP status")
        if status != 422:
            check_that(error.code and error.detail, f"{what}: error has no code or no detail")
        return error
    except Exception as error:
        raise AssertionError(
            f"{what}: expected {wanted.__name__} {status}, got {type(error).__name__}: {error}"
        ) from error
    raise AssertionError(f"{what}: expected {wanted.__name__} {status}, got {result!r}")


def eventually(probe, what):
    """Calls `probe` until it returns something true, and returns that; fails at the deadline."""
    give_up_at = time.monotonic() + DEADLINE_S
    while True:
        result = probe()
        if result:
            return result
        check_that(time.monotonic() < give_up_at, f"not within {DEADLINE_S:.0f} s: {what}")
        time.sleep(0.05)


def all_pages(list_page, make_options, **filters):
    """Reads a list to its end in small pages; fails on an endless list or a repeated iterator."""
    items, iterator, seen = [], None, set()
    while True:
        page = list_page(make_options(limit=PAGE_SIZE, iterator=iterator, **filters))
        check_that(len(page.data) <= PAGE_SIZE, f"a page of {len(page.data)} for limit={PAGE_SIZE}")
        items.extend(page.data)
        if page.done:
            return items
        check_that(page.iterator, "a page with done=false has no iterator")
        check_that(page.iterator not in seen, f"the iterator {page.iterator!r} came twice")
        seen.add(page.iterator)
        iterator = page.iterator


def check_unique(ids, what):
    ids = list(ids)
    check_equal(len(set(ids)), len(ids), f"{what}: distinct ids")


def optional(call):
    """For operations the SDKs have and `svix-openapi` lacks: a 404 skips the check."""
    try:
        return call()
    except HttpError as error:
        if error.status_code in (404, 405) and not os.environ.get("PINION_SDK_STRICT"):
            raise Skipped(f"not served: {error.code}") from error
        raise


def verifies(delivery, secret):
    """Whether both verification libraries accept the delivery; they must agree.

    A `raw:` secret belongs to a receiver of another age, which has no library: `hmac` judges its signature in hex.
    """
    if secret.startswith("raw:"):
        digits = hmac.new(secret.removeprefix("raw:").encode(), delivery.body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(delivery.headers.get("x-hub-signature-256", ""), f"sha256={digits}")
    verdicts = []
    for webhook in (standardwebhooks.Webhook, SvixWebhook):
        try:
            webhook(secret).verify(delivery.body, delivery.headers)
            verdicts.append(True)
        except json.JSONDecodeError:
            # Both parse the payload once its signature is right; a raw one need not be JSON.
            verdicts.append(True)
        except standardwebhooks.webhooks.WebhookVerificationError:
            verdicts.append(False)
    check_equal(verdicts[0], verdicts[1], f"standardwebhooks and svix on {delivery.message_id}")
    return verdicts[0]


class World:
    """One run against one server: a client, a receiver, and what earlier checks created."""

    def __init__(self, server_url, token):
        self.server_url = server_url
        self.token = token
        self.sdk = Svix(token, SvixOptions(server_url=server_url))
        self.receiver = Receiver()
        # Several clients run against one server: every name that must be unique carries this.
        self.run = f"py{svix.__version__.replace('.', '-')}-{uuid.uuid4().hex[:8]}"
        self.order_created = f"{self.run}.order.created"
        self.invoice_paid = f"{self.run}.invoice.paid"

    def __getattr__(self, name):
        # Only reached for what is not there: later checks lean on what earlier ones made.
        raise AssertionError(f"needs {name!r}, which an earlier check failed to make")

    def client_with(self, token):
        return Svix(token, SvixOptions(server_url=self.server_url))

    # === one name for what 1.x and 2.x call differently ===

    def endpoint_in(self, url, event_types=None, throttle_rate=None, **fields):
        return self._endpoint_fields(models.EndpointIn, event_types, throttle_rate, url=url, **fields)

    def endpoint_patch(self, event_types=None, throttle_rate=None, **fields):
        return self._endpoint_fields(models.EndpointPatch, event_types, throttle_rate, **fields)

    def endpoint_upsert(self, app_id, endpoint_id, url, event_types=None, **fields):
        model = models.EndpointUpsertIn if IS_V2 else models.EndpointUpdate
        call = self.sdk.endpoint.upsert if IS_V2 else self.sdk.endpoint.update
        return call(app_id, endpoint_id, self._endpoint_fields(model, event_types, None, url=url, **fields))

    @staticmethod
    def _endpoint_fields(model, event_types, throttle_rate, **fields):
        if event_types is not None:
            fields["event_types" if IS_V2 else "filter_types"] = event_types
        if throttle_rate is not None:
            fields["throttle_rate" if IS_V2 else "rate_limit"] = throttle_rate
        return model(**fields)

    @staticmethod
    def event_types_of(endpoint):
        return endpoint.event_types if IS_V2 else endpoint.filter_types

    @staticmethod
    def throttle_rate_of(endpoint):
        return endpoint.throttle_rate if IS_V2 else endpoint.rate_limit

    def application_upsert(self, app_id, **fields):
        call = self.sdk.application.upsert if IS_V2 else self.sdk.application.update
        return call(app_id, models.ApplicationIn(**fields))

    def event_type_upsert(self, name, **fields):
        if IS_V2:
            return self.sdk.event_type.upsert(name, models.EventTypeUpsertIn(**fields))
        return self.sdk.event_type.update(name, models.EventTypeUpdate(**fields))

    def headers_set(self, app_id, endpoint_id, headers):
        call = self.sdk.endpoint.set_headers if IS_V2 else self.sdk.endpoint.update_headers
        call(app_id, endpoint_id, models.EndpointHeadersIn(headers=headers))

    def rotate(self, app_id, endpoint_id, **fields):
        """Rotates and returns the new secret (only 2.x gets it in the answer)."""
        answer = self.sdk.endpoint.rotate_secret(app_id, endpoint_id, models.EndpointSecretRotateIn(**fields))
        secret = self.sdk.endpoint.get_secret(app_id, endpoint_id).key
        if IS_V2:
            check_equal(answer.key, secret, "the secret in the answer to a rotation")
        return secret

    def extended(self, method, path, body):
        """A request with fields that the SDKs do not know."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        url, data = f"{self.server_url}/api/v1{path}", json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return json.load(answer)

    # === short cuts ===

    def new_application(self, name):
        return self.sdk.application.create(models.ApplicationIn(name=f"{self.run} {name}"))

    def new_endpoint(self, app_id, name, event_types=None, **fields):
        """An endpoint with an inbox of its own, whose generated secret the inbox knows."""
        inbox = self.receiver.inbox(name)
        endpoint = self.sdk.endpoint.create(app_id, self.endpoint_in(inbox.url, event_types, **fields))
        inbox.secrets.append(self.sdk.endpoint.get_secret(app_id, endpoint.id).key)
        return endpoint, inbox

    def send(self, app_id, event_type, payload, **fields):
        return self.sdk.message.create(
            app_id, models.MessageIn(event_type=event_type, payload=payload, **fields)
        )


def payload_of(delivery):
    return json.loads(delivery.body)
