"""A buyer: quotes, pays at the local Stripe, collects tokens and runs, all over HTTP."""

import json
import re
from dataclasses import dataclass
from typing import Any

import httpx

from stripe_stub.testing import LocalStripe

BALL = {"fmu_id": "msl:BouncingBall", "stop_time": 1.0, "step": 0.01}
FREE = {"fmu_id": "msl:VanDerPol", "stop_time": 1.0, "step": 0.1}
SLOW = {"fmu_id": "test:Slow", "step": 0.1, "start_values": {"pause": 0.05}}  # half a second, in ten steps
PATIENCE = 20.0  # seconds a test waits for something that must happen; nothing waits that long when all is well


@dataclass(frozen=True)
class Bought:
    """A paid purchase, as its buyer knows it."""

    quote: dict[str, Any]
    stripe_session_id: str
    redirect_url: str
    token: str

    @property
    def session_id(self) -> str:
        return str(self.quote["session_id"])


class Buyer:
    """Speaks HTTP to a gateway at `url` whose Stripe is `stripe`; `key` is sent with every request."""

    def __init__(self, url: str, stripe: LocalStripe, key: str | None = None):
        self.url, self.stripe, self.key = url, stripe, key
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=PATIENCE * 2, trust_env=False)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(path, **options)

    def simulate(self, body: Any = BALL, token: str | None = None, **options: Any) -> httpx.Response:
        """POST /simulate; `body` is sent as it is where it is bytes."""
        if isinstance(body, bytes):
            return self.http.post("/simulate", content=body, **options)
        return self.http.post("/simulate", json={**body, **({"payment_token": token} if token else {})}, **options)

    def quote(self, body: Any = BALL) -> dict[str, Any]:
        answer = self.simulate(body)
        assert answer.status_code == 402, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def open(self, quote: dict[str, Any]) -> str:
        """Stripe's id of the Checkout Session behind a quote's checkout_url."""
        answer = self.http.get(quote["checkout_url"])
        assert answer.status_code == 303, answer.text
        found = re.search(r"cs_\w+", answer.headers["location"])
        assert found, answer.headers["location"]
        return found.group()

    def status(self, session_id: str, **options: Any) -> httpx.Response:
        return self.http.get(f"/payments/checkout/{session_id}", **options)

    def collect(self, session_id: str) -> str:
        answer = self.status(session_id)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["payment_token"])

    def buy(self, body: Any = BALL) -> Bought:
        """402 → checkout → pay → token."""
        quote = self.quote(body)
        session = self.open(quote)
        paid = self.stripe.pay(session)
        assert paid["outcome"] == "paid", paid
        return Bought(quote, session, paid["redirect_url"], self.collect(quote["session_id"]))

    def purchase_id(self, bought: Bought) -> str:
        found = next(s for s in self.stripe.objects("checkout.session") if s["id"] == bought.stripe_session_id)
        return str(found["client_reference_id"])


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer must be, with everything that every problem has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = json.loads(answer.content)
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["next_step"]
    assert body["type"].endswith(f"/problems/{code}")
    return body
