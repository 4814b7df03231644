"""What happened, for people: sessions with their payments, then calls, events and deliveries in one line of time."""

import json
from datetime import UTC, datetime
from typing import Any

from stripe_stub import money
from stripe_stub.deliveries import Deliveries
from stripe_stub.wire import Wire
from stripe_stub.world import Obj, World

SHOWN = 150  # entries of the timeline on the page; everything is in /_stub/state
SHOWN_SESSIONS = 6


def view(world: World, wire: Wire, deliveries: Deliveries) -> dict[str, Any]:
    """What the template shows."""
    clock = world.clock
    ahead = round(clock.offset)
    return {
        "now": moment(clock.now()),
        "frozen": clock.frozen,
        "ahead": ahead if abs(ahead) > 1 else 0,
        "sessions": [
            _session(world, session) for session in _first(world.newest_first("checkout.session"), SHOWN_SESSIONS)
        ],
        "entries": _entries(world, wire, deliveries),
        "faults": wire.faults.describe(),
        "scripts": [_script(rule) for rule in deliveries.scripts.describe()],
        "endpoints": list(world.store.table("webhook_endpoint").values()),
        "waiting": sum(row["state"] in ("pending", "held") for row in deliveries.log.values()),
        "calls_total": wire.calls_total,
    }


def moment(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _first(items: Any, count: int) -> list[Obj]:
    return [item for _, item in zip(range(count), items, strict=False)]


def _session(world: World, session: Obj) -> Obj:
    intent = world.find(session["payment_intent"]) if session["payment_intent"] else None
    charge = world.find(intent["latest_charge"]) if intent and intent["latest_charge"] else None
    dispute = next((d for d in world.newest_first("dispute") if charge and d["charge"] == charge["id"]), None)
    return {
        "id": session["id"],
        "name": world.private(session["id"])["line_items"][0]["description"],
        "amount": money.text(session["amount_total"], session["currency"]),
        "reference": session["client_reference_id"],
        "status": session["status"],
        "payment_status": session["payment_status"],
        "url": session["url"],
        "intent": intent,
        "charge": charge,
        "dispute": dispute,
        "refundable": bool(
            charge and charge["status"] == "succeeded" and not charge["refunded"] and not charge["disputed"]
        ),
    }


def _entries(world: World, wire: Wire, deliveries: Deliveries) -> list[Obj]:
    calls = [_call(call) for call in list(wire.calls)[-SHOWN:]]
    events = [_event(world, deliveries, event) for event in _first(world.newest_first("event"), SHOWN)]
    return sorted(calls + events, key=lambda entry: -entry["n"])[:SHOWN]


def _call(call: Obj) -> Obj:
    notes = [f"key {call['idempotency_key']}"] if call["idempotency_key"] else []
    notes += ["replayed"] if call["replayed"] else []
    notes += [f"fault: {call['fault']}"] if call["fault"] else []
    return {
        "kind": "call",
        "n": call["n"],
        "id": call["request_id"],
        "at": moment(call["at"]),
        "title": f"{call['method']} {call['path']}",
        "state": call["status"] or "no answer",
        "good": (call["status"] or 599) < 400,
        "notes": notes,
        "detail": json.dumps(call["params"], indent=2),
        "answer": call["answer"],
        "deliveries": [],
    }


def _event(world: World, deliveries: Deliveries, event: Obj) -> Obj:
    private = world.private(event["id"])
    rows = [deliveries.log[key] for key in private["deliveries"]]
    return {
        "kind": "event",
        "n": private["n"],
        "id": event["id"],
        "at": moment(event["created"]),
        "title": event["type"],
        "state": "",
        "good": True,
        "notes": [event["data"]["object"].get("id", "")],
        "detail": json.dumps(event, indent=2),
        "answer": "",
        "deliveries": [_delivery(row) for row in rows],
    }


def _delivery(row: Obj) -> Obj:
    script = ", ".join(
        f"{name} {value}" if value is not True else name for name, value in row["script"].items() if value
    )
    attempts = [
        {"at": moment(attempt["at"]), "said": attempt["error"] or f"{attempt['status']} {attempt['body'][:60]}"}
        for attempt in row["attempts"]
    ]
    next_at = moment(row["next_at"]) if row["next_at"] else None
    return {**row, "script": script, "attempts": attempts, "next_at": next_at}


def _script(rule: Obj) -> str:
    if "seed" in rule:
        return f"by seed {rule['seed']}"
    what = ", ".join(
        f"{name} {value}" if value is not True else name for name, value in rule["script"].items() if value
    )
    times = "for ever" if rule["times"] is None else f"{rule['times']} ×"
    return f"{rule['type']}: {what}, {times}"
