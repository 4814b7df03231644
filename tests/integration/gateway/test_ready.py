"""GET /ready: whether anything can be sold, as it is now."""

import sqlite3
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from harness import BALL, Gateway, problem

Start = Callable[..., Gateway]


def checks(answer: httpx.Response) -> dict[str, Any]:
    """Of a gateway that is not ready."""
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    body = answer.json()
    assert body["ready"] is False
    assert isinstance(body["checks"], dict)
    return body["checks"]


def test_a_database_that_cannot_be_read_is_not_ready_and_the_answer_says_so(
    open_gateway: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = open_gateway()

    async def broken(*args: Any, **parameters: Any) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(gateway.services.store, "scan", broken)
        said = checks(gateway.get("/ready"))
    assert said["database"] == {"ok": False, "detail": "cannot be read: disk I/O error"}
    assert said["alarms"]["ok"] is False
    assert gateway.get("/ready").json()["ready"]


def test_a_database_that_takes_no_writes_is_not_ready_until_it_does(open_gateway: Start) -> None:
    gateway = open_gateway()
    bought = gateway.buy()
    with gateway.locked():
        problem(gateway.simulate(BALL, bought.token), 503, "busy")
        said = checks(gateway.get("/ready"))
    assert said["database"]["ok"] is False
    assert "failed writes" in said["database"]["detail"]
    assert "failed writes" in said["alarms"]["detail"]
    ready = gateway.get("/ready")  # though nobody else wrote anything
    assert (ready.status_code, ready.json()["checks"]["alarms"]["detail"]) == (200, "none")
