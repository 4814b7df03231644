"""Buyers of the fault simulation: each has a plan drawn from the seed, and patience with a gateway that keeps dying.

Longer than other files: what a buyer may do reads better whole.
"""

import asyncio
import hashlib
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
from dying_gateway import COMMAND_STEPS
from fault_house import House

GIVES_UP_AFTER = 90.0  # seconds without a single final answer: then something is stuck, and the simulation fails
MODEL = "test:Fails"
SLOW = "test:Slow"
FINAL = ("consumed", "expired", "refunded", "revoked")
LOST_ANSWER = (httpx.TransportError, httpx.InvalidURL)


@dataclass(frozen=True)
class Plan:
    """Everything a buyer decides, before anything has happened."""

    keyed: bool  # buys with an account's key
    eager: bool  # POST /pay instead of following checkout_url
    slow: bool  # a run of a quarter of a second, that is killed in its middle more often
    fails_first: bool  # the model is asked to fail, then asked again with the same token
    idempotency: bool
    hang_ups: int  # how many of the requests for the run are given up after a moment
    at_once: int  # how many requests spend the same token at the same time
    means: str  # card, bank, a bank transfer that fails, a card whose refund fails, nothing until the end
    twice: bool  # pays a second Checkout Session for the same purchase
    back: str  # what the operator or the bank does after the payment: "", refund, part, won, lost
    back_after_run: bool
    spends: bool  # or forgets the token
    waits: int  # seconds that each status poll may be held
    command: str  # what an operator does about it meanwhile: "", refund, otherwise, reconcile
    command_dies_at: str

    @classmethod
    def draw(cls, seed: int, number: int) -> "Plan":
        dice = random.Random(f"{seed}:buyer:{number}")

        def chance(of: float) -> bool:
            return dice.random() < of

        return cls(
            keyed=chance(0.4),
            eager=chance(0.4),
            slow=chance(0.25),
            fails_first=chance(0.25),
            idempotency=chance(0.5),
            hang_ups=dice.choice((0, 0, 0, 1, 2)),
            at_once=dice.choice((1, 1, 1, 2, 4)),
            means=dice.choices(("card", "bank", "bank fails", "refund fails", "expires"), (78, 6, 6, 5, 5))[0],
            twice=chance(0.1),
            back=dice.choices(("", "refund", "part", "won", "lost"), (70, 8, 8, 7, 7))[0],
            back_after_run=chance(0.5),
            spends=chance(0.85),
            waits=dice.choice((0, 0, 1, 5)),
            command=(command := dice.choices(("", *COMMAND_STEPS), (88, 5, 4, 3))[0]),
            command_dies_at=dice.choice(("", *COMMAND_STEPS.get(command, ()))),
        )


