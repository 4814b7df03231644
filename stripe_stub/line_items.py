"""The lines of a Checkout Session: a quantity of a product at a price that was given inline."""

from stripe_stub import money
from stripe_stub.errors import Invalid
from stripe_stub.wire import Noun
from stripe_stub.world import Obj, World


def _needed(group: Obj, name: str, param: str) -> None:
    if name not in group:
        full = f"{param}[{name}]"
        raise Invalid(f"Missing required param: {full}.", code="parameter_missing", param=full, validation=True)


def create(world: World, item: Obj, param: str) -> Obj:
    if "price" in item:
        raise Invalid(f"No such price: '{item['price']}'", code="resource_missing", param=f"{param}[price]")
    data = item.get("price_data")
    if data is None:
        raise Invalid(
            "You must specify either `price` or `price_data` for each line item.",
            code="parameter_missing",
            param=f"{param}[price]",
            validation=True,
        )
    _needed(data, "product_data", f"{param}[price_data]")
    _needed(data, "unit_amount", f"{param}[price_data]")
    _needed(item, "quantity", param)
    currency = data["currency"].lower()
    if currency not in money.KNOWN:
        raise Invalid(f"Invalid currency: {data['currency']}.", param=f"{param}[price_data][currency]", validation=True)
    amount = data["unit_amount"] * item["quantity"]
    return {
        "id": world.new_id("li_1", 23),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": currency,
        "description": data["product_data"]["name"],
        "metadata": item.get("metadata") or {},
        "price": _price_of(world, data, currency),
        "quantity": item["quantity"],
    }


def _price_of(world: World, data: Obj, currency: str) -> Obj:
    """The price that Stripe makes of inline price_data: for this session only, so it is not active."""
    return {
        "id": world.new_id("price_1", 23),
        "object": "price",
        "active": False,
        "billing_scheme": "per_unit",
        "created": world.now(),
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": _product(world, data["product_data"])["id"],
        "recurring": None,
        "tax_behavior": data.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "one_time",
        "unit_amount": data["unit_amount"],
        "unit_amount_decimal": str(data["unit_amount"]),
    }


def _product(world: World, data: Obj) -> Obj:
    product = {
        "id": world.new_id("prod_", 14),
        "object": "product",
        "active": False,
        "created": world.now(),
        "default_price": None,
        "description": data.get("description"),
        "images": data.get("images", []),
        "livemode": False,
        "marketing_features": [],
        "metadata": data.get("metadata") or {},
        "name": data["name"],
        "package_dimensions": None,
        "shippable": None,
        "tax_code": data.get("tax_code"),
        "tax_details": None,
        "type": "service",
        "unit_label": data.get("unit_label"),
        "updated": world.now(),
        "url": None,
    }
    return world.add(product)


NOUN = Noun((), {"item": {}, "price": {"product": None}})
