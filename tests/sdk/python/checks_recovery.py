"""Checks of what happens when deliveries fail or keys change: retry, rotation, recovery, replay.

Each check makes an application of its own, so that one failure does not spoil the next. The last
check holds every delivery of the whole run against the secrets of its endpoint.
"""

import base64
from datetime import datetime, timedelta, timezone

from svix import models
from svix.api import MessageAttemptListByEndpointOptions

from world import Skipped, check_equal, check_that, check_unique, eventually, optional, verifies


def attempts_at(world, app, endpoint, **filters):
    options = MessageAttemptListByEndpointOptions(limit=50, **filters)
    return world.sdk.message_attempt.list_by_endpoint(app.id, endpoint.id, options).data


def task_ends(world, answer, task_type):
    """The answer of a recovery names its task, which ends as `finished` where tasks are served."""
    check_that(answer.id, "the answer has no task id")
    check_equal(answer.task, task_type, "task type")
    check_that(answer.status in list(models.BackgroundTaskStatus), f"task status {answer.status!r}")
    finished = models.BackgroundTaskStatus.FINISHED
    try:
        eventually(
            lambda: optional(lambda: world.sdk.background_task.get(answer.id)).status == finished,
            f"task {answer.id} finished",
        )
    except Skipped:
        pass


def a_failed_delivery_is_retried(world):
    app = world.new_application("retry")
    endpoint, inbox = world.new_endpoint(app.id, f"{world.run}-retry")
    inbox.answer_with.append(500)
    message = world.send(app.id, world.order_created, {"retry": True})
    inbox.wait_for([message.id], times=2)
    eventually(lambda: len(attempts_at(world, app, endpoint)) == 2, "two attempts in the history")
    failed = attempts_at(world, app, endpoint, status=models.MessageStatus.FAIL)
    check_equal([attempt.response_status_code for attempt in failed], [500], "failed attempts")
    by_class = attempts_at(world, app, endpoint, status_code_class=models.StatusCodeClass.CODE5XX)
    check_equal([attempt.id for attempt in by_class], [failed[0].id], "attempts answered with 5xx")
    good = attempts_at(world, app, endpoint, status=models.MessageStatus.SUCCESS)
    check_equal([attempt.response_status_code for attempt in good], [200], "successful attempts")


def both_secrets_sign_during_the_grace_period(world):
    app = world.new_application("rotation")
    endpoint, inbox = world.new_endpoint(app.id, f"{world.run}-rotation")
    old = inbox.secrets[0]
    before = world.send(app.id, world.order_created, {"phase": "before"})
    inbox.wait_for([before.id])
    check_that(verifies(inbox.of(before.id)[0], old), "before rotation: the secret does not verify")

    new = world.rotate(app.id, endpoint.id, grace_period_seconds=600)
    inbox.secrets.append(new)
    check_that(new != old, "the rotation kept the secret")
    during = world.send(app.id, world.order_created, {"phase": "during"})
    inbox.wait_for([during.id])
    delivery = inbox.of(during.id)[0]
    check_that(verifies(delivery, old), "during the grace period: the old secret does not verify")
    check_that(verifies(delivery, new), "during the grace period: the new secret does not verify")
    check_that(not verifies(inbox.of(before.id)[0], new), "the new secret verifies an earlier delivery")


def the_old_secret_ends_with_its_grace_period(world):
    app = world.new_application("rotation end")
    endpoint, inbox = world.new_endpoint(app.id, f"{world.run}-rotation-end")
    old, chosen = inbox.secrets[0], "whsec_" + base64.b64encode(b"chosen by the test itself").decode()
    new = world.rotate(app.id, endpoint.id, key=chosen, grace_period_seconds=1)
    check_equal(new, chosen, "the secret given to the rotation")
    inbox.secrets.append(new)

    def old_is_gone():
        message = world.send(app.id, world.order_created, {"phase": "after"})
        inbox.wait_for([message.id])
        delivery = inbox.of(message.id)[0]
        check_that(verifies(delivery, new), "after rotation: the new secret does not verify")
        return not verifies(delivery, old)

    eventually(old_is_gone, "a delivery without the old secret's signature")


