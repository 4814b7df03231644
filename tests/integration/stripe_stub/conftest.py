"""A local Stripe whose every answer and event is held against Stripe's own types, and a receiver of webhooks."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import stripe as stripe_python
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from stripe import StripeClient

from stripe_stub.testing import LocalStripe

SCHEMA = json.loads((Path(__file__).parents[2] / "data" / "stripe" / "objects.json").read_text())
VALIDATORS = {
    kind: Draft202012Validator({"$ref": reference["$ref"], "$defs": SCHEMA["$defs"]})
    for kind, reference in SCHEMA["objects"].items()
}
KEY = "sk_test_local"


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe_python, "enable_telemetry", False)


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


@pytest.fixture(scope="session")
def _server() -> Iterator[LocalStripe]:
    with LocalStripe("http://127.0.0.1:9/nobody") as local:
        yield local


@pytest.fixture
def stripe(_server: LocalStripe, receiver: "Receiver") -> Iterator[LocalStripe]:
    """As new for every test; when the test is over, everything that was answered and told is checked."""
    _server.reset()
    _server.set_webhook_url(receiver.url)
    yield _server
    for call in _server.control("GET", "/_stub/calls?answers=1")["calls"]:
        if call["answer"]:
            answer = json.loads(call["answer"])
            check(answer) if call["status"] == 200 else check_error(call["status"], answer)
    for event in _server.events():
        check(event)


@pytest.fixture
def client(stripe: LocalStripe) -> StripeClient:
    return StripeClient(KEY, base_addresses=stripe.base_addresses, max_network_retries=0)


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


@pytest.fixture
def receiver(_receiver: "Receiver") -> "Receiver":
    _receiver.heard.clear()
    _receiver.answer = lambda event: 200
    return _receiver


@pytest.fixture(scope="session")
def _receiver() -> Iterator["Receiver"]:
    kept = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
            try:
                status = kept.answer(json.loads(body))
            except ValueError:
                status = 400
            self.send_response(status)
            self.send_header("content-length", "4")
            self.end_headers()
            self.wfile.write(b"seen")

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(self.path)))
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 256  # the default of 5 makes the kernel drop connections when many come at once

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


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
