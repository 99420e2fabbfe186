"""Runs the calls that an official client of the first generation (1.22 to 1.58) can make against one running server.

Usage: check_old.py SERVER_URL ROOT_KEY. Those clients are generated from the contract of their time and raise on any
status that it does not name: a call that returns has been answered as it says. Prints like `check.py`.
"""

import sys
import time
import uuid
from datetime import datetime, timedelta, timezone

import svix
from svix.api import (
    ApplicationIn,
    EndpointIn,
    EndpointListOptions,
    EndpointSecretRotateIn,
    EventTypeIn,
    EventTypeListOptions,
    MessageAttemptListOptions,
    MessageIn,
    MessageListOptions,
    PostOptions,
    RecoverIn,
    Svix,
    SvixOptions,
)
from svix.exceptions import HTTPValidationError
from svix.webhooks import Webhook

from receiver import DEADLINE_S, Receiver
from runner import check_equal, check_that, run


class World:
    """A client, a receiver, and what earlier checks made."""

    def __init__(self, server_url, token):
        self.sdk = Svix(token, SvixOptions(server_url=server_url))
        self.receiver = Receiver()
        self.run = f"old{svix.__version__.replace('.', '-')}-{uuid.uuid4().hex[:8]}"
        self.event_type = f"{self.run}.paid"

    def attempts(self, list_attempts, count):
        """Waits until a list shows so many attempts."""
        give_up_at = time.monotonic() + DEADLINE_S
        while True:
            page = list_attempts()
            if len(page.data) >= count:
                return page
            if time.monotonic() > give_up_at:
                raise AssertionError(f"not within {DEADLINE_S:.0f} s: {count} attempts; there are {len(page.data)}")
            time.sleep(0.05)


def applications_can_be_created_and_listed(world):
    world.app = world.sdk.application.create(ApplicationIn(name=world.run, uid=world.run))
    check_equal(world.sdk.application.get(world.run).id, world.app.id, "get by uid")
    check_equal(world.sdk.application.get_or_create(ApplicationIn(name=world.run, uid=world.run)).id, world.app.id, "again")


def event_types_can_be_created_and_listed(world):
    made = world.sdk.event_type.create(EventTypeIn(name=world.event_type, description="made by a check"))
    check_equal(made.name, world.event_type, "name")
    page = world.sdk.event_type.list(EventTypeListOptions(with_content=True, include_archived=True, limit=250))
    check_that(world.event_type in [item.name for item in page.data], "the event type is not in the list")


def endpoints_can_be_created_and_listed(world):
    world.inbox = world.receiver.inbox(world.run)
    fields = {"filter_types": [world.event_type], "version": 3, "rate_limit": 500, "description": "old"}
    world.endpoint = world.sdk.endpoint.create(world.app.id, EndpointIn(url=world.inbox.url, **fields))
    check_equal(world.endpoint.version, 3, "version")
    check_equal(world.endpoint.filter_types, [world.event_type], "filter")
    world.secret = world.sdk.endpoint.get_secret(world.app.id, world.endpoint.id).key
    page = world.sdk.endpoint.list(world.app.id, EndpointListOptions(limit=5))
    check_equal([endpoint.id for endpoint in page.data], [world.endpoint.id], "endpoints")


def messages_arrive_and_verify(world):
    body = MessageIn(event_type=world.event_type, payload={"n": 1}, event_id=f"{world.run}-1")
    world.message = world.sdk.message.create(world.app.id, body, PostOptions(idempotency_key=world.run))
    again = world.sdk.message.create(world.app.id, body, PostOptions(idempotency_key=world.run))
    check_equal(again.id, world.message.id, "the same key again")
    delivery = world.inbox.wait_for([world.message.id])[0]
    Webhook(world.secret).verify(delivery.body, delivery.headers)
    page = world.sdk.message.list(world.app.id, MessageListOptions(event_types=[world.event_type], limit=5))
    check_equal([message.id for message in page.data], [world.message.id], "messages")


def attempts_are_listed_in_every_way_of_then(world):
    api, app, endpoint, message = world.sdk.message_attempt, world.app.id, world.endpoint.id, world.message.id
    options = MessageAttemptListOptions(limit=5)
    by_endpoint = world.attempts(lambda: api.list_by_endpoint(app, endpoint, options), 1)
    by_message = world.attempts(lambda: api.list_by_msg(app, message, options), 1)
    of_both = world.attempts(lambda: api.list_attempts_for_endpoint(app, message, endpoint, options), 1)
    ids = {page.data[0].id for page in (by_endpoint, by_message, of_both)}
    check_equal(len(ids), 1, "attempts under three paths")
    destinations = api.list_attempted_destinations(app, message)
    check_equal([item.id for item in destinations.data], [endpoint], "destinations")
    check_equal([item.id for item in api.list_attempted_messages(app, endpoint).data], [message], "attempted messages")


def a_rotation_returns_and_changes_the_secret(world):
    api, app, endpoint = world.sdk.endpoint, world.app.id, world.endpoint.id
    key = PostOptions(idempotency_key=f"{world.run}-rotate")
    for _ in range(2):
        check_equal(api.rotate_secret(app, endpoint, EndpointSecretRotateIn(), key), None, "the answer, which is none")
    rotated = api.get_secret(app, endpoint).key
    check_that(rotated != world.secret, "the secret is the old one")
    message = world.sdk.message.create(app, MessageIn(event_type=world.event_type, payload={"n": 2}))
    delivery = [one for one in world.inbox.wait_for([message.id]) if one.message_id == message.id][0]
    for secret in (world.secret, rotated):
        Webhook(secret).verify(delivery.body, delivery.headers)
    check_equal(len(delivery.headers["webhook-signature"].split()), 2, "signatures after one rotation")


def a_resend_and_a_recovery_are_taken(world):
    app, endpoint = world.app.id, world.endpoint.id
    check_equal(world.sdk.message_attempt.resend(app, world.message.id, endpoint), None, "resend")
    world.inbox.wait_for([world.message.id], times=2)
    since = datetime.now(timezone.utc) - timedelta(hours=1)
    world.sdk.endpoint.recover(app, endpoint, RecoverIn(since=since))


def wrong_input_is_422(world):
    try:
        world.sdk.application.create(ApplicationIn(name=""))
    except HTTPValidationError as error:
        check_equal(error.status_code, 422, "HTTP status")
    else:
        raise AssertionError("an application without a name was taken")


CHECKS = [
    applications_can_be_created_and_listed,
    event_types_can_be_created_and_listed,
    endpoints_can_be_created_and_listed,
    messages_arrive_and_verify,
    attempts_are_listed_in_every_way_of_then,
    a_rotation_returns_and_changes_the_secret,
    a_resend_and_a_recovery_are_taken,
    wrong_input_is_422,
]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(run(CHECKS, World(*sys.argv[1:])))
