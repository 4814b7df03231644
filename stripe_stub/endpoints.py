"""Webhook endpoints (https://docs.stripe.com/api/webhook_endpoints): where events go, which ones, and the secret that
signs them.
"""

from stripe_stub.errors import Invalid
from stripe_stub.forms import EXPAND, PAGING, Bool, Fields, List, Map, Str, Url, later, merge_metadata
from stripe_stub.wire import Endpoint, Noun, page
from stripe_stub.world import Obj, World

FIELDS = {
    **EXPAND,
    "description": Str(unset=True),
    "enabled_events": List(Str(), 500, 1),
    "metadata": Map(),
    "url": Url(),
}
CREATE = Fields({**FIELDS, "api_version": Str(), **later("connect")}, need=("enabled_events", "url"))
UPDATE = Fields({**FIELDS, "disabled": Bool()})


def create(world: World, params: Obj, secret: str | None = None) -> Obj:
    """The answer is the only one that shows the secret."""
    _check(params)
    endpoint = {
        "id": world.new_id("we_1", 23),
        "object": "webhook_endpoint",
        "api_version": params.get("api_version"),
        "application": None,
        "created": world.now(),
        "description": params.get("description") or None,
        "enabled_events": params["enabled_events"],
        "livemode": False,
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "status": "enabled",
        "url": params["url"],
    }
    secret = secret or world.new_id("whsec_", 32)
    world.add(endpoint, {"secret": secret})
    return {**endpoint, "secret": secret}


def retrieve(world: World, params: Obj, id: str) -> Obj:
    return world.get("webhook_endpoint", id)


def update(world: World, params: Obj, id: str) -> Obj:
    endpoint = world.get("webhook_endpoint", id)
    _check({**endpoint, **params})
    endpoint |= {name: params[name] for name in ("url", "enabled_events") if name in params}
    if "description" in params:
        endpoint["description"] = params["description"] or None
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    endpoint["metadata"] = merge_metadata(endpoint["metadata"], params.get("metadata", {}))
    return world.save(endpoint)


def delete(world: World, params: Obj, id: str) -> Obj:
    world.get("webhook_endpoint", id)
    world.store.drop("webhook_endpoint", id)
    return {"id": id, "object": "webhook_endpoint", "deleted": True}


def index(world: World, params: Obj) -> Obj:
    return page(list(world.newest_first("webhook_endpoint")), params, "/v1/webhook_endpoints")


def _check(params: Obj) -> None:
    for number, event in enumerate(params["enabled_events"]):
        if event != "*" and ("." not in event or "*" in event):
            raise Invalid(
                f"Invalid enabled_events[{number}]: {event}", param=f"enabled_events[{number}]", validation=True
            )


NOUN = Noun(
    (
        Endpoint("POST", "/v1/webhook_endpoints", create, CREATE),
        Endpoint("GET", "/v1/webhook_endpoints", index, Fields(PAGING)),
        Endpoint("GET", "/v1/webhook_endpoints/{id}", retrieve),
        Endpoint("POST", "/v1/webhook_endpoints/{id}", update, UPDATE),
        Endpoint("DELETE", "/v1/webhook_endpoints/{id}", delete),
    )
)
