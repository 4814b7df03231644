"""The balance and its transactions (https://docs.stripe.com/api/balance_transactions): every movement of the
account's money.
"""

from collections import Counter

from stripe_stub import money
from stripe_stub.forms import PAGING, Fields, Range, Str, later
from stripe_stub.wire import Endpoint, Noun, page
from stripe_stub.world import Obj, World

CLEARS_AFTER = 2 * 24 * 3600  # seconds until a payment's money can be paid out
_CATEGORY = {"charge": "charge", "refund": "refund", "refund_failure": "refund_failure", "adjustment": "dispute"}
_WORDS = {"refund": "REFUND FOR CHARGE", "refund_failure": "REFUND FAILURE", "adjustment": "Chargeback"}
LIST = Fields({**PAGING, "created": Range(), "currency": Str(3), "source": Str(), "type": Str(), **later("payout")})


def book(
    world: World, type_: str, amount: int, currency: str, source: str, *, fee: bool = False, dispute_fee: int = 0
) -> Obj:
    """One movement: minor units, negative when money leaves. `fee`: Stripe keeps its share of a payment."""
    kept = money.fee(amount) if fee else dispute_fee
    words = "Stripe processing fees" if fee else "Dispute fee"
    detail = {"amount": kept, "application": None, "currency": currency, "description": words, "type": "stripe_fee"}
    waits = type_ == "charge"
    transaction: Obj = {
        "id": world.new_id("txn_3", 23),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": world.now() + (CLEARS_AFTER if waits else 0),
        "balance_type": "payments",
        "created": world.now(),
        "currency": currency,
        "description": _WORDS.get(type_),
        "exchange_rate": None,
        "fee": kept,
        "fee_details": [detail] if kept else [],
        "net": amount - kept,
        "reporting_category": _CATEGORY[type_],
        "source": source,
        "status": "pending" if waits else "available",
        "type": type_,
    }
    world.add(transaction)
    if waits:
        world.clock.at(transaction["available_on"], "balance.clear", transaction["id"])
    return transaction


def clear(world: World, id: str) -> None:
    transaction = world.get("balance_transaction", id)
    transaction["status"] = "available"
    world.save(transaction)


def totals(world: World, params: Obj) -> Obj:
    """GET /v1/balance: the sum of the transactions."""
    sums: dict[str, Counter[str]] = {"available": Counter(), "pending": Counter()}
    for transaction in world.newest_first("balance_transaction"):
        sums[transaction["status"]][transaction["currency"]] += transaction["net"]
    known = sorted({currency for counter in sums.values() for currency in counter}) or ["usd"]
    lists = {
        name: [{"amount": counter[c], "currency": c, "source_types": {"card": counter[c]}} for c in known]
        for name, counter in sums.items()
    }
    return {"object": "balance", "livemode": False, **lists}


def retrieve(world: World, params: Obj, id: str) -> Obj:
    return world.get("balance_transaction", id)


def index(world: World, params: Obj) -> Obj:
    wanted = {name: params[name] for name in ("currency", "source", "type") if name in params}
    found = [
        transaction
        for transaction in world.newest_first("balance_transaction")
        if all(transaction[name] == value for name, value in wanted.items())
    ]
    return page(found, params, "/v1/balance_transactions")


NOUN = Noun(
    (
        Endpoint("GET", "/v1/balance", totals),
        Endpoint("GET", "/v1/balance_transactions", index, LIST),
        Endpoint("GET", "/v1/balance_transactions/{id}", retrieve),
    ),
    {"balance_transaction": {"source": None}},
    {"balance.clear": clear},
)
