"""An unpaid quote costs nothing: no write, no call to Stripe, counted over ten thousand of them. Its short cuts differ
in nothing from the long way."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from harness import BALL, Gateway

from gateway.domain.money import Money
from gateway.errors import PaymentRequired
from gateway.flows.services import Services
from gateway.payments.challenge import Signed, offer
from gateway.web import simulate
from gateway.web.problems import problem_body

Open = Callable[..., Gateway]
MANY = 10_000


def test_ten_thousand_unpaid_requests_write_nothing_and_ask_stripe_nothing(gateway: Gateway) -> None:
    raw = orjson.dumps(BALL)
    scope: dict[str, Any] = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/simulate", "raw_path": b"/simulate",
        "root_path": "", "scheme": "http", "query_string": b"", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        "headers": [(b"host", b"x"), (b"content-type", b"application/json")],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw, "more_body": False}

    async def ask(services: Services) -> tuple[set[int], set[str]]:
        """The whole application, without the cost of sockets."""
        statuses, sessions = set(), set()

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.add(message["status"])
            else:
                sessions.add(orjson.loads(message["body"])["session_id"])

        for _ in range(MANY):
            await gateway.app(dict(scope, app=gateway.app), receive, send)  # type: ignore[arg-type]
        return statuses, sessions

    gateway.quote()
    before = gateway.bytes_on_disk()
    gateway.stripe.reset_calls()
    versions = gateway.call(_versions)
    statuses, sessions = gateway.call(ask)
    assert statuses == {402}
    assert len(sessions) == MANY  # each is an offer of its own
    assert gateway.stripe.calls() == []
    assert gateway.bytes_on_disk() == before
    assert gateway.call(_versions) == versions


async def _versions(services: Services) -> tuple[int, int]:
    """What SQLite and the writer thread count: commits by others, and transactions of our own."""
    data_version: int = services.store._read.execute("PRAGMA data_version").fetchone()[0]
    return data_version, services.store.write.batches


def test_a_quote_is_what_any_problem_would_look_like(open_gateway: Open) -> None:
    gateway = open_gateway(support_contact='100 % "help" at %(session_id)s \\1')
    for buyer in (gateway, gateway.account()):
        answer = buyer.simulate({"fmu_id": "msl:DCMotor"})
        said = answer.json()
        signed = Signed(said["session_id"], said["checkout_url"].rpartition("/")[2], said["expires_at"])
        fields = offer("msl:DCMotor", Money(2_500_000, "usd"), signed, gateway.url)
        problem = PaymentRequired("One run of msl:DCMotor costs 2.50 usd.", **fields)
        assert answer.content == orjson.dumps(problem_body(problem, gateway.settings))
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-request-id"]


def test_a_quote_belongs_to_the_account_that_asked(gateway: Gateway) -> None:
    owner = gateway.account()
    anonymous, owned = gateway.quote(), owner.quote()
    assert gateway.status(anonymous["session_id"]).status_code == 202
    assert owner.status(owned["session_id"]).status_code == 202
    assert gateway.status(owned["session_id"]).status_code == 404


def test_the_bytes_that_asked_for_a_quote_run_with_the_token_in_a_header(gateway: Gateway) -> None:
    raw = orjson.dumps({**BALL, "kpis": ["h:min"]})
    bought = gateway.buy(BALL)
    for _ in range(2):
        assert gateway.simulate(raw).status_code == 402
    answer = gateway.simulate(raw, headers={"authorization": f"Bearer {bought.token}"})
    assert answer.status_code == 200, answer.text
    assert set(answer.json()["kpis"]) == {"h:min"}
    assert gateway.simulate(raw).status_code == 402


def test_refusals_come_again_for_the_same_bytes(gateway: Gateway) -> None:
    raw = orjson.dumps({**BALL, "stop_time": -1})
    assert [gateway.simulate(raw).status_code for _ in range(2)] == [422, 422]


def test_only_short_requests_without_a_token_are_remembered_and_not_too_many(
    open_gateway: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulate, "REMEMBERED", 3)
    gateway = open_gateway()
    passed = gateway.app.state.passed
    bodies = [orjson.dumps({**BALL, "stop_time": 1 + i}) for i in range(5)]
    for raw in (*bodies, bodies[-1] + b" " * 500, orjson.dumps({**BALL, "payment_token": "fmt_x"})):
        gateway.simulate(raw)
    assert list(passed) == bodies[-3:]
    assert len({body["session_id"] for body in (gateway.quote(raw) for raw in bodies * 2)}) == 10
