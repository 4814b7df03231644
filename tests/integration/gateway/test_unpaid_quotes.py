"""An unpaid quote costs nothing: no write, no call to Stripe, counted over ten thousand of them."""

from typing import Any

import orjson
from harness import BALL, Gateway

from gateway.flows.services import Services

MANY = 10_000


def test_ten_thousand_unpaid_requests_write_nothing_and_ask_stripe_nothing(gateway: Gateway) -> None:
    database = gateway.settings.database_path
    files = [database, database.with_name(database.name + "-wal")]
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
    gateway.stripe.reset_calls()
    versions = gateway.call(_versions)
    before = [file.read_bytes() for file in files]
    statuses, sessions = gateway.call(ask)
    assert statuses == {402}
    assert len(sessions) == MANY  # each is an offer of its own
    assert gateway.stripe.calls() == []
    assert [file.read_bytes() for file in files] == before
    assert gateway.call(_versions) == versions


async def _versions(services: Services) -> tuple[int, int]:
    """What SQLite and the writer thread count: commits by others, and transactions of our own."""
    data_version: int = services.store._read.execute("PRAGMA data_version").fetchone()[0]
    return data_version, services.store.write.batches
