"""The weather of the fault simulation: a local Stripe's bad days."""

import asyncio
import random
from collections import Counter
from typing import Any

import httpx

STRIPE_PATHS = ("/v1/checkout/sessions*", "/v1/checkout/sessions", "/v1/refunds", "/v1/events*", "/v1/disputes*", "*")


class BadDays:
    """Stripe's failures and its webhooks' ways, drawn from the seed, one decision after the other."""

    def __init__(self, seed: int, http: httpx.AsyncClient, stripe_url: str):
        self._dice = random.Random(f"{seed}:bad days")
        self._seed, self._http, self._url = seed, http, stripe_url
        self.counts: Counter[str] = Counter()

    async def _tell(self, method: str, path: str, wish: Any = None) -> Any:
        return (await self._http.request(method, f"{self._url}/_stub/{path}", json=wish, timeout=60)).json()

    async def go_on(self) -> None:
        """Until it is cancelled."""
        await self._tell("POST", "scripts", {"seed": self._seed})
        while True:
            what, wish = self._draw()
            self.counts[what] += 1
            if what == "clear faults":
                await self._tell("DELETE", "faults")
            elif what == "flush":
                await self._tell("POST", "flush")
            elif what == "refund fails":
                await self._fail_a_refund()
            elif what == "lost webhook":
                await self._tell("POST", "scripts", wish)
            else:
                await self._tell("POST", "faults", wish)
            await asyncio.sleep(self._dice.uniform(0.05, 0.4))

    async def _fail_a_refund(self) -> None:
        """One of the newest comes back from the buyer's bank."""
        auth = ("sk_test_faults", "")
        try:
            answer = await self._http.get(f"{self._url}/v1/refunds?limit=10", auth=auth, timeout=1)
        except httpx.TransportError:  # our own faults hit us as well
            return
        sound = [r["id"] for r in answer.json().get("data", ()) if r["status"] == "succeeded"]
        if sound:
            await self._tell("POST", f"refunds/{self._dice.choice(sound)}/fail")

    def _draw(self) -> tuple[str, Any]:
        dice = self._dice
        what = dice.choices(("fault", "flush", "clear faults", "refund fails", "lost webhook"), (40, 20, 20, 10, 10))[0]
        if what == "lost webhook":
            return what, {"type": "*", "drop": True, "nth": dice.randint(1, 3), "times": 1}
        if what in ("flush", "clear faults", "refund fails"):
            return what, None
        kind = dice.choices(("error", "cut", "slow", "hang"), (60, 15, 15, 10))[0]
        when = dice.choice(("before", "after"))
        wish: dict[str, Any] = {"kind": kind, "path": dice.choice(STRIPE_PATHS), "when": when,
                                "nth": dice.randint(1, 3), "times": dice.randint(1, 3)}  # fmt: skip
        if kind == "error":
            status = dice.choice((500, 500, 429, 503) if when == "before" else (500,))
            wish |= {"status": status, "stored": when == "after" and dice.random() < 0.5}
            return f"{status} {when} it was done", wish
        if kind == "slow":
            wish["seconds"] = dice.uniform(0.1, 1.5)
        return f"{kind} {when} it was done", wish

    async def end(self) -> None:
        """Good weather, and every webhook that still waits arrives."""
        await self._tell("DELETE", "faults")
        await self._tell("DELETE", "scripts")
        await self._tell("POST", "clock", {"advance": 200})  # delayed payments settle, refunds that fail do so

    async def pass_a_day(self) -> None:
        """What Stripe answered to a key is forgotten then."""
        self.counts["a day passed at the end"] += 1
        await self._tell("POST", "clock", {"advance": 24 * 3600})

    async def flush(self) -> int:
        return int((await self._tell("POST", "flush"))["pending"])

    async def state(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._tell("GET", "state")
        return found
