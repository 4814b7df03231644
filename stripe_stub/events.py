"""Events (https://docs.stripe.com/api/events): what happened, newest first, for 30 days; also by whether the webhooks
arrived.
"""

from fnmatch import fnmatchcase

from stripe_stub.errors import Invalid, Missing
from stripe_stub.forms import PAGING, Bool, Fields, List, Range, Str
from stripe_stub.wire import Endpoint, Noun, page
from stripe_stub.world import Obj, World

REACH = 30 * 24 * 3600  # seconds that the API looks back
LIST = Fields({**PAGING, "created": Range(), "delivery_success": Bool(), "type": Str(), "types": List(Str(), 20)})


def retrieve(world: World, params: Obj, id: str) -> Obj:
    event = world.get("event", id)
    if event["created"] < world.now() - REACH:
        raise Missing("event", id)
    return event


def index(world: World, params: Obj) -> Obj:
    if "type" in params and "types" in params:
        raise Invalid(
            "You may only specify one of these parameters: type, types.",
            code="parameters_exclusive",
            param="type",
            validation=True,
        )
    patterns = params.get("types") or [params.get("type", "*")]
    success = params.get("delivery_success")
    oldest = world.now() - REACH
    found = [
        event
        for event in world.newest_first("event")
        if event["created"] >= oldest
        and any(fnmatchcase(event["type"], pattern) for pattern in patterns)
        and success in (None, event["pending_webhooks"] == 0)
    ]
    return page(found, params, "/v1/events")


NOUN = Noun((Endpoint("GET", "/v1/events", index, LIST), Endpoint("GET", "/v1/events/{id}", retrieve)))
