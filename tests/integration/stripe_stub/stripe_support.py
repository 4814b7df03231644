"""What the tests of the local Stripe share: the schema of Stripe's types, a shop with a webhook, a small order."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

SCHEMA = json.loads((Path(__file__).parents[2] / "data" / "stripe" / "objects.json").read_text())
VALIDATORS = {
    kind: Draft202012Validator({"$ref": reference["$ref"], "$defs": SCHEMA["$defs"]})
    for kind, reference in SCHEMA["objects"].items()
}
KEY = "sk_test_local"


def check(obj: Any) -> None:
    """The object is what Stripe's types say, down to the last key. Raises AssertionError with the place."""
    kind = obj["object"]
    if kind == "list":
        assert sorted(obj) == ["data", "has_more", "object", "url"]
        for item in obj["data"]:
            check(item)
        return
    if kind == "event":
        assert sorted(obj) == sorted([*SCHEMA["event"]["required"], *(["account"] if "account" in obj else [])])
        assert obj["type"] in SCHEMA["event"]["types"]
        check(obj["data"]["object"])
        return
    fault = best_match(VALIDATORS[f"deleted_{kind}" if obj.get("deleted") else kind].iter_errors(obj))
    assert fault is None, f"{kind}: {fault.json_path} {list(fault.absolute_schema_path)[-4:]}: {fault.message[-300:]}"


def check_error(status: int, body: Any) -> None:
    """Stripe's error shape, with a message and a type of the documented ones."""
    assert list(body) == ["error"]
    error = body["error"]
    assert set(error) <= {"message", "type", "code", "decline_code", "param", "doc_url", "request_log_url", "charge"}
    assert error["type"] in ("api_error", "card_error", "idempotency_error", "invalid_request_error")
    assert error["message"]
    assert status >= 400


@dataclass
class Receiver:
    """A shop: its pages show their own path, its webhook endpoint keeps what comes.

    `heard` has (headers, body) in the order of arrival; `answer` decides the status.
    """

    url: str = ""
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], int] = lambda event: 200

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.heard]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


def plain(value: Any) -> Any:
    """A StripeObject as the dict it stands for."""
    return value.to_dict()


def order(amount: int = 100, currency: str = "usd", **more: Any) -> dict[str, Any]:
    """The parameters of a small Checkout Session."""
    price = {"currency": currency, "product_data": {"name": "One run"}, "unit_amount": amount}
    return {
        "mode": "payment",
        "line_items": [{"price_data": price, "quantity": 1}],
        "success_url": "http://127.0.0.1:9/paid?session={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://127.0.0.1:9/cancelled",
        "client_reference_id": "p_1",
        "metadata": {"purchase": "p_1"},
        "payment_intent_data": {"metadata": {"purchase": "p_1"}},
        "adaptive_pricing": {"enabled": False},
        **more,
    }
