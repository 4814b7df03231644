"""Payment intents (https://docs.stripe.com/payments/paymentintents/lifecycle), as Checkout makes them: one per
session, at the first attempt.
"""

from stripe_stub.cards import Means
from stripe_stub.errors import Invalid
from stripe_stub.forms import EXPAND, PAGING, Fields, Map, Range, Str, later, merge_metadata
from stripe_stub.wire import Endpoint, Noun, page
from stripe_stub.world import Obj, World

UPDATE = Fields(
    {
        **EXPAND,
        "description": Str(1000, unset=True),
        "metadata": Map(),
        **later(
            "allowed_payment_method_types amount amount_details application_fee_amount capture_method currency",
            "customer",
            "customer_account excluded_payment_method_types hooks payment_details payment_method",
            "payment_method_configuration payment_method_data payment_method_options",
            "receipt_email setup_future_usage shipping statement_descriptor statement_descriptor_suffix",
            "transfer_data transfer_group",
        ),
    }
)
LIST = Fields({**PAGING, "created": Range(), "customer": Str(), **later("customer_account")})


def of_session(world: World, session: Obj) -> Obj:
    """The session's intent, made at the first attempt to pay."""
    if session["payment_intent"]:
        return world.get("payment_intent", session["payment_intent"])
    data = world.private(session["id"])["intent_data"]
    id_ = world.new_id("pi_3", 23)
    nothing = (
        "allowed_payment_method_types application application_fee_amount automatic_payment_methods "
        "canceled_at cancellation_reason "
        "customer_account excluded_payment_method_types last_payment_error latest_charge "
        "managed_payments next_action on_behalf_of "
        "payment_method payment_method_configuration_details payment_record processing review "
        "shipping source transfer_data"
    )
    intent: Obj = {
        "id": id_,
        "object": "payment_intent",
        **dict.fromkeys(nothing.split()),
        "amount": session["amount_total"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "capture_method": data.get("capture_method", "automatic_async"),
        "client_secret": f"{id_}_secret_{world.new_id('', 25)}",
        "confirmation_method": "automatic",
        "created": world.now(),
        "currency": session["currency"],
        "customer": session["customer"],
        "description": data.get("description"),
        "livemode": False,
        "metadata": merge_metadata({}, data.get("metadata", {})),
        "payment_method_options": _options(session["payment_method_types"]),
        "payment_method_types": list(session["payment_method_types"]),
        "receipt_email": data.get("receipt_email"),
        "setup_future_usage": data.get("setup_future_usage"),
        "statement_descriptor": data.get("statement_descriptor"),
        "statement_descriptor_suffix": data.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_group": data.get("transfer_group"),
    }
    world.add(intent, {"session": session["id"]})
    session["payment_intent"] = id_
    world.save(session)
    world.emit("payment_intent.created", intent)
    return intent


def require_action(world: World, intent: Obj, challenge_url: str, return_url: str) -> None:
    """The bank wants to see the buyer first."""
    intent["status"] = "requires_action"
    intent["next_action"] = {
        "type": "redirect_to_url",
        "redirect_to_url": {"url": challenge_url, "return_url": return_url},
    }
    world.save(intent)
    world.emit("payment_intent.requires_action", intent)


def fail(world: World, intent: Obj, error: Obj) -> None:
    """This attempt failed; the buyer may try another way."""
    intent |= {
        "status": "requires_payment_method",
        "next_action": None,
        "payment_method": None,
        "last_payment_error": error,
    }
    world.save(intent)
    world.emit("payment_intent.payment_failed", intent)


def process(world: World, intent: Obj, payment_method: str) -> None:
    """A delayed method is on its way."""
    intent |= {
        "status": "processing",
        "payment_method": payment_method,
        "next_action": None,
        "last_payment_error": None,
    }
    world.save(intent)
    world.emit("payment_intent.processing", intent)


def succeed(world: World, intent: Obj, payment_method: str) -> None:
    intent |= {"status": "succeeded", "payment_method": payment_method, "next_action": None, "last_payment_error": None}
    intent["amount_received"] = intent["amount"]
    world.save(intent)
    world.emit("payment_intent.succeeded", intent)


def cancel_abandoned(world: World, id: str) -> None:
    """The session of this intent expired."""
    intent = world.get("payment_intent", id)
    if intent["status"] in ("requires_payment_method", "requires_action"):
        intent |= {
            "status": "canceled",
            "canceled_at": world.now(),
            "cancellation_reason": "expired",
            "next_action": None,
        }
        world.save(intent)
        world.emit("payment_intent.canceled", intent)


def error_of(means: Means, charge: str | None) -> Obj:
    """A failed attempt, as last_payment_error and as an API error."""
    error = {
        "type": "card_error" if not means.delayed else "invalid_request_error",
        "code": means.code,
        "doc_url": f"https://stripe.com/docs/error-codes/{(means.code or '').replace('_', '-')}",
        "message": means.message,
    }
    if means.decline_code:
        error["decline_code"] = means.decline_code
    if charge:
        error["charge"] = charge
    return error


def retrieve(world: World, params: Obj, id: str) -> Obj:
    return world.get("payment_intent", id)


def update(world: World, params: Obj, id: str) -> Obj:
    intent = world.get("payment_intent", id)
    if "description" in params:
        intent["description"] = params["description"] or None
    intent["metadata"] = merge_metadata(intent["metadata"], params.get("metadata", {}))
    return world.save(intent)


def index(world: World, params: Obj) -> Obj:
    customer = params.get("customer")
    found = [intent for intent in world.newest_first("payment_intent") if customer in (None, intent["customer"])]
    return page(found, params, "/v1/payment_intents")


def cancel(world: World, params: Obj, id: str) -> Obj:
    world.get("payment_intent", id)
    raise Invalid(
        "You cannot cancel this PaymentIntent because it was created by a Checkout Session: expire "
        "the Checkout Session instead.",
        code="payment_intent_unexpected_state",
    )


def _options(types: list[str]) -> Obj:
    card = {"installments": None, "mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
    return {kind: card if kind == "card" else {} for kind in types}


NOUN = Noun(
    (
        Endpoint("GET", "/v1/payment_intents", index, LIST),
        Endpoint("GET", "/v1/payment_intents/{id}", retrieve),
        Endpoint("POST", "/v1/payment_intents/{id}", update, UPDATE),
        Endpoint("POST", "/v1/payment_intents/{id}/cancel", cancel, Fields({**EXPAND, "cancellation_reason": Str()})),
    ),
    {"payment_intent": dict.fromkeys(("customer", "latest_charge", "review", "on_behalf_of", "application"))},
)
