"""After a burst of questions that nobody waited for, Stripe can be asked as before."""

import asyncio
import contextlib
import json

import pytest

from gateway.errors import StripeUnavailable
from gateway.payments import checkout
from gateway.payments.checkout import Checkout

SESSION = {
    "id": "cs_1", "object": "checkout.session", "livemode": False, "mode": "payment", "status": "open", "url": "u",
    "payment_status": "unpaid", "amount_total": 100, "currency": "usd", "client_reference_id": "x", "metadata": {},
}  # fmt: skip
BODY = json.dumps(SESSION).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


HANDLERS: set["asyncio.Task[None] | None"] = set()


async def _answer_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    HANDLERS.add(asyncio.current_task())
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.2)
            writer.write(ANSWER)
            await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_burst_that_nobody_waits_for_leaves_stripe_to_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "TIMEOUT_SECONDS", 1.0)
    server = await asyncio.start_server(_answer_late, "127.0.0.1", 0)
    asked = Checkout("sk_test_x", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    async def ask_and_go(seconds: float) -> None:
        with contextlib.suppress(TimeoutError, StripeUnavailable):
            async with asyncio.timeout(seconds):
                await asked.retrieve("cs_1")

    for _ in range(2):
        await asyncio.gather(*(ask_and_go(0.05 + number / 500) for number in range(300)))
    pool = asked._http._client_async._transport._pool
    end = asyncio.get_running_loop().time() + 15
    while not all(connection.is_idle() for connection in pool.connections):
        assert asyncio.get_running_loop().time() < end, pool.connections
        await asyncio.sleep(0.05)
    assert (await asked.retrieve("cs_1")).id == "cs_1"
    await asked.close()
    server.close()
    await asyncio.gather(*filter(None, HANDLERS))
