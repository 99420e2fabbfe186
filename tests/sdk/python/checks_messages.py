"""Checks of sending and of history: one stream of 100 messages, read back in every way.

The checks run in order and share the stream, which `sending_delivers_each_once` makes. What goes
wrong with deliveries on purpose is in `checks_recovery`.
"""

from datetime import datetime, timedelta, timezone

from svix import models
from svix.api import (
    EndpointGetStatsOptions,
    MessageAttemptListAttemptedDestinationsOptions,
    MessageAttemptListAttemptedMessagesOptions,
    MessageAttemptListByEndpointOptions,
    MessageAttemptListByMsgOptions,
    MessageCreateOptions,
    MessageGetOptions,
    MessageListOptions,
)
from svix.api.message import message_in_raw

from receiver import ANSWER_BODY
from world import (
    all_pages,
    check_equal,
    check_same_set,
    check_that,
    check_unique,
    eventually,
    payload_of,
    raises,
    verifies,
)

MESSAGES = 100


def sending_delivers_each_once(world):
    """Two endpoints, one filtered; some messages sent twice under one idempotency key."""
    app = world.new_application("stream")
    world.stream_app, world.stream_started_at = app.id, datetime.now(timezone.utc)
    world.every, world.every_inbox = world.new_endpoint(app.id, f"{world.run}-every")
    world.orders, world.orders_inbox = world.new_endpoint(
        app.id, f"{world.run}-orders", event_types=[world.order_created]
    )
    world.headers_set(app.id, world.orders.id, {"X-Tenant": "acme"})

    world.payloads, world.order_ids, world.event_ids = {}, set(), {}
    for n in range(MESSAGES):
        is_order, payload = n % 2 == 0, {"n": n, "text": "ünïcode €\n", "list": [1, 2.5, None]}
        fields = {"event_id": f"{world.run}-event-{n}"} if n % 5 == 0 else {}
        message_in = models.MessageIn(
            event_type=world.order_created if is_order else world.invoice_paid,
            payload=payload,
            channels=["even"] if n % 4 == 0 else None,
            **fields,
        )
        options = MessageCreateOptions()
        if n % 10 == 3:
            options = MessageCreateOptions(idempotency_key=f"{world.run}-key-{n}")
        message = world.sdk.message.create(app.id, message_in, options)
        if n % 10 == 3:
            again = world.sdk.message.create(app.id, message_in, options)
            check_equal(again.id, message.id, f"message {n} sent twice under one idempotency key: id")
        check_that(message.id not in world.payloads, f"message id {message.id} was given twice")
        world.payloads[message.id] = payload
        if is_order:
            world.order_ids.add(message.id)
        if fields:
            world.event_ids[message.id] = fields["event_id"]

    world.every_inbox.wait_for(world.payloads)
    world.orders_inbox.wait_for(world.order_ids)
    # A fence: it is accepted after all others, so a second delivery of those has had its chance.
    fence = world.send(app.id, world.order_created, {"fence": True})
    world.payloads[fence.id] = {"fence": True}
    world.order_ids.add(fence.id)
    for inbox, expected in ((world.every_inbox, set(world.payloads)), (world.orders_inbox, world.order_ids)):
        inbox.wait_for([fence.id])
        arrived = [delivery.message_id for delivery in inbox.snapshot()]
        check_unique(arrived, f"deliveries at {inbox.name}")
        check_same_set(arrived, expected, f"messages that arrived at {inbox.name}")


def deliveries_are_signed_and_whole(world):
    for inbox in (world.every_inbox, world.orders_inbox):
        for delivery in inbox.snapshot():
            check_that(verifies(delivery, inbox.secrets[0]), f"{delivery.message_id}: bad signature")
            check_equal(payload_of(delivery), world.payloads.get(delivery.message_id), "payload as delivered")
            check_that(
                delivery.headers.get("content-type", "").startswith("application/json"),
                f"content-type of a delivery: {delivery.headers.get('content-type')!r}",
            )
            tenant = delivery.headers.get("x-tenant")
            check_equal(tenant, "acme" if inbox is world.orders_inbox else None, "the endpoint's own header")


def a_duplicate_event_id_is_409(world):
    event_id = next(iter(world.event_ids.values()))
    raises(
        409,
        lambda: world.send(world.stream_app, world.order_created, {"again": True}, event_id=event_id),
        "a second message with the same eventId",
    )


