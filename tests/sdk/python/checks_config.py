"""Checks of what users configure: applications, event types, endpoints, headers, and of errors.

Nothing here waits for a delivery; that is `checks_messages` and `checks_recovery`.
"""

import base64

from svix import models
from svix.api import (
    ApplicationListOptions,
    EndpointListOptions,
    EventTypeDeleteOptions,
    EventTypeListOptions,
)

from world import all_pages, check_equal, check_same_set, check_that, check_unique, raises


def secret_of(key):
    return "whsec_" + base64.b64encode(key).decode()


def health_answers(world):
    world.sdk.health.get()


def a_wrong_token_is_401(world):
    raises(401, lambda: world.client_with("wrong").application.list(), "list with a wrong token")
    raises(401, lambda: world.client_with("wrong").message.get("a", "m"), "get with a wrong token")


def applications_can_be_managed(world):
    api, uid = world.sdk.application, f"{world.run}-app"
    app = api.create(models.ApplicationIn(name="Uid", uid=uid, metadata={"plan": "gold"}))
    check_equal(app.metadata, {"plan": "gold"}, "metadata after create")
    check_equal(api.get(app.id).id, app.id, "get by id")
    check_equal(api.get(uid).id, app.id, "get by uid")
    check_equal(api.get_or_create(models.ApplicationIn(name="Uid", uid=uid)).id, app.id, "get_or_create")
    raises(409, lambda: api.create(models.ApplicationIn(name="Again", uid=uid)), "create with a taken uid")

    check_equal(world.application_upsert(uid, name="Renamed", uid=uid).name, "Renamed", "upsert of a known uid")
    other_uid = f"{uid}-2"
    other = world.application_upsert(other_uid, name="Other", uid=other_uid)
    check_that(other.id != app.id, "upsert of an unknown uid must create an application")

    patched = api.patch(app.id, models.ApplicationPatch(metadata={"plan": "free"}))
    check_equal(patched.metadata, {"plan": "free"}, "metadata after patch")
    check_equal(patched.name, "Renamed", "name after a patch of the metadata alone")

    api.delete(other.id)
    raises(404, lambda: api.get(other.id), "get of a deleted application")


def applications_page_without_loss(world):
    made = {world.new_application(f"page {n}").id for n in range(9)}
    for order in (models.Ordering.ASCENDING, models.Ordering.DESCENDING):
        ids = [app.id for app in all_pages(world.sdk.application.list, ApplicationListOptions, order=order)]
        check_unique(ids, f"applications, {order}")
        check_that(made <= set(ids), f"applications missing from the {order} list: {made - set(ids)}")


def event_types_can_be_managed(world):
    api = world.sdk.event_type
    for name in (world.order_created, world.invoice_paid):
        made = api.create(models.EventTypeIn(name=name, description="made by a check"))
        check_equal(made.name, name, "name of a new event type")
    raises(
        409,
        lambda: api.create(models.EventTypeIn(name=world.order_created, description="again")),
        "create of a known event type",
    )
    check_equal(api.get(world.order_created).description, "made by a check", "description")
    updated = world.event_type_upsert(world.order_created, description="updated")
    check_equal(updated.description, "updated", "description after upsert")
    patched = api.patch(world.order_created, models.EventTypePatch(description="patched"))
    check_equal(patched.description, "patched", "description after patch")

    more = [f"{world.run}.more.{n}" for n in range(9)]
    for name in more:
        world.event_type_upsert(name, description="made by upsert")
    names = [item.name for item in all_pages(api.list, EventTypeListOptions)]
    check_unique(names, "event types")
    missing = {world.order_created, world.invoice_paid, *more} - set(names)
    check_that(not missing, f"event types missing from the list: {missing}")

    api.delete(more[0])
    names = {item.name for item in all_pages(api.list, EventTypeListOptions)}
    check_that(more[0] not in names, "a deleted (archived) event type is still in the list")
    api.delete(more[1], EventTypeDeleteOptions(expunge=True))
    raises(404, lambda: api.get(more[1]), "get of an expunged event type")


def endpoints_can_be_managed(world):
    api, app = world.sdk.endpoint, world.new_application("endpoints")
    uid, secret = f"{world.run}-endpoint", secret_of(b"a secret of twenty-four b")
    made = api.create(
        app.id,
        world.endpoint_in(
            "http://127.0.0.1:9/none",
            event_types=[world.order_created],
            throttle_rate=50,
            uid=uid,
            description="one",
            metadata={"team": "a"},
            secret=secret,
            headers={"X-One": "1"},
        ),
    )
    for endpoint in (made, api.get(app.id, made.id), api.get(app.id, uid)):
        check_equal(endpoint.id, made.id, "endpoint id")
        check_equal(world.event_types_of(endpoint), [world.order_created], "event types")
        check_equal(world.throttle_rate_of(endpoint), 50, "throttle rate")
        check_equal(endpoint.metadata, {"team": "a"}, "metadata")
        check_equal(bool(endpoint.disabled), False, "disabled")
    check_equal(api.get_secret(app.id, made.id).key, secret, "the secret given at create")
    check_equal(api.get_headers(app.id, made.id).headers, {"X-One": "1"}, "the headers given at create")

    patched = api.patch(app.id, made.id, world.endpoint_patch(description="two", disabled=True))
    check_equal((patched.description, patched.disabled), ("two", True), "patched fields")
    check_equal(patched.url, made.url, "url after a patch of other fields")
    check_equal(world.event_types_of(patched), [world.order_created], "event types after a patch of other fields")
    retyped = api.patch(app.id, made.id, world.endpoint_patch(event_types=[world.invoice_paid]))
    check_equal(world.event_types_of(retyped), [world.invoice_paid], "patched event types")

    put = world.endpoint_upsert(app.id, made.id, "http://127.0.0.1:9/other", description="three", uid=uid)
    check_equal((put.url, put.description), ("http://127.0.0.1:9/other", "three"), "updated fields")
    check_that(not world.event_types_of(put), "an update without event types must leave no filter")
    api.patch(app.id, made.id, world.endpoint_patch(uid=None))
    raises(404, lambda: api.get(app.id, uid), "get by a uid that was cleared with null")

    raises(
        409,
        lambda: [api.create(app.id, world.endpoint_in(made.url, uid="twice")) for _ in range(2)],
        "create with a taken uid",
    )
    api.delete(app.id, made.id)
    raises(404, lambda: api.get(app.id, made.id), "get of a deleted endpoint")