def recover_sends_failed_messages_again(world):
    """410 fails a delivery for good and disables the endpoint; recovery brings each back once."""
    app, started_at = world.new_application("recover"), datetime.now(timezone.utc)
    endpoint, inbox = world.new_endpoint(app.id, f"{world.run}-recover")
    read = lambda: world.sdk.endpoint.get(app.id, endpoint.id)
    inbox.answer_default = 410
    failed = []
    for n in range(3):
        failed.append(world.send(app.id, world.order_created, {"n": n}).id)
        inbox.wait_for(failed[-1:])
        eventually(lambda: read().disabled, "the endpoint disabled after a 410")
        enabled = world.sdk.endpoint.patch(app.id, endpoint.id, world.endpoint_patch(disabled=False))
        check_equal(bool(enabled.disabled), False, "disabled after the patch")

    inbox.answer_default = 200
    since = started_at - timedelta(minutes=1)
    answer = world.sdk.endpoint.recover(app.id, endpoint.id, models.RecoverIn(since=since))
    inbox.wait_for(failed, times=2)
    task_ends(world, answer, models.BackgroundTaskType.ENDPOINT_RECOVER)
    for message_id in failed:
        check_equal(inbox.count(message_id), 2, f"deliveries of {message_id} failed once and recovered once")


def replay_missing_sends_what_was_never_sent(world):
    app, started_at = world.new_application("missing"), datetime.now(timezone.utc)
    endpoint, inbox = world.new_endpoint(app.id, f"{world.run}-missing", disabled=True)
    missed = [world.send(app.id, world.order_created, {"n": n}).id for n in range(5)]
    world.sdk.endpoint.patch(app.id, endpoint.id, world.endpoint_patch(disabled=False))
    live = world.send(app.id, world.order_created, {"live": True}).id
    inbox.wait_for([live])
    # Arrived is not yet settled: wait for the history, or the live one may count as missing.
    eventually(lambda: attempts_at(world, app, endpoint), "the live delivery in the history")
    for message_id in missed:
        check_equal(inbox.count(message_id), 0, "deliveries of a message sent while the endpoint was disabled")
    since = models.ReplayIn(since=started_at - timedelta(minutes=1))
    answer = optional(lambda: world.sdk.endpoint.replay_missing(app.id, endpoint.id, since))
    inbox.wait_for(missed)
    task_ends(world, answer, models.BackgroundTaskType.ENDPOINT_REPLAY)
    check_equal(inbox.count(live), 1, "deliveries of the message that was not missing")


def bulk_replay_sends_everything_again(world):
    app, started_at = world.new_application("bulk"), datetime.now(timezone.utc)
    endpoint, inbox = world.new_endpoint(app.id, f"{world.run}-bulk")
    sent = [world.send(app.id, world.order_created, {"n": n}).id for n in range(20)]
    inbox.wait_for(sent)
    # Arrived is not yet settled, and only what is settled can be replayed.
    eventually(lambda: len(attempts_at(world, app, endpoint)) >= len(sent), "all first attempts in the history")
    since = models.BulkReplayIn(since=started_at - timedelta(minutes=1))
    answer = optional(lambda: world.sdk.endpoint.bulk_replay(app.id, endpoint.id, since))
    inbox.wait_for(sent, times=2)
    task_ends(world, answer, models.BackgroundTaskType.ENDPOINT_BULK_REPLAY)
    for message_id in sent:
        check_equal(inbox.count(message_id), 2, f"deliveries of {message_id}, replayed once")


def every_delivery_of_the_run_verifies(world):
    """The tripwire: nothing unsigned, unnamed, late or at an unknown path in the whole run."""
    check_equal(world.receiver.strays, [], "requests to paths that belong to no endpoint")
    total = 0
    for inbox in world.receiver.inboxes.values():
        for delivery in inbox.snapshot():
            total += 1
            check_that(delivery.message_id, f"a delivery at {inbox.name} has no webhook-id")
            check_that(
                any(verifies(delivery, secret) for secret in inbox.secrets),
                f"{delivery.message_id} at {inbox.name} verifies with none of its endpoint's secrets",
            )
    at_orders = [delivery.message_id for delivery in world.orders_inbox.snapshot()]
    check_unique(at_orders, "deliveries where nothing was resent")
    check_that(total > 100, f"only {total} deliveries in the whole run")


CHECKS = [
    a_failed_delivery_is_retried,
    both_secrets_sign_during_the_grace_period,
    the_old_secret_ends_with_its_grace_period,
    recover_sends_failed_messages_again,
    replay_missing_sends_what_was_never_sent,
    bulk_replay_sends_everything_again,
    every_delivery_of_the_run_verifies,
]
