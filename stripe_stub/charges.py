"""Charges (https://docs.stripe.com/api/charges): one attempt to move money, with the receipt page it leaves behind."""

import hashlib

from stripe_stub import balance
from stripe_stub.cards import Means
from stripe_stub.forms import EXPAND, PAGING, Email, Fields, Map, Range, Str, later, merge_metadata
from stripe_stub.wire import Endpoint, Noun, page
from stripe_stub.world import Obj, World

UPDATE = Fields(
    {
        **EXPAND,
        "description": Str(unset=True),
        "metadata": Map(),
        "receipt_email": Email(unset=True),
        **later("customer", "fraud_details", "shipping", "transfer_group"),
    }
)
LIST = Fields({**PAGING, "created": Range(), "customer": Str(), "payment_intent": Str(), **later("transfer_group")})


def attempt(world: World, intent: Obj, means: Means, details: Obj, status: str) -> Obj:
    """A charge in the state succeeded, pending or failed, told to the world."""
    id_ = world.new_id("py_3" if means.delayed else "ch_3", 23)
    failed = status == "failed"
    nothing = (
        "application application_fee application_fee_amount balance_transaction "
        "failure_balance_transaction failure_code "
        "failure_message on_behalf_of receipt_number review shipping source source_transfer transfer_data"
    )
    charge: Obj = {
        "id": id_,
        "object": "charge",
        **dict.fromkeys(nothing.split()),
        "amount": intent["amount"],
        "amount_captured": 0 if failed else intent["amount"],
        "amount_refunded": 0,
        "billing_details": {"address": _address(), "phone": None, "tax_id": None, **details},
        "calculated_statement_descriptor": "LOCAL STRIPE",
        "captured": not failed,
        "created": world.now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "outcome": _outcome(means, failed),
        "paid": not failed,
        "payment_intent": intent["id"],
        "payment_method": world.new_id("pm_1", 23),
        "payment_method_details": _method_details(world, intent["amount"], means, failed),
        "receipt_email": intent["receipt_email"],
        "receipt_url": None if failed else f"{world.base_url}/receipts/{id_}",
        "refunded": False,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": status,
        "transfer_group": intent["transfer_group"],
    }
    if failed:
        charge |= {"failure_code": means.code, "failure_message": means.message}
    world.add(charge, {"means": means.number})
    intent["latest_charge"] = id_
    world.save(intent)
    world.emit(f"charge.{status}", charge)
    return charge


def settle(world: World, charge: Obj, means: Means, *, paid: bool) -> None:
    """A pending charge ends."""
    charge["status"] = "succeeded" if paid else "failed"
    if not paid:
        charge |= {"paid": False, "failure_code": means.code, "failure_message": means.message}
        charge["outcome"] = _outcome(means, failed=True)
    world.save(charge)
    world.emit(f"charge.{charge['status']}", charge)


def book(world: World, charge: Obj) -> None:
    """The money reaches the balance: Stripe tells that in an event of its own, after the payment."""
    transaction = balance.book(world, "charge", charge["amount"], charge["currency"], charge["id"], fee=True)
    charge["balance_transaction"] = transaction["id"]
    world.save(charge)
    world.emit("charge.updated", charge, {"balance_transaction": None})


def retrieve(world: World, params: Obj, id: str) -> Obj:
    return world.get("charge", id)


def update(world: World, params: Obj, id: str) -> Obj:
    charge = world.get("charge", id)
    before = {name: charge[name] for name in params}
    for name in ("description", "receipt_email"):
        if name in params:
            charge[name] = params[name] or None
    charge["metadata"] = merge_metadata(charge["metadata"], params.get("metadata", {}))
    world.save(charge)
    world.emit("charge.updated", charge, before)
    return charge


def index(world: World, params: Obj) -> Obj:
    wanted = {name: params[name] for name in ("customer", "payment_intent") if name in params}
    found = [
        charge
        for charge in world.newest_first("charge")
        if all(charge[name] == value for name, value in wanted.items())
    ]
    return page(found, params, "/v1/charges")


def _address() -> Obj:
    return dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def _outcome(means: Means, failed: bool) -> Obj:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if failed else "approved_by_network",
        "reason": means.decline_code if failed else None,
        "risk_level": "normal" if not means.delayed else "not_assessed",
        "seller_message": "The bank did not return any further details with this decline."
        if failed
        else "Payment complete.",
        "type": "issuer_declined" if failed else "authorized",
    }


def _method_details(world: World, amount: int, means: Means, failed: bool) -> Obj:
    fingerprint = hashlib.blake2b(means.number.encode(), digest_size=8).hexdigest()
    if means.kind == "us_bank_account":
        account: Obj = {
            "account_holder_type": "individual",
            "account_type": "checking",
            "bank_name": "STRIPE TEST BANK",
        }
        account |= {
            "fingerprint": fingerprint,
            "last4": means.last4,
            "payment_reference": None,
            "routing_number": "110000000",
        }
        return {"type": means.kind, means.kind: account}
    if means.kind == "sepa_debit":
        iban: Obj = {
            "bank_code": means.number[4:12],
            "branch_code": None,
            "country": means.number[:2],
            "fingerprint": fingerprint,
        }
        return {"type": means.kind, means.kind: {**iban, "last4": means.last4, "mandate": None}}
    card = {
        "amount_authorized": None if failed else amount,
        "authorization_code": None if failed else world.new_id("", 6).upper(),
        "brand": means.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": means.cvc_check},
        "country": "US",
        "electronic_commerce_indicator": None,
        "exp_month": 12,
        "exp_year": 2034,
        "extended_authorization": {"status": "disabled"},
        "fingerprint": fingerprint,
        "funding": "credit",
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": means.last4,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": means.brand,
        "network_token": {"used": False},
        "network_transaction_id": None if failed else world.new_id("", 15),
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": _three_d_secure() if means.challenge else None,
        "transaction_link_id": None,
        "wallet": None,
    }
    return {"type": "card", "card": card}


def _three_d_secure() -> Obj:
    return {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": "00000000-0000-0000-0000-000000000000",
        "version": "2.2.0",
    }


def _refunds_of(world: World, charge: Obj) -> Obj:
    found = [refund for refund in world.newest_first("refund") if refund["charge"] == charge["id"]]
    return page(found, {}, f"/v1/charges/{charge['id']}/refunds")


NOUN = Noun(
    (
        Endpoint("GET", "/v1/charges", index, LIST),
        Endpoint("GET", "/v1/charges/{id}", retrieve),
        Endpoint("POST", "/v1/charges/{id}", update, UPDATE),
    ),
    {
        "charge": {
            "refunds": _refunds_of,
            **dict.fromkeys("balance_transaction customer failure_balance_transaction payment_intent review".split()),
        }
    },
)