@dataclass
class Book:
    """What all buyers saw, for the end."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Impatient(Exception):
    """The gateway is gone for good, or answers nothing final."""


class Buyer:
    """One purchase, from the quote to its end. `history` tells what happened, for whoever must explain a failure."""

    def __init__(self, seed: int, number: int, http: httpx.AsyncClient, house: House, book: Book):
        gateway, stripe = house.url, house.stripe_url
        self._house = house
        self.number, self.plan = number, Plan.draw(seed, number)
        self._dice = random.Random(f"{seed}:buyer:{number}:pauses")
        self._http, self._gateway, self._stripe, self._book = http, gateway, stripe, book
        self._headers: dict[str, str] = {}
        self.session_id = ""
        self.token = ""
        self._gave_up_failing = False
        self.delivered: dict[str, str] = {}  # run id → sha256 of the whole answer
        self.stripe_session = ""
        self.history: list[str] = []

    async def ask(self, method: str, path: str, *, final: bool = True, **options: Any) -> httpx.Response | None:
        """The answer, tried again while the gateway is dead, full or in trouble. With final=False one lost answer is
        enough: None."""
        loop = asyncio.get_running_loop()
        end = loop.time() + GIVES_UP_AFTER
        headers = {**self._headers, **options.pop("headers", {})}
        while loop.time() < end:
            try:
                answer = await self._http.request(method, self._gateway + path, headers=headers, **options)
            except LOST_ANSWER as error:
                self._note(f"{method} {path[:16]} {type(error).__name__}")
                if not final:
                    return None
            else:
                self._note(f"{method} {path[:16]} {answer.status_code} {_code(answer)}")
                if answer.status_code not in (429, 500, 502, 503, 507) or _code(answer) == "model_crashed":
                    return answer
            await asyncio.sleep(self._dice.uniform(0.02, 0.3))
        raise Impatient(f"{method} {path} has no answer")

    def _note(self, what: str) -> None:
        self.history.append(what)
        self._book.counts[what.split(" ", 2)[-1]] += 1

    async def control(self, path: str, wish: dict[str, Any] | None = None) -> dict[str, Any]:
        """The local Stripe's own controls, which never fail."""
        answer = await self._http.post(f"{self._stripe}/_stub/{path}", json=wish or {})
        found: dict[str, Any] = answer.json()
        self.history.append(f"stripe {path.rsplit('/', maxsplit=1)[-1]} {answer.status_code}")
        return found

    async def shop(self) -> None:
        plan = self.plan
        if plan.keyed:
            answer = await self._sure("POST", "/keys")
            self._headers = {"authorization": f"Bearer {answer['api_key']}"}
        await self._open()
        if plan.means == "expires":
            url = f"{self._stripe}/v1/checkout/sessions/{self.stripe_session}/expire"
            await self._try_stripe("POST", url, auth=("sk_test_faults", ""))
            return
        intent = await self._pay(self.stripe_session)
        await asyncio.gather(self._what_paying_leads_to(intent), self._operate())

    async def _operate(self) -> None:
        how = {"refund": ("refund", self.stripe_session), "reconcile": ("reconcile",)}
        how["otherwise"] = (*how["refund"], "--otherwise")
        if self.plan.command:
            await asyncio.sleep(self._dice.uniform(0, 1.0))
            await self._house.command(*how[self.plan.command], dies_at=self.plan.command_dies_at)

    async def _what_paying_leads_to(self, intent: str) -> None:
        plan = self.plan
        if plan.twice and (again := await self._pay_again()) and plan.back:
            await self._back(again)
        if intent and plan.back and not plan.back_after_run:
            await self._back(intent)
        if plan.spends:
            await self.finish()
        if intent and plan.back and plan.back_after_run:
            await self._back(intent)

    async def _sure(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = await self.ask(method, path, **options)
        assert answer is not None
        found: dict[str, Any] = answer.json()
        return found

    def _body(self, *, failing: bool = False) -> dict[str, Any]:
        if self.plan.slow:
            return {"fmu_id": SLOW, "stop_time": 0.5, "step": 0.1, "start_values": {"pause": 0.05}}
        return {"fmu_id": MODEL, "step": 0.1, "start_values": {"fail_at": 0.5} if failing else {}}

    async def _open(self) -> None:
        """Until Stripe has a session that we know. One whose creation Stripe answers with a stored error is given up
        for another quote, as a person would."""
        for turn in range(8):
            quote = await self._sure("POST", "/simulate", json=self._body())
            self.session_id = quote["session_id"]
            for _ in range(6):
                if self.plan.eager:
                    key = {"idempotency-key": f"pay-{self.number}-{turn}"} if self.plan.idempotency else {}
                    body = {"session_id": self.session_id}
                    answer = await self._try("POST", f"{self._gateway}/pay", json=body, headers=key)
                    url = answer.json().get("checkout_url", "") if answer is not None else ""
                else:
                    answer = await self._try("GET", quote["checkout_url"])
                    url = answer.headers.get("location", "") if answer is not None else ""
                if found := re.search(r"cs_\w+", url):
                    self.stripe_session = found.group()
                    return
                await asyncio.sleep(self._dice.uniform(0.05, 0.4))
        raise Impatient("no checkout could be opened")

    async def _try(self, method: str, url: str, **options: Any) -> httpx.Response | None:
        """Once, whatever comes of it."""
        try:
            headers = {**self._headers, **options.pop("headers", {})}
            answer = await self._http.request(method, url, headers=headers, **options)
        except LOST_ANSWER as error:
            self._note(f"{method} once {type(error).__name__}")
            return None
        self._note(f"{method} once {answer.status_code} {_code(answer)}")
        return answer

    async def _pay(self, session: str) -> str:
        """The payment intent, or "" where nothing was paid yet."""
        means: dict[str, dict[str, Any]] = {
            "card": {"card": "4242424242424242"},
            "refund fails": {"card": "4000000000005126"},
            "bank": {"bank": "000123456789"},
            "bank fails": {"bank": "000222222227"},
        }
        said = await self.control(f"checkout/sessions/{session}/pay", means[self.plan.means])
        intent = str((said.get("session") or {}).get("payment_intent") or "")
        if said.get("outcome") == "paid":
            return intent
        if said.get("outcome") == "processing":
            await asyncio.sleep(self._dice.uniform(0, 0.5))
            outcome = "succeeded" if self.plan.means == "bank" else "failed"
            await self.control(f"payments/{intent}/settle", {"outcome": outcome})
            return intent if outcome == "succeeded" else ""
        self._book.faults.append(f"buyer {self.number}: Stripe would not take the money: {said}")
        return ""

    async def _pay_again(self) -> str:
        """A second session for the same purchase, as if Stripe had forgotten the idempotency key; its payment."""
        auth = ("sk_test_faults", "")
        url = f"{self._stripe}/v1/checkout/sessions"
        for _ in range(20):  # Stripe's faults hit us as well
            first = await self._try_stripe("GET", f"{url}/{self.stripe_session}", auth=auth)
            if first is not None:
                form = {
                    "mode": "payment", "client_reference_id": first["client_reference_id"],
                    "metadata[purchase]": first["client_reference_id"], "success_url": first["success_url"],
                    "payment_intent_data[metadata][purchase]": first["client_reference_id"],
                    "line_items[0][quantity]": 1, "line_items[0][price_data][currency]": "usd",
                    "line_items[0][price_data][unit_amount]": first["amount_total"],
                    "line_items[0][price_data][product_data][name]": "again",
                }  # fmt: skip
                again = await self._try_stripe("POST", url, auth=auth, data=form)
                if again is not None:
                    paid = await self.control(f"checkout/sessions/{again['id']}/pay")
                    return str((paid.get("session") or {}).get("payment_intent") or "")
            await asyncio.sleep(0.1)
        return ""

    async def _try_stripe(self, method: str, url: str, **options: Any) -> dict[str, Any] | None:
        try:
            answer = await self._http.request(method, url, timeout=1, **options)
        except LOST_ANSWER:
            return None
        found: dict[str, Any] = answer.json()
        return found if answer.status_code == 200 else None

    async def _back(self, intent: str) -> None:
        await asyncio.sleep(self._dice.uniform(0, 0.6))
        if self.plan.back in ("refund", "part"):
            await self.control(f"payments/{intent}/refund", {"amount": 40} if self.plan.back == "part" else {})
            return
        dispute = await self.control(f"payments/{intent}/dispute")
        await asyncio.sleep(self._dice.uniform(0, 1.0))
        if "id" in dispute:
            await self.control(f"disputes/{dispute['id']}/close", {"status": self.plan.back})

    async def finish(self) -> None:
        """Collect the token and spend it, until there is a result or the money went back."""
        loop = asyncio.get_running_loop()
        end = loop.time() + GIVES_UP_AFTER
        fails_first, hang_ups = self.plan.fails_first and not self.plan.slow, self.plan.hang_ups
        while loop.time() < end:
            status = await self._sure("GET", f"/payments/checkout/{self.session_id}", params={"wait": self.plan.waits})
            if status.get("code") == "consumed":
                await self._fetch(status["run_url"])
                return
            if status.get("code") in FINAL:
                return
            if self.plan.means == "bank fails" and status.get("status") == "pending":
                return
            if status.get("status") == "ready":
                self.token = status["payment_token"]
                times = self.plan.at_once if not fails_first else 1
                give_up = 0.05 * self._dice.random() if hang_ups else None
                await asyncio.gather(*(self._spend(fails_first, give_up) for _ in range(times)))
                fails_first, hang_ups = False, max(0, hang_ups - 1)
            await asyncio.sleep(self._dice.uniform(0.02, 0.2))
        raise Impatient("the purchase never comes to an end")

    async def _spend(self, failing: bool, give_up: float | None) -> None:
        headers = {"payment-token": self.token}
        if self.plan.idempotency:
            headers["idempotency-key"] = f"run-{self.number}"
        wait = httpx.Timeout(give_up) if give_up is not None else httpx.USE_CLIENT_DEFAULT
        answer = await self.ask("POST", "/simulate", final=False, json=self._body(failing=failing), headers=headers,
                                timeout=wait)  # fmt: skip
        if answer is None:
            self._gave_up_failing |= failing
            return
        said = answer.json()
        if answer.status_code == 200:
            self._keep(said["run_id"], answer.content)
        elif said["code"] == "idempotency_mismatch" and self._gave_up_failing:
            return  # the first request under the key, another one, goes on: nobody waited for its end
        elif said.get("charged"):
            self._book.faults.append(f"buyer {self.number}: charged for {said}")
        elif answer.status_code == 422 and said["code"] != "model_error":
            self._book.faults.append(f"buyer {self.number}: {said}")

    async def _fetch(self, run_url: str) -> None:
        """The result of what was spent, wherever the first answer went."""
        headers = {"payment-token": self.token} if self.token else {}
        path = "/runs/" + run_url.rsplit("/", 1)[1]
        if not self.token and not self.plan.keyed:
            return
        answer = await self.ask("GET", path, headers=headers)
        assert answer is not None
        if answer.status_code == 200:
            self._keep(answer.json()["run_id"], answer.content)
        else:
            self._book.faults.append(f"buyer {self.number}: {path} is {answer.status_code} {answer.text}")

    def _keep(self, run_id: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        if self.delivered.setdefault(run_id, digest) != digest:
            self._book.faults.append(f"buyer {self.number}: {run_id} was answered in two ways")
        if len(self.delivered) > 1:
            self._book.faults.append(f"buyer {self.number}: one token, two results: {sorted(self.delivered)}")


def _code(answer: httpx.Response) -> str:
    if "json" not in answer.headers.get("content-type", ""):
        return ""
    said = answer.json()
    return str(said.get("code") or said.get("status") or "") if isinstance(said, dict) else ""
