"""The doctor beside a serving gateway: what the books say, and what only that gateway can."""

import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from commands import command
from harness import BALL, Gateway, House, change, problem

from gateway.settings import SHIPPED_MODELS

Start = Callable[..., Gateway]


@pytest.fixture
def one_model(tmp_path: Path) -> dict[str, str]:
    """The setting for a folder with one model: the doctor runs all there are."""
    (tmp_path / "models" / "msl").mkdir(parents=True)
    shutil.copy(SHIPPED_MODELS / "msl" / "VanDerPol.fmu", tmp_path / "models" / "msl")
    return {"MODELS_DIR": str(tmp_path / "models")}


def finding(done: subprocess.CompletedProcess[str], check: str) -> str | None:
    return next((line for line in done.stdout.splitlines() if line[7:].startswith(check)), None)


def test_doctor_tells_the_alarms_of_the_books_and_of_the_gateway_that_serves(
    open_gateway: Start, one_model: dict[str, str]
) -> None:
    gateway = open_gateway()
    assert finding(command(gateway.settings, "doctor", **one_model), "alarms") is None
    bought = gateway.buy()
    change(gateway.settings.database_path, "UPDATE inbox SET state = 'dead' WHERE type = 'checkout.session.completed'")
    for _ in range(5):
        gateway.stripe.deliver_raw("{}", secret="whsec_wrong")
    with gateway.locked():
        problem(gateway.simulate(BALL, bought.token), 503, "busy")
        done = command(gateway.settings, "doctor", **one_model)
    assert done.returncode == 1
    line = finding(done, "alarms") or ""
    assert line.startswith("FAULT")
    assert re.search(
        r"1 dead events, \d+ failed writes, 5 webhooks refused in a row: docs/operations.md says for each", line
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::1", "127.0.0.2"])
def test_doctor_asks_the_gateway_where_it_listens_and_says_if_none_answers(
    house: House, one_model: dict[str, str], host: str
) -> None:
    free = {"STRIPE_ENABLED": "false", "HOST": host, **one_model}
    done = command(house.settings(), "doctor", **free)
    line = finding(done, "gateway") or ""
    assert (done.returncode, line.startswith("ok"), "none answers at http://" in line) == (0, True, True)
    with listening(host) as port:
        line = finding(command(house.settings(), "doctor", **free, PORT=str(port)), "alarms") or ""
    assert (line.startswith("FAULT"), "3 late orders" in line) == (True, True)


@contextmanager
def listening(host: str) -> Iterator[int]:
    """Something at this address that says /ready as a gateway would, with an alarm; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"checks": {"alarms": {"ok": false, "detail": "3 late orders"}}}')

    class Server(HTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    try:
        bound = Server((host, 0), Handler)
    except OSError:
        pytest.skip(f"this machine has no address {host}")
    with bound as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
