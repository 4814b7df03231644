"""Customers (https://docs.stripe.com/api/customers): made by the API, or by a Checkout Session that asks for one."""

from stripe_stub.forms import EXPAND, PAGING, Email, Enum, Fields, List, Map, Range, Spec, Str, later, merge_metadata
from stripe_stub.wire import Endpoint, Noun, page
from stripe_stub.world import Obj, World

ADDRESS = Fields({name: Str(unset=True) for name in ("city", "country", "line1", "line2", "postal_code", "state")})
FIELDS: dict[str, Spec] = {
    **EXPAND,
    "address": ADDRESS,
    "description": Str(unset=True),
    "email": Email(unset=True),
    "metadata": Map(),
    "name": Str(256, unset=True),
    "phone": Str(20, unset=True),
    "preferred_locales": List(Str(10)),
    "tax_exempt": Enum(("none", "exempt", "reverse")),
    **later("balance business_name cash_balance individual_name invoice_prefix invoice_settings"),
    **later("next_invoice_sequence shipping source tax validate"),
}
CREATE = Fields({**FIELDS, **later("payment_method tax_id_data test_clock")})
UPDATE = Fields({**FIELDS, **later("default_source")})
LIST = Fields({**PAGING, "created": Range(), "email": Str(), **later("test_clock")})


def create(world: World, params: Obj) -> Obj:
    customer: Obj = {
        "id": world.new_id("cus_", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": world.now(),
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": world.new_id("", 8).upper(),
        "invoice_settings": dict.fromkeys(("custom_fields", "default_payment_method", "footer", "rendering_options")),
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    world.add(_write(customer, params))
    world.emit("customer.created", customer)
    return customer


def retrieve(world: World, params: Obj, id: str) -> Obj:
    return world.get("customer", id)


def update(world: World, params: Obj, id: str) -> Obj:
    customer = world.get("customer", id)
    before = dict(customer)
    world.save(_write(customer, params))
    changed = {name: value for name, value in before.items() if customer[name] != value}
    if changed:
        world.emit("customer.updated", customer, changed)
    return customer


def delete(world: World, params: Obj, id: str) -> Obj:
    customer = world.get("customer", id)
    world.store.drop("customer", id)
    world.emit("customer.deleted", customer)
    return {"id": id, "object": "customer", "deleted": True}


def index(world: World, params: Obj) -> Obj:
    email = params.get("email")
    found = [customer for customer in world.newest_first("customer") if email in (None, customer["email"])]
    return page(found, params, "/v1/customers")


def of_checkout(world: World, details: Obj) -> Obj:
    """The customer that a finished Checkout Session makes of what its buyer typed."""
    return create(world, {name: details[name] for name in ("email", "name") if details[name]})


def _write(customer: Obj, params: Obj) -> Obj:
    for name, value in params.items():
        if name == "metadata":
            customer[name] = merge_metadata(customer[name], value)
        elif name == "address":
            old = customer[name] or dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
            customer[name] = {**old, **{part: text or None for part, text in value.items()}}
        else:
            customer[name] = None if value == "" else value
    return customer


NOUN = Noun(
    (
        Endpoint("POST", "/v1/customers", create, CREATE),
        Endpoint("GET", "/v1/customers", index, LIST),
        Endpoint("GET", "/v1/customers/{id}", retrieve),
        Endpoint("POST", "/v1/customers/{id}", update, UPDATE),
        Endpoint("DELETE", "/v1/customers/{id}", delete),
    ),
    {"customer": {"default_source": None, "test_clock": None}},
)
