"""A local Stripe whose every answer and event is held against Stripe's own types, and a receiver of webhooks."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import stripe as stripe_python
from stripe import StripeClient
from stripe_support import KEY, Receiver, check, check_error

from stripe_stub.testing import LocalStripe


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe_python, "enable_telemetry", False)


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
