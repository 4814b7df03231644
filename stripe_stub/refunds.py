"""Refunds (https://docs.stripe.com/api/refunds): money back to where it came from, whole or in part; it may take
time, or fail.
"""

from stripe_stub import balance, money
from stripe_stub.cards import BY_NUMBER, SETTLES_AFTER
from stripe_stub.errors import Invalid
from stripe_stub.forms import EXPAND, PAGING, Enum, Fields, Int, Map, Range, Str, later, merge_metadata
from stripe_stub.wire import Endpoint, Noun, page
from stripe_stub.world import Obj, World

CREATE = Fields(
    {
        **EXPAND,
        "amount": Int(1, money.MOST),
        "charge": Str(),
        "payment_intent": Str(),
        "reason": Enum(("duplicate", "fraudulent", "requested_by_customer")),
        "metadata": Map(),
        **later("currency", "customer", "instructions_email", "origin", "refund_application_fee", "reverse_transfer"),
    }
)
LIST = Fields({**PAGING, "charge": Str(), "created": Range(), "payment_intent": Str()})


def create(world: World, params: Obj) -> Obj:
    charge = _charge_of(world, params)
    amount = _amount(charge, params)
    means = BY_NUMBER.get(world.private(charge["id"])["means"])
    waits = means is not None and means.refund == "pending"
    refund = {
        "id": world.new_id("re_3", 23),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": world.now(),
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": _destination(charge),
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "pending" if waits else "succeeded",
        "transfer_reversal": None,
    }
    refund["balance_transaction"] = balance.book(world, "refund", -amount, charge["currency"], refund["id"])["id"]
    if waits:
        refund["pending_reason"] = "processing"
    world.add(refund)
    _account(world, charge, amount)
    world.emit("refund.created", refund)
    world.emit("charge.refunded", charge)
    if means is not None and means.refund:
        world.clock.at(world.now() + SETTLES_AFTER, "refund.end", refund["id"], means.refund == "pending")
    return refund


def end(world: World, id: str, succeeded: bool) -> Obj:
    """A refund that takes time arrives, or one that seemed done comes back: then the charge is unrefunded again."""
    refund = world.get("refund", id)
    if refund["status"] == "failed" or (succeeded and refund["status"] == "succeeded"):
        return refund
    before = {"status": refund["status"]}
    refund["status"] = "succeeded" if succeeded else "failed"
    refund.pop("pending_reason", None)
    charge = world.get("charge", refund["charge"])
    if not succeeded:
        back = balance.book(world, "refund_failure", refund["amount"], refund["currency"], id)
        refund |= {"failure_reason": "expired_or_canceled_card", "failure_balance_transaction": back["id"]}
        _account(world, charge, -refund["amount"])
        before |= {"failure_reason": None, "failure_balance_transaction": None}
    world.save(refund)
    if not succeeded:
        world.emit("refund.failed", refund)
    world.emit("refund.updated", refund, before)
    world.emit("charge.refund.updated", refund, before)
    return refund


def retrieve(world: World, params: Obj, id: str) -> Obj:
    return world.get("refund", id)


def update(world: World, params: Obj, id: str) -> Obj:
    refund = world.get("refund", id)
    before = {"metadata": refund["metadata"]}
    refund["metadata"] = merge_metadata(refund["metadata"], params.get("metadata", {}))
    world.save(refund)
    world.emit("refund.updated", refund, before)
    world.emit("charge.refund.updated", refund, before)
    return refund


def cancel(world: World, params: Obj, id: str) -> Obj:
    refund = world.get("refund", id)
    raise Invalid(
        f"This refund cannot be canceled: its status is {refund['status']}, only requires_action can be canceled."
    )


def index(world: World, params: Obj) -> Obj:
    wanted = {name: params[name] for name in ("charge", "payment_intent") if name in params}
    found = [
        refund
        for refund in world.newest_first("refund")
        if all(refund[name] == value for name, value in wanted.items())
    ]
    return page(found, params, "/v1/refunds")


def _charge_of(world: World, params: Obj) -> Obj:
    if "charge" in params and "payment_intent" in params:
        raise Invalid(
            "You may only specify one of these parameters: charge, payment_intent.",
            code="parameters_exclusive",
            param="charge",
            validation=True,
        )
    if "charge" in params:
        return world.get("charge", params["charge"], "charge")
    if "payment_intent" not in params:
        raise Invalid(
            "One of the following params should be provided for this request: payment_intent or charge.",
            code="parameter_missing",
            param="charge",
            validation=True,
        )
    intent = world.get("payment_intent", params["payment_intent"], "payment_intent")
    if intent["status"] != "succeeded":
        raise Invalid(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
            code="payment_intent_unexpected_state",
            param="payment_intent",
        )
    return world.get("charge", intent["latest_charge"])


def _amount(charge: Obj, params: Obj) -> int:
    left: int = charge["amount"] - charge["amount_refunded"]
    if charge["status"] != "succeeded":
        raise Invalid(f"Charge {charge['id']} was not successful, so it cannot be refunded.", param="charge")
    if charge["disputed"]:
        raise Invalid(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    if left == 0:
        raise Invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    amount: int = params.get("amount", left)
    if amount > left:
        word = "unrefunded amount" if charge["amount_refunded"] else "charge amount"
        raise Invalid(
            f"Refund amount ({money.text(amount, charge['currency'])}) is greater than {word} "
            f"on charge ({money.text(left, charge['currency'])})",
            param="amount",
        )
    money.check_step(amount, charge["currency"])
    return amount


def _account(world: World, charge: Obj, amount: int) -> None:
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    world.save(charge)


def _destination(charge: Obj) -> Obj:
    kind = charge["payment_method_details"]["type"]
    if kind != "card":
        transfer = "us_bank_transfer" if kind == "us_bank_account" else "eu_bank_transfer"
        return {"type": transfer, transfer: {"reference": None, "reference_status": "pending"}}
    return {
        "type": "card",
        "card": {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"},
    }


NOUN = Noun(
    (
        Endpoint("POST", "/v1/refunds", create, CREATE),
        Endpoint("GET", "/v1/refunds", index, LIST),
        Endpoint("GET", "/v1/refunds/{id}", retrieve),
        Endpoint("POST", "/v1/refunds/{id}", update, Fields({**EXPAND, "metadata": Map()})),
        Endpoint("POST", "/v1/refunds/{id}/cancel", cancel),
    ),
    {"refund": dict.fromkeys("balance_transaction charge customer failure_balance_transaction payment_intent".split())},
    {"refund.end": end},
)
