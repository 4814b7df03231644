"""What must be true when the fault simulation is over. Each check gives sentences; none is well."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from fault_buyers import Buyer

from gateway.simulation.results import ResultFiles
from gateway.store.store import violations

Row = dict[str, Any]
# Stripe's balance transactions that move the operator's money; fees stand in a field of their own.
MOVES_MONEY = {
    "charge",
    "payment",
    "refund",
    "payment_refund",
    "refund_failure",
    "payment_failure_refund",
    "adjustment",
}
MICROS_PER_CENT = 10_000
# Of each purchase or unmatched session: what Stripe owes for it, what of that waits apart for a person, what a person
# gave back by another way (then it is the seller's), and what Stripe took beyond what there was.
BY_REF = """
SELECT ref,
  SUM(CASE WHEN debit LIKE 'stripe:%' THEN amount WHEN credit LIKE 'stripe:%' THEN -amount ELSE 0 END) AS net,
  SUM(CASE WHEN credit LIKE 'unmatched:%' THEN amount WHEN debit LIKE 'unmatched:%' THEN -amount ELSE 0 END) AS apart,
  SUM(CASE WHEN id LIKE 'otherwise:%' THEN amount ELSE 0 END) AS given,
  SUM(CASE WHEN debit LIKE 'loss:%' THEN amount WHEN credit LIKE 'loss:%' THEN -amount ELSE 0 END) AS lost
FROM transfer GROUP BY ref
"""
NOTHING = {"net": 0, "apart": 0, "given": 0, "lost": 0}
UNFINISHED = {
    "events not worked on": "SELECT id, error, attempts FROM inbox WHERE state IN ('new', 'dead')",
    "orders not carried out": "SELECT id, error, attempts FROM outbox WHERE state = 'todo'",
    "runs that run": "SELECT id FROM run WHERE state = 'running'",
    "tokens held or on their way back": "SELECT id FROM token WHERE state IN ('held', 'refunding')",
}


def rows(database: Path, sql: str) -> list[Row]:
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(sql)]


def unfinished(database: Path) -> list[str]:
    """By id, with what stood in the way and how often it was tried."""
    found = {what: rows(database, sql) for what, sql in UNFINISHED.items()}
    said = {what: [" ".join(map(str, row.values())) for row in left] for what, left in found.items() if left}
    return [f"{len(left)} {what}: {', '.join(left[:5])}" for what, left in said.items()]


def all_checks(database: Path, results: Path, stripe: Row, buyers: Sequence[Buyer]) -> list[str]:
    objects: dict[str, list[Row]] = stripe["objects"]
    return [
        *violations(database),
        *unfinished(database),
        *net_is_equal(database, objects["balance_transaction"]),
        *every_payment_has_an_end(database, objects),
        *no_run_twice(database),
        *results_are_there(database, results),
        *what_buyers_hold_is_booked(database, buyers),
    ]


def net_is_equal(database: Path, transactions: Iterable[Row]) -> list[str]:
    """What Stripe owes the operator is what our books say it owes: the account of Stripe, negated."""
    net: Counter[str] = Counter()
    for each in transactions:
        if each["type"] in MOVES_MONEY:
            net[f"stripe:test:{each['currency']}"] += each["amount"] * MICROS_PER_CENT
    ours = {row["acct"]: -row["amount"] for row in rows(database, "SELECT * FROM balance WHERE acct LIKE 'stripe:%'")}
    return [
        f"{account}: Stripe has {net[account]} micros, our books {ours.get(account, 0)}"
        for account in {*net, *ours}
        if net[account] != ours.get(account, 0)
    ]


def every_payment_has_an_end(database: Path, objects: dict[str, list[Row]]) -> list[str]:
    """A session that Stripe was paid for is a purchase of ours that is paid, or money that went back whole; and of each
    payment Stripe still has what our transfers about it say."""
    purchases = {row["stripe_session_id"]: row for row in rows(database, "SELECT * FROM purchase")}
    tokens = {row["id"]: row["state"] for row in rows(database, "SELECT * FROM token")}
    booked = {row["ref"]: row for row in rows(database, BY_REF)}
    left = left_at_stripe(objects)
    found = []
    for session in objects["checkout.session"]:
        if session["payment_status"] != "paid":
            continue
        at_stripe = left[session["payment_intent"]]
        purchase = purchases.get(session["id"], {"id": session["id"], "state": "no purchase"})
        state, ours = tokens.get(purchase["id"]), booked.get(purchase["id"], NOTHING)
        if at_stripe != ours["net"]:
            found.append(f"{purchase['id']}: Stripe has {at_stripe} micros of it, our books {ours['net']}")
        if purchase["state"] not in ("paid", "no purchase"):
            found.append(f"{purchase['id']} is paid at Stripe and {purchase['state']} here")
        accounted = ours["apart"] + max(ours["given"] - ours["lost"], 0)
        if state in (None, "refunded", "revoked", "frozen") and at_stripe != accounted:
            found.append(f"{purchase['id']} is {state}, and Stripe still has {at_stripe} micros that nobody can spend")
        if state == "ready" and at_stripe != purchase["amount"]:
            found.append(f"{purchase['id']} is spendable, and Stripe has only {at_stripe} micros of it")
    return found


def left_at_stripe(objects: dict[str, list[Row]]) -> Counter[str]:
    """Micros by payment intent, fees apart."""
    intents = {o["id"]: o["payment_intent"] for kind in ("charge", "refund", "dispute") for o in objects[kind]}
    left: Counter[str] = Counter()
    for each in objects["balance_transaction"]:
        if each["type"] in MOVES_MONEY:
            left[intents[each["source"]]] += each["amount"] * MICROS_PER_CENT
    return left


def no_run_twice(database: Path) -> list[str]:
    sql = "SELECT token_id, count(*) n FROM run WHERE state = 'succeeded' GROUP BY token_id HAVING n > 1"
    return [f"{row['token_id']} was delivered {row['n']} times" for row in rows(database, sql)]


def results_are_there(database: Path, results: Path) -> list[str]:
    """Everything that was paid for can be fetched, and its numbers are the ones that were sold."""
    files, found = ResultFiles(results), []
    for run in rows(database, "SELECT id, result_ref FROM run WHERE state = 'succeeded'"):
        stored = files.read(run["id"])
        if stored is None:
            found.append(f"{run['id']} was captured, and its result is lost")
        elif stored.result.sha256 != run["result_ref"]:
            found.append(f"{run['id']} was captured for {run['result_ref']}, and stored is {stored.result.sha256}")
    return found


def what_buyers_hold_is_booked(database: Path, buyers: Iterable[Buyer]) -> list[str]:
    """Who got a result was charged for it."""
    succeeded = {row["id"] for row in rows(database, "SELECT id FROM run WHERE state = 'succeeded'")}
    return [
        f"buyer {buyer.number} holds the result of {run}, which was never captured"
        for buyer in buyers
        for run in buyer.delivered
        if run not in succeeded
    ]
