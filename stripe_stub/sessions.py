"""Checkout Sessions, mode payment (https://docs.stripe.com/api/checkout/sessions): open, then complete or expired."""

from stripe_stub import intents, line_items, money
from stripe_stub.errors import Invalid, unsupported
from stripe_stub.forms import PAGING, Fields, merge_metadata
from stripe_stub.session_forms import CREATE, LIST, UPDATE
from stripe_stub.wire import Endpoint, Noun, page
from stripe_stub.world import Obj, World

DEFAULT_LIFE = 24 * 3600  # seconds; also the longest
SHORTEST_LIFE = 30 * 60  # seconds
EXPIRY_SLACK = 60  # seconds that a caller's clock may be off when it asks for the shortest or longest life
DELAYED_METHOD = {"usd": "us_bank_account", "eur": "sepa_debit"}
ECHOED = (
    "allow_promotion_codes allowed_payment_method_types billing_address_collection cancel_url client_reference_id "
    "customer customer_email locale origin_context submit_type success_url"
).split()
MARK = "{CHECKOUT_SESSION_ID}"


def create(world: World, params: Obj) -> Obj:
    if "customer" in params and "customer_email" in params:
        raise Invalid(
            "You may only specify one of these parameters: customer, customer_email.",
            code="parameters_exclusive",
            param="customer",
            validation=True,
        )
    if "customer" in params:
        world.get("customer", params["customer"], "customer")
    id_ = world.new_id("cs_test_a1", 56)
    items = [line_items.create(world, item, f"line_items[{i}]") for i, item in enumerate(params["line_items"])]
    currency = items[0]["currency"]
    total = sum(item["amount_total"] for item in items)
    _check_amount(items, currency, total)
    methods = _methods(currency, params)
    session = {**_blank(), "id": id_, "created": world.now(), "currency": currency, "payment_method_types": methods}
    session |= {"amount_subtotal": total, "amount_total": total, "expires_at": _expiry(world, params)}
    session |= {"url": f"{world.base_url}/c/pay/{id_}", "metadata": merge_metadata({}, params.get("metadata", {}))}
    session |= {name: params[name] for name in ECHOED if name in params}
    session["adaptive_pricing"] = {"enabled": params.get("adaptive_pricing", {}).get("enabled", True)}
    session["customer_creation"] = None if "customer" in params else params.get("customer_creation", "if_required")
    session["phone_number_collection"] = params.get("phone_number_collection", {"enabled": False})
    session["payment_status"] = "unpaid"
    timer = world.clock.at(session["expires_at"], "session.expire", id_)
    data = {**params.get("payment_intent_data", {})}
    return world.add(session, {"line_items": items, "intent_data": data, "timer": timer})


def retrieve(world: World, params: Obj, id: str) -> Obj:
    return world.get("checkout.session", id)


def update(world: World, params: Obj, id: str) -> Obj:
    session = world.get("checkout.session", id)
    session["metadata"] = merge_metadata(session["metadata"], params.get("metadata", {}))
    return world.save(session)


def index(world: World, params: Obj) -> Obj:
    wanted = {name: params[name] for name in ("customer", "payment_intent", "status") if name in params}
    email = params.get("customer_details", {}).get("email")
    found = [
        session
        for session in world.newest_first("checkout.session")
        if all(session[name] == value for name, value in wanted.items())
        and (email is None or (session["customer_details"] or {}).get("email") == email)
    ]
    return page(found, params, "/v1/checkout/sessions")


def items_of(world: World, params: Obj, id: str) -> Obj:
    world.get("checkout.session", id)
    return page(world.private(id)["line_items"], params, f"/v1/checkout/sessions/{id}/line_items")


def expire(world: World, params: Obj, id: str) -> Obj:
    session = world.get("checkout.session", id)
    if session["status"] != "open":
        raise Invalid(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session '
            f"has a status of `{session['status']}`."
        )
    return close(world, id)


def close(world: World, id: str) -> Obj:
    """The page closes without a payment. The payment intent of a declined attempt is canceled with it."""
    session = world.get("checkout.session", id)
    if session["status"] != "open":
        return session
    session |= {"status": "expired", "url": None}
    world.clock.cancel(world.private(id)["timer"])
    world.save(session)
    if session["payment_intent"]:
        intents.cancel_abandoned(world, session["payment_intent"])
    world.emit("checkout.session.expired", session)
    return session