def endpoints_page_without_loss(world):
    app = world.new_application("endpoint pages")
    made = [
        world.sdk.endpoint.create(app.id, world.endpoint_in(f"http://127.0.0.1:9/{n}")).id for n in range(16)
    ]
    list_page = lambda options: world.sdk.endpoint.list(app.id, options)
    for order in (models.Ordering.ASCENDING, models.Ordering.DESCENDING):
        ids = [endpoint.id for endpoint in all_pages(list_page, EndpointListOptions, order=order)]
        check_unique(ids, f"endpoints, {order}")
        check_same_set(ids, made, f"endpoints, {order}")


def endpoint_headers_can_be_managed(world):
    api, app = world.sdk.endpoint, world.new_application("headers")
    endpoint = api.create(app.id, world.endpoint_in("http://127.0.0.1:9/none"))
    check_equal(api.get_headers(app.id, endpoint.id).headers, {}, "headers of a new endpoint")
    world.headers_set(app.id, endpoint.id, {"X-One": "1", "X-Two": "2"})
    check_equal(api.get_headers(app.id, endpoint.id).headers, {"X-One": "1", "X-Two": "2"}, "headers after set")
    change = models.EndpointHeadersPatchIn(headers={"X-Three": "3"}, delete_headers=["X-One"])
    api.patch_headers(app.id, endpoint.id, change)
    check_equal(api.get_headers(app.id, endpoint.id).headers, {"X-Two": "2", "X-Three": "3"}, "headers after patch")
    world.headers_set(app.id, endpoint.id, {"X-Four": "4"})
    check_equal(api.get_headers(app.id, endpoint.id).headers, {"X-Four": "4"}, "set replaces all headers")


def unknown_things_are_404(world):
    sdk, app = world.sdk, world.new_application("unknown")
    endpoint = sdk.endpoint.create(app.id, world.endpoint_in("http://127.0.0.1:9/none"))
    message = world.send(app.id, world.order_created, {"n": 1})
    unknown = {
        "application": lambda: sdk.application.get("app_unknown"),
        "application of a message": lambda: world.send("app_unknown", world.order_created, {}),
        "event type": lambda: sdk.event_type.get(f"{world.run}.unknown"),
        "endpoint": lambda: sdk.endpoint.get(app.id, "ep_unknown"),
        "endpoint to delete": lambda: sdk.endpoint.delete(app.id, "ep_unknown"),
        "endpoint secret": lambda: sdk.endpoint.get_secret(app.id, "ep_unknown"),
        "message": lambda: sdk.message.get(app.id, "msg_unknown"),
        "attempt": lambda: sdk.message_attempt.get(app.id, message.id, "atmpt_unknown"),
        "message to resend": lambda: sdk.message_attempt.resend(app.id, "msg_unknown", endpoint.id),
        "attempts of an endpoint": lambda: sdk.message_attempt.list_by_endpoint(app.id, "ep_unknown"),
    }
    for what, call in unknown.items():
        raises(404, call, f"unknown {what}")


def invalid_requests_are_422(world):
    sdk, app = world.sdk, world.new_application("invalid")
    invalid = {
        "an application without a name": lambda: sdk.application.create(models.ApplicationIn(name="")),
        "an application uid with spaces": lambda: sdk.application.create(models.ApplicationIn(name="n", uid="a b")),
        "an endpoint url that is none": lambda: sdk.endpoint.create(app.id, world.endpoint_in("not a url")),
        "a secret that is too short": lambda: sdk.endpoint.create(
            app.id, world.endpoint_in("http://127.0.0.1:9/none", secret="whsec_short")
        ),
        "an event type with spaces": lambda: world.send(app.id, "no spaces please", {}),
    }
    for what, call in invalid.items():
        error = raises(422, call, what)
        check_that(error.detail, f"{what}: no validation detail")
        for item in error.detail:
            check_that(isinstance(item.loc, list) and item.loc, f"{what}: no field path in {item!r}")
            check_that(item.msg and item.type, f"{what}: no message or type in {item!r}")


CHECKS = [
    health_answers,
    a_wrong_token_is_401,
    applications_can_be_managed,
    applications_page_without_loss,
    event_types_can_be_managed,
    endpoints_can_be_managed,
    endpoints_page_without_loss,
    endpoint_headers_can_be_managed,
    unknown_things_are_404,
    invalid_requests_are_422,
]
