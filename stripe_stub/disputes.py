"""Disputes (https://docs.stripe.com/disputes): the buyer's bank takes the money back; evidence or giving up closes
it.
"""

from stripe_stub import balance, money
from stripe_stub.errors import Invalid
from stripe_stub.forms import EXPAND, PAGING, Bool, Fields, Map, Range, Str, later, merge_metadata
from stripe_stub.wire import Endpoint, Noun, page
from stripe_stub.world import Obj, World

RESPOND_WITHIN = 9 * 24 * 3600  # seconds until evidence is due
EVIDENCE = (
    "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure cancellation_rebuttal "
    "customer_communication customer_email_address customer_name customer_purchase_ip customer_signature "
    "duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id "
    "product_description receipt refund_policy "
    "refund_policy_disclosure refund_refusal_explanation service_date service_documentation "
    "shipping_address shipping_carrier "
    "shipping_date shipping_documentation shipping_tracking_number uncategorized_file uncategorized_text"
).split()
VERDICTS = {
    "winning_evidence": "won",
    "losing_evidence": "lost",
}  # what Stripe's test mode makes of this uncategorized_text
INQUIRY = {"warning_needs_response", "warning_under_review"}
ENDS, INQUIRY_ENDS = {"won", "lost"}, {"warning_closed", "prevented"}
UPDATE = Fields(
    {
        **EXPAND,
        "evidence": Fields(
            {**{name: Str(20_000, unset=True) for name in EVIDENCE}, **later("appeal enhanced_evidence")}
        ),
        "metadata": Map(),
        "submit": Bool(),
        **later("intended_submission_method"),
    }
)
LIST = Fields({**PAGING, "charge": Str(), "created": Range(), "payment_intent": Str()})


def open_(world: World, charge: Obj, reason: str = "fraudulent", *, inquiry: bool = False) -> Obj:
    """The bank says so; there is no API to make one. An inquiry only asks: it takes no money until it escalates."""
    if charge["disputed"] or charge["status"] != "succeeded":
        raise Invalid(f"Charge {charge['id']} cannot be disputed: it did not succeed, or is disputed already.")
    id_ = world.new_id("du_1", 23)
    amount = charge["amount"] - charge["amount_refunded"]
    dispute = {
        "id": id_,
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": world.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": world.now() + RESPOND_WITHIN,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "intended_submission_method": None,
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": _method(charge),
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
    charge["disputed"] = not inquiry
    world.save(charge)
    if not inquiry:
        _take(world, dispute)
    world.add(dispute)
    world.clock.at(world.now() + RESPOND_WITHIN, "dispute.overdue", id_)
    world.emit("charge.dispute.created", dispute)
    if not inquiry:
        world.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def _take(world: World, dispute: Obj) -> None:
    amount, currency = -dispute["amount"], dispute["currency"]
    taken = balance.book(world, "adjustment", amount, currency, dispute["id"], dispute_fee=money.DISPUTE_FEE)
    dispute["balance_transactions"].append(taken)


def escalate(world: World, id: str) -> Obj:
    """The bank was not content with the answer to its inquiry."""
    dispute = world.get("dispute", id)
    if dispute["status"] not in INQUIRY:
        raise Invalid("Only an open inquiry escalates.")
    before = {"status": dispute["status"], "is_charge_refundable": True}
    dispute |= {"status": "needs_response", "is_charge_refundable": False}
    charge = world.get("charge", dispute["charge"])
    charge["disputed"] = True
    world.save(charge)
    _take(world, dispute)
    world.save(dispute)
    world.emit("charge.dispute.updated", dispute, before)
    world.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def end(world: World, id: str, status: str) -> Obj:
    """The bank decides: `won` gives the money back, `lost` keeps it. An inquiry ends as `warning_closed`, or as
    `prevented`.
    """
    dispute = world.get("dispute", id)
    if dispute["status"] in ENDS | INQUIRY_ENDS:
        raise Invalid("This dispute is already closed.")
    if status not in (INQUIRY_ENDS if dispute["status"] in INQUIRY else ENDS):
        raise Invalid(f"A dispute that is {dispute['status']} does not end as {status}.")
    before = {"status": dispute["status"]}
    dispute["status"] = status
    if status == "won":
        returned = balance.book(
            world, "adjustment", dispute["amount"], dispute["currency"], id, dispute_fee=-money.DISPUTE_FEE
        )
        dispute["balance_transactions"].append(returned)
    world.save(dispute)
    world.emit("charge.dispute.closed", dispute, before)
    if status == "won":
        world.emit("charge.dispute.funds_reinstated", dispute)
    return dispute


def overdue(world: World, id: str) -> None:
    if world.get("dispute", id)["status"].endswith("needs_response"):
        end(world, id, _given_in(world, id))


def _given_in(world: World, id: str) -> str:
    return "warning_closed" if world.get("dispute", id)["status"] in INQUIRY else "lost"


def retrieve(world: World, params: Obj, id: str) -> Obj:
    return world.get("dispute", id)


def update(world: World, params: Obj, id: str) -> Obj:
    """Evidence is staged with `submit=false`; otherwise it goes to the bank, which in test mode decides by its text."""
    dispute = world.get("dispute", id)
    dispute["metadata"] = merge_metadata(dispute["metadata"], params.get("metadata", {}))
    evidence = params.get("evidence", {})
    if (evidence or params.get("submit")) and dispute["status"] != "needs_response":
        raise Invalid("This dispute does not take evidence any more.", param="evidence")
    dispute["evidence"] |= {name: text or None for name, text in evidence.items()}
    details = dispute["evidence_details"]
    details["has_evidence"] = any(dispute["evidence"][name] for name in EVIDENCE)
    submitted = params.get("submit", bool(evidence)) and details["has_evidence"]
    if submitted:
        details |= {"submission_count": details["submission_count"] + 1, "submission_method": "manual"}
        dispute["status"] = "under_review"
    world.save(dispute)
    world.emit("charge.dispute.updated", dispute, {})
    verdict = VERDICTS.get(dispute["evidence"]["uncategorized_text"] or "")
    return end(world, id, verdict) if submitted and verdict else dispute


def close(world: World, params: Obj, id: str) -> Obj:
    """The seller gives in."""
    return end(world, id, _given_in(world, id))


def index(world: World, params: Obj) -> Obj:
    wanted = {name: params[name] for name in ("charge", "payment_intent") if name in params}
    found = [
        dispute
        for dispute in world.newest_first("dispute")
        if all(dispute[name] == value for name, value in wanted.items())
    ]
    return page(found, params, "/v1/disputes")


def _method(charge: Obj) -> Obj:
    details = charge["payment_method_details"]
    if details["type"] != "card":
        return {"type": details["type"]}
    brand = details["card"]["brand"]
    return {
        "type": "card",
        "card": {"brand": brand, "case_type": "chargeback", "network": brand, "network_reason_code": "10.4"},
    }


NOUN = Noun(
    (
        Endpoint("GET", "/v1/disputes", index, LIST),
        Endpoint("GET", "/v1/disputes/{id}", retrieve),
        Endpoint("POST", "/v1/disputes/{id}", update, UPDATE),
        Endpoint("POST", "/v1/disputes/{id}/close", close),
    ),
    {"dispute": {"charge": None, "payment_intent": None}},
    {"dispute.overdue": overdue},
)