def complete(world: World, session: Obj, *, paid: bool, customer_details: Obj) -> Obj:
    """The buyer is done; with a delayed method the money is not."""
    session |= {"status": "complete", "payment_status": "paid" if paid else "unpaid", "url": None}
    session["customer_details"] = customer_details
    world.clock.cancel(world.private(session["id"])["timer"])
    world.save(session)
    world.emit("checkout.session.completed", session)
    return session


def success_url(session: Obj) -> str | None:
    """Where the browser goes after paying."""
    url: str | None = session["success_url"]
    return url.replace(MARK, session["id"]) if url else None


def settle(world: World, session: Obj, *, paid: bool) -> None:
    """A delayed method has ended."""
    session["payment_status"] = "paid" if paid else "unpaid"
    world.save(session)
    world.emit(f"checkout.session.async_payment_{'succeeded' if paid else 'failed'}", session)


def _check_amount(items: list[Obj], currency: str, total: int) -> None:
    for number, item in enumerate(items):
        if item["currency"] != currency:
            raise Invalid(
                "All line items of a Checkout Session must use the same currency.",
                param=f"line_items[{number}][price_data]",
            )
    if total == 0:
        raise unsupported("a total of 0")
    money.check_step(total, currency)
    least = money.LEAST.get(currency, 50)
    if total < least:
        raise Invalid(
            f"The Checkout Session's total amount due must add up to at least {money.text(least, currency)}",
            code="amount_too_small",
        )
    if total > money.MOST:
        raise Invalid(
            f"The Checkout Session's total amount must be no more than {money.text(money.MOST, currency)}",
            code="amount_too_large",
        )


def _methods(currency: str, params: Obj) -> list[str]:
    """What the page offers: cards, and the delayed method of the currency; the parameter only takes away from that."""
    offered = ["card", *filter(None, [DELAYED_METHOD.get(currency)])]
    allowed = params.get("allowed_payment_method_types", offered)
    left = [method for method in offered if method in allowed]
    if not left:
        raise Invalid(
            f"None of the allowed payment method types can be used with the currency {currency} here.",
            param="allowed_payment_method_types",
        )
    return left


def _expiry(world: World, params: Obj) -> int:
    now = world.now()
    expires_at: int = params.get("expires_at", now + DEFAULT_LIFE)
    if not now + SHORTEST_LIFE - EXPIRY_SLACK <= expires_at <= now + DEFAULT_LIFE + EXPIRY_SLACK:
        bound = "at least 30 minutes" if expires_at < now + SHORTEST_LIFE else "less than 24 hours"
        raise Invalid(f"The `expires_at` timestamp must be {bound} from Checkout Session creation.", param="expires_at")
    return expires_at


def _blank() -> Obj:
    """Every key that Stripe always sends, as it stands on a new session."""
    nothing = (
        "after_expiration allow_promotion_codes allowed_payment_method_types billing_address_collection cancel_url "
        "client_reference_id client_secret collected_information consent consent_collection "
        "currency_conversion customer "
        "customer_account customer_details customer_email discounts integration_identifier invoice "
        "locale payment_intent "
        "payment_link permissions recovered_from saved_payment_method_options setup_intent shipping_address_collection "
        "shipping_cost submit_type subscription success_url"
    )
    custom = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
    invoice = ("account_tax_ids", "custom_fields", "description", "footer", "issuer", "rendering_options")
    return {
        "id": "",
        "object": "checkout.session",
        **dict.fromkeys(nothing.split()),
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "custom_fields": [],
        "custom_text": dict.fromkeys(custom),
        "invoice_creation": {"enabled": False, "invoice_data": {**dict.fromkeys(invoice), "metadata": {}}},
        "livemode": False,
        "managed_payments": {"enabled": False},
        "mode": "payment",
        "origin_context": None,
        "payment_method_collection": "if_required",
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "shipping_options": [],
        "status": "open",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "wallet_options": None,
    }


def _items_of(world: World, session: Obj) -> Obj:
    return items_of(world, {}, session["id"])


BASE = "/v1/checkout/sessions"
NOUN = Noun(
    (
        Endpoint("POST", BASE, create, CREATE),
        Endpoint("GET", BASE, index, LIST),
        Endpoint("GET", BASE + "/{id}", retrieve),
        Endpoint("POST", BASE + "/{id}", update, UPDATE),
        Endpoint("GET", BASE + "/{id}/line_items", items_of, Fields(PAGING)),
        Endpoint("POST", BASE + "/{id}/expire", expire),
    ),
    {
        "checkout.session": {
            "line_items": _items_of,
            **dict.fromkeys(("customer", "payment_intent", "setup_intent", "invoice", "subscription", "payment_link")),
        },
    },
    {"session.expire": close},
)
