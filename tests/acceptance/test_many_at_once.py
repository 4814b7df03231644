"""200 who paid run at the same moment, in a real process: 200 results, each charged once."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import PATIENCE, WEBHOOK_SECRET, free_port, rows, until

from gateway.store.store import violations
from stripe_stub.testing import LocalStripe

ROOT = Path(__file__).resolve().parents[2]
RUNS = 200
BODY: dict[str, Any] = {"fmu_id": "msl:BouncingBall", "stop_time": 1.0, "step": 0.01}
LONGEST = 120.0  # seconds


@pytest.fixture
def stripe() -> Iterator[LocalStripe]:
    with LocalStripe() as running:
        yield running


@pytest.fixture
def gateway(tmp_path: Path, stripe: LocalStripe) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    stripe.set_webhook_url(f"{url}/webhooks/stripe", WEBHOOK_SECRET)
    environment = {**os.environ, "STRIPE_SECRET_KEY": "sk_test_many", "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
                   "STRIPE_API_BASE": stripe.url, "FMU_GATEWAY_DB_PATH": str(tmp_path / "many.sqlite3"),
                   "CHECKOUTS_PER_MINUTE": "0", "CHECKOUTS_PER_SECOND": "0", "PARALLEL_RUNS": "1",
                   "QUEUED_RUNS": "4"}  # fmt: skip
    command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log) as process,
    ):
        try:
            until(lambda: process.poll() is not None or _answers(url), "the gateway")
            yield url
        finally:
            process.terminate()
            assert process.wait(PATIENCE * 2) == 0, (tmp_path / "log").read_text()[-2000:]


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


async def _buy(http: httpx.AsyncClient, stripe: LocalStripe) -> str:
    quote = (await http.post("/simulate", json=BODY)).json()
    opened = (await http.post("/pay", json={"session_id": quote["session_id"]})).json()
    await stripe.aio.pay(opened["stripe_session_id"])
    return str((await http.get(f"/payments/checkout/{quote['session_id']}")).json()["payment_token"])


async def _run(http: httpx.AsyncClient, token: str, said: Counter[str]) -> dict[str, Any]:
    """As a good client does: told that every place is taken, it comes again."""
    while True:
        answer = await http.post("/simulate", json={**BODY, "payment_token": token})
        body: dict[str, Any] = answer.json()
        said[body.get("code", body["status"])] += 1
        if answer.status_code != 503:
            return body
        await asyncio.sleep(0.2)


async def test_200_concurrent_paid_runs_are_200_results(gateway: str, stripe: LocalStripe, tmp_path: Path) -> None:
    said: Counter[str] = Counter()
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=gateway, timeout=LONGEST, limits=limits, trust_env=False) as http:
        tokens = [await _buy(http, stripe) for _ in range(RUNS)]
        results = await asyncio.gather(*(_run(http, token, said) for token in tokens))
    assert Counter(result["status"] for result in results) == {"succeeded": RUNS}
    assert said["busy"], "the queue was never full, so this proved less than it says"
    assert len({result["run_id"] for result in results}) == RUNS
    assert len({result["provenance"]["result_sha256"] for result in results}) == 1
    database = tmp_path / "many.sqlite3"
    assert rows(database, "SELECT state, count(*) AS n FROM run GROUP BY state") == [{"state": "succeeded", "n": RUNS}]
    assert rows(database, "SELECT amount FROM balance WHERE acct = 'revenue:test:usd'") == [{"amount": RUNS * 10**6}]
    assert violations(database) == []