def messages_page_without_loss(world):
    list_page = lambda options: world.sdk.message.list(world.stream_app, options)
    listed = all_pages(list_page, MessageListOptions, with_content=True)
    check_unique((message.id for message in listed), "messages")
    check_same_set([message.id for message in listed], world.payloads, "messages in all pages")
    for message in listed:
        check_equal(message.payload, world.payloads[message.id], f"payload of {message.id} in the list")
    stamps = [message.timestamp for message in listed]
    check_that(stamps == sorted(stamps, reverse=True), "messages must be listed newest first")

    bare = all_pages(list_page, MessageListOptions, with_content=False)
    check_that(all(message.payload == {} for message in bare), "with_content=false must leave payloads out")
    orders = all_pages(list_page, MessageListOptions, event_types=[world.order_created])
    check_same_set([message.id for message in orders], world.order_ids, "messages of one event type")
    both = all_pages(list_page, MessageListOptions, event_types=[world.order_created, world.invoice_paid])
    check_equal(len(both), len(world.payloads), "messages of two event types")
    in_channel = all_pages(list_page, MessageListOptions, channel="even")
    check_equal(len(in_channel), MESSAGES // 4, "messages of one channel")

    hour = timedelta(hours=1)
    bounds = {"after": world.stream_started_at - hour, "before": world.stream_started_at + hour}
    check_equal(len(all_pages(list_page, MessageListOptions, **bounds)), len(world.payloads), "messages in the hour")
    naive = {name: value.replace(tzinfo=None) for name, value in bounds.items()}
    check_equal(len(all_pages(list_page, MessageListOptions, **naive)), len(world.payloads), "times without a zone")
    early = all_pages(list_page, MessageListOptions, before=world.stream_started_at - hour)
    check_equal(early, [], "messages before the first")


def one_message_can_be_read(world):
    message_id, event_id = next(iter(world.event_ids.items()))
    for key in (message_id, event_id):
        message = world.sdk.message.get(world.stream_app, key, MessageGetOptions(with_content=True))
        check_equal((message.id, message.event_id), (message_id, event_id), f"message read by {key}")
        check_equal(message.payload, world.payloads[message_id], "payload of one message")


def attempts_page_without_loss(world):
    api, app = world.sdk.message_attempt, world.stream_app
    for endpoint, expected in ((world.every, set(world.payloads)), (world.orders, world.order_ids)):
        list_page = lambda options: api.list_by_endpoint(app, endpoint.id, options)
        # History may be written a moment after the receiver answered.
        read = lambda **filters: all_pages(list_page, MessageAttemptListByEndpointOptions, **filters)
        attempts = eventually(
            lambda: (found := read(with_content=True)) and len(found) >= len(expected) and found,
            f"{len(expected)} attempts in the history of {endpoint.url}",
        )
        check_unique((attempt.id for attempt in attempts), "attempts")
        check_equal(len(attempts), len(expected), "number of attempts")
        check_same_set([attempt.msg_id for attempt in attempts], expected, "messages attempted")
        for attempt in attempts:
            check_equal(attempt.status, models.MessageStatus.SUCCESS, f"status of {attempt.id}")
            check_equal(attempt.status_text, models.MessageStatusText.SUCCESS, f"status text of {attempt.id}")
            check_equal(attempt.response_status_code, 200, f"response status of {attempt.id}")
            check_equal(attempt.response, ANSWER_BODY.decode(), f"response body of {attempt.id}")
            check_equal(attempt.trigger_type, models.MessageAttemptTriggerType.SCHEDULED, f"trigger of {attempt.id}")
            check_equal((attempt.endpoint_id, attempt.url), (endpoint.id, endpoint.url), f"target of {attempt.id}")
        check_equal(read(status=models.MessageStatus.FAIL), [], "failed attempts")
        check_equal(len(read(status_code_class=models.StatusCodeClass.CODE2XX)), len(expected), "2xx attempts")
        orders = read(event_types=[world.order_created])
        check_same_set([attempt.msg_id for attempt in orders], world.order_ids, "attempts of one event type")

        messages = all_pages(
            lambda options: api.list_attempted_messages(app, endpoint.id, options),
            MessageAttemptListAttemptedMessagesOptions,
        )
        check_unique((message.id for message in messages), "attempted messages")
        check_same_set([message.id for message in messages], expected, "attempted messages")
    world.some_attempt = attempts[0]


def attempts_of_one_message_can_be_read(world):
    api, app, seen = world.sdk.message_attempt, world.stream_app, world.some_attempt
    attempt = api.get(app, seen.msg_id, seen.id)
    check_equal((attempt.id, attempt.msg_id, attempt.status), (seen.id, seen.msg_id, seen.status), "one attempt")
    by_msg = all_pages(lambda options: api.list_by_msg(app, seen.msg_id, options), MessageAttemptListByMsgOptions)
    check_equal(
        {attempt.endpoint_id for attempt in by_msg}, {world.every.id, world.orders.id}, "endpoints attempted"
    )
    one = all_pages(
        lambda options: api.list_by_msg(app, seen.msg_id, options),
        MessageAttemptListByMsgOptions,
        endpoint_id=world.orders.id,
    )
    check_equal([attempt.endpoint_id for attempt in one], [world.orders.id], "attempts at one endpoint")
    destinations = all_pages(
        lambda options: api.list_attempted_destinations(app, seen.msg_id, options),
        MessageAttemptListAttemptedDestinationsOptions,
    )
    check_equal({item.id for item in destinations}, {world.every.id, world.orders.id}, "destinations")
    check_that(all(item.status == models.MessageStatus.SUCCESS for item in destinations), "destination status")


def stats_count_deliveries(world):
    def stats():
        return world.sdk.endpoint.get_stats(
            world.stream_app,
            world.orders.id,
            EndpointGetStatsOptions(since=world.stream_started_at - timedelta(hours=1)),
        )

    eventually(lambda: stats().success == len(world.order_ids), f"{len(world.order_ids)} successes in the statistics")
    seen = stats()
    check_equal((seen.pending, seen.sending, seen.fail, seen.canceled), (0, 0, 0, 0), "what did not succeed")


def resend_delivers_the_same_message_again(world):
    message_id = next(iter(world.order_ids))
    world.sdk.message_attempt.resend(world.stream_app, message_id, world.every.id)
    world.every_inbox.wait_for([message_id], times=2)
    first, second = world.every_inbox.of(message_id)[:2]
    check_equal(payload_of(second), payload_of(first), "the payload of a resent message")
    check_that(verifies(second, world.every_inbox.secrets[0]), "a resent message has a bad signature")

    def manual():
        page = world.sdk.message_attempt.list_by_msg(
            world.stream_app, message_id, MessageAttemptListByMsgOptions(endpoint_id=world.every.id)
        )
        return [item for item in page.data if item.trigger_type == models.MessageAttemptTriggerType.MANUAL]

    eventually(manual, "a manually triggered attempt in the history")
    check_equal(world.every_inbox.count(message_id), 2, "deliveries of a message resent once")
    check_equal(world.orders_inbox.count(message_id), 1, "deliveries at the endpoint it was not resent to")


def an_example_can_be_sent(world):
    example = {"hello": "example"}
    schema = {"title": "Example", "type": "object", "properties": {}, "examples": [example]}
    name = f"{world.run}.example"
    world.sdk.event_type.create(models.EventTypeIn(name=name, description="has an example", schemas={"1": schema}))
    sent = world.sdk.endpoint.send_example(world.stream_app, world.orders.id, models.EventExampleIn(event_type=name))
    world.orders_inbox.wait_for([sent.id])
    delivery = world.orders_inbox.of(sent.id)[0]
    check_that(verifies(delivery, world.orders_inbox.secrets[0]), "an example has a bad signature")
    check_that(isinstance(payload_of(delivery), dict), "an example must be a JSON object")
    check_equal(world.every_inbox.count(sent.id), 0, "examples at the endpoint that was not asked for")


def a_raw_payload_arrives_byte_for_byte(world):
    raw = '{ "spaced" :  1.0,\n  "escaped": "\\u20ac" }'
    message = world.sdk.message.create(world.stream_app, message_in_raw(world.order_created, raw))
    world.every_inbox.wait_for([message.id])
    check_equal(world.every_inbox.of(message.id)[0].body, raw.encode(), "a raw payload")


def a_raw_payload_of_another_type_arrives_as_that(world):
    raw = "<order id='1'>\u20ac</order>"
    kind = "application/xml; charset=utf-8"
    message = world.sdk.message.create(world.stream_app, message_in_raw(world.order_created, raw, kind))
    world.every_inbox.wait_for([message.id])
    delivery = world.every_inbox.of(message.id)[0]
    check_equal(delivery.body, raw.encode(), "a raw payload that is no JSON")
    check_equal(delivery.headers["content-type"], kind, "the type of a raw payload")
    check_that(verifies(delivery, world.every_inbox.secrets[0]), "a raw payload has a bad signature")
    unnamed = message_in_raw(world.order_created, raw)
    raises(422, lambda: world.sdk.message.create(world.stream_app, unnamed), "no JSON, and no type")


def tags_filter_lists(world):
    tag = f"{world.run}-tag"
    message_in = models.MessageIn(event_type=world.order_created, payload={}, tags=[tag, "other"])
    message = world.sdk.message.create(world.stream_app, message_in)
    listed = world.sdk.message.list(world.stream_app, MessageListOptions(tag=tag)).data
    check_equal([(item.id, item.tags) for item in listed], [(message.id, [tag, "other"])], "messages with a tag")


def a_time_to_keep_a_payload_is_bounded(world):
    def message_in(**fields):
        return models.MessageIn(event_type=world.order_created, payload={}, **fields)

    world.sdk.message.create(world.stream_app, message_in(payload_retention_period=5))
    world.sdk.message.create(world.stream_app, message_in(payload_retention_hours=1))
    for days in [0, 4, 100]:
        refused = message_in(payload_retention_period=days)
        raises(422, lambda: world.sdk.message.create(world.stream_app, refused), f"{days} days")


def a_signature_in_hex_verifies_with_the_standard_library(world):
    app = world.new_application("hex")
    endpoint, inbox = world.new_endpoint(app.id, f"{world.run}-hex")
    secret = "raw:It's a Secret to Everybody"
    form = {"scheme": "hexBody", "signatureHeader": "X-Hub-Signature-256", "eventTypeHeader": "X-Event"}
    path = f"/app/{app.id}/endpoint/{endpoint.id}"
    world.extended("PATCH", path, {"signatureFormat": form, "secret": secret})
    inbox.secrets[:] = [secret]
    message = world.send(app.id, world.invoice_paid, {"text": "ünïcode €\n"})
    (delivery,) = inbox.wait_for([message.id])
    check_that(verifies(delivery, secret), f"{delivery.message_id}: bad signature in hex")
    check_equal(delivery.headers.get("x-event"), world.invoice_paid, "the header with the type")
    check_that("webhook-signature" not in delivery.headers, "two signatures")


def content_can_be_expunged(world):
    seen = world.some_attempt
    world.sdk.message_attempt.expunge_content(world.stream_app, seen.msg_id, seen.id)
    attempt = world.sdk.message_attempt.get(world.stream_app, seen.msg_id, seen.id)
    check_equal(attempt.response, "EXPUNGED", "an expunged response")
    world.sdk.message.expunge_content(world.stream_app, seen.msg_id)
    message = world.sdk.message.get(world.stream_app, seen.msg_id, MessageGetOptions(with_content=True))
    check_equal(message.payload, {"expired": True}, "an expunged payload")
    resend = lambda: world.sdk.message_attempt.resend(world.stream_app, seen.msg_id, seen.endpoint_id)
    raises(400, resend, "resend of an expunged message")


CHECKS = [
    sending_delivers_each_once,
    deliveries_are_signed_and_whole,
    a_duplicate_event_id_is_409,
    messages_page_without_loss,
    one_message_can_be_read,
    attempts_page_without_loss,
    attempts_of_one_message_can_be_read,
    stats_count_deliveries,
    resend_delivers_the_same_message_again,
    an_example_can_be_sent,
    a_raw_payload_arrives_byte_for_byte,
    a_raw_payload_of_another_type_arrives_as_that,
    a_signature_in_hex_verifies_with_the_standard_library,
    tags_filter_lists,
    a_time_to_keep_a_payload_is_bounded,
    content_can_be_expunged,
]
