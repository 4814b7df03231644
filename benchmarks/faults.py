"""Faults: buyers and a local Stripe on bad days, while the gateway is killed again and again. Nothing may be lost.

    .venv/bin/python benchmarks/faults.py --purchases 1000 --kills 300 [--seed N] [--buyers 12] [--schedule]

Real processes; kill -9 at random moments and at every named step of dying_gateway.py; webhooks dropped, repeated,
delayed, reordered; Stripe answering 500 after it committed, 429, nothing; refunds and disputes made in the dashboard;
buyers who repeat, hang up, pay twice and forget; operators whose commands die, too. The invariants are checked after
every kill. At the end the gateway starts once more, everybody who paid comes for their result, and fault_checks.py says
what is not right: exit 1 then.
Every decision is drawn from the seed and printed by --schedule; what coincides with what is up to the machine.
"""

import argparse
import asyncio
import secrets
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
from dying_gateway import COMMAND_STEPS, STEPS
from fault_buyers import Book, Buyer, Plan
from fault_checks import all_checks, rows, unfinished
from fault_house import Death, House, shares
from fault_weather import BadDays

QUIET_SECONDS = 60.0  # in which everything open must be finished once the weather is good
CALM = 15  # looks, three seconds: a round of the reconciler takes less, also on a slow machine
NEVER = 86400.0  # UNSPENT_SECONDS of the last life, in which unspent tokens are spent
TALLY = """
SELECT 'purchases ' || state AS what, count(*) AS n FROM purchase GROUP BY state
UNION ALL SELECT 'tokens ' || state, count(*) FROM token GROUP BY state
UNION ALL SELECT 'runs ' || state || COALESCE(' ' || code, ''), count(*) FROM run GROUP BY state, code
UNION ALL SELECT 'transfers ' || kind, count(*) FROM transfer GROUP BY kind
UNION ALL SELECT 'refund orders ' || state, count(*) FROM outbox GROUP BY state
"""


class Simulation:
    """One house, many buyers, many deaths."""

    def __init__(self, seed: int, folder: Path, http: httpx.AsyncClient):
        self.seed, self.http = seed, http
        self.house = House(folder)
        self.weather = BadDays(seed, http, self.house.stripe_url)
        self.book = Book()
        self.buyers: list[Buyer] = []
        self.lives = 0
        self.done = False
        self.stripe_state: dict[str, Any] = {}

    async def run(self, purchases: int, kills: int, at_once: int, seconds: float) -> list[str]:
        """Sentences about what is not right. It is over after all purchases and kills, or after `seconds`."""
        bad_days = asyncio.create_task(self.weather.go_on())
        shops = [asyncio.create_task(self._shop_on(purchases / kills)) for _ in range(at_once)]
        end = time.monotonic() + seconds
        for self.lives, death in enumerate(Death.schedule(self.seed, kills), start=1):  # noqa: B020
            await self.house.live(self.http, death)
            if bad_days.done():
                bad_days.result()
            if time.monotonic() > end:
                break
        self.done = True
        bad_days.cancel()
        await asyncio.gather(bad_days, return_exceptions=True)
        await self.weather.end()
        await self.house.start(self.http, None, NEVER)
        await asyncio.gather(*shops)
        await self._rest()
        places = asyncio.Semaphore(at_once)
        await asyncio.gather(*(self._come_back(buyer, places) for buyer in self.buyers))
        await self._rest()
        if await asyncio.to_thread(unfinished, self.house.database):
            await self.weather.pass_a_day()  # for so long Stripe repeats a 500, whatever it had stood for
            await self._rest()
        await self.house.stop()
        self.stripe_state = await self.weather.state()
        results = self.house.folder / "results"
        found = await asyncio.to_thread(all_checks, self.house.database, results, self.stripe_state, self.buyers)
        return [*self.house.faults, *self.book.faults, *found]

    async def _shop_on(self, buyers_per_life: float) -> None:
        """One buyer after the other, so many to each life of the gateway, until its last one is over."""
        while not self.done:
            if len(self.buyers) >= buyers_per_life * (self.lives + 1):
                await asyncio.sleep(0.02)
                continue
            buyer = Buyer(self.seed, len(self.buyers), self.http, self.house, self.book)
            self.buyers.append(buyer)
            await self._patiently(buyer, buyer.shop())

    async def _come_back(self, buyer: Buyer, places: asyncio.Semaphore) -> None:
        """Who paid and did not spend does so now: what is said to be spendable must be."""
        if buyer.stripe_session and buyer.plan.means != "expires":
            async with places:
                await self._patiently(buyer, buyer.finish())

    async def _patiently(self, buyer: Buyer, shopping: Coroutine[Any, Any, None]) -> None:
        try:
            await shopping
        except Exception as error:
            self.book.faults.append(f"buyer {buyer.number}: {error!r}")

    async def _rest(self) -> None:
        """Until nothing is open any more, for so many looks in a row: what webhooks lost comes with the next round."""
        end, calm = time.monotonic() + QUIET_SECONDS, 0
        while calm < CALM and time.monotonic() < end:
            open_still = await self.weather.flush() or await asyncio.to_thread(unfinished, self.house.database)
            calm = 0 if open_still else calm + 1
            await asyncio.sleep(0.2)

    def report(self, took: float) -> str:
        tally = Counter({row["what"]: row["n"] for row in rows(self.house.database, TALLY)})
        paid = sum(s["payment_status"] == "paid" for s in self.stripe_state["objects"]["checkout.session"])
        attempts = [a for d in self.stripe_state["deliveries"] for a in d["attempts"]]
        lost = Counter(a["error"] or str(a["status"]) for a in attempts)
        starts = sorted(self.house.starts)
        died = self.house.died_at
        at_steps = died.total() - died["a random moment"]
        commands_died = self.house.commands_died_at
        steps = sorted({*STEPS, *chain(*COMMAND_STEPS.values())})
        missed = [step for step in steps if not died[step] + commands_died[step]]
        sales = sorted(self.house.first_sales)
        first_sale = f"median {statistics.median(sales):.2f} s of {len(sales)} lives" if sales else "there was none"
        return "\n".join(
            (
                f"seed {self.seed}, {took:.0f} s, {len(self.buyers)} buyers",
                f"  {paid} purchases paid at Stripe, {died.total()} kills: "
                f"{died['a random moment']} at random moments, {at_steps} at named steps",
                f"  {self.house.commands} commands of operators, {commands_died.total()} of them killed",
                f"  named steps died at: {len(steps) - len(missed)} of {len(steps)}",
                f"  never died at: {', '.join(missed) or 'nothing'}",
                f"  start to first answer: median {statistics.median(starts):.2f} s, longest {starts[-1]:.2f} s",
                f"  start to first sale: {first_sale}",
                f"  {shares(tally)}",
                f"  Stripe: {shares(self.weather.counts)}",
                f"  webhook attempts: {shares(lost)}",
                f"  answers to buyers: {shares(self.book.counts)}",
            )
        )


def explain(simulation: Simulation, faults: Sequence[str]) -> None:
    """The history of every buyer whom a fault names, by number or by purchase."""
    text = "\n".join(faults)
    sessions = {
        row["stripe_session_id"]: row["id"] for row in rows(simulation.house.database, "SELECT * FROM purchase")
    }
    for buyer in simulation.buyers:
        purchase = sessions.get(buyer.stripe_session, "-")
        if f"buyer {buyer.number}" in text or purchase in text or (set(buyer.delivered) & set(text.split())):
            print(
                f"buyer {buyer.number}, {purchase}, {buyer.stripe_session}: {buyer.plan}\n  {'; '.join(buyer.history)}"
            )


async def simulate(chosen: argparse.Namespace, folder: Path) -> int:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)  # the other end dies all the time
    async with httpx.AsyncClient(timeout=15, limits=limits, trust_env=False, verify=False) as http:
        simulation = Simulation(chosen.seed, folder, http)
        begun = time.monotonic()
        try:
            faults = await simulation.run(chosen.purchases, chosen.kills, chosen.buyers, chosen.seconds)
        finally:
            simulation.house.close()
    print(simulation.report(time.monotonic() - begun))
    if faults:
        explain(simulation, faults)
        print(f"{len(faults)} faults; python benchmarks/faults.py --seed {chosen.seed} draws the same decisions:")
        print(*faults[:50], sep="\n")
        return 1
    print("  violations of invariants 0; Stripe's net equals the books; every payment is delivered or went back")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--purchases", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop killing after so long")
    parser.add_argument("--buyers", type=int, default=12, help="at the same time")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--schedule", action="store_true", help="print what the seed decides, and do nothing")
    parser.add_argument("--keep", type=Path, help="a folder that stays: database, results, the gateway's log")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    if chosen.schedule:
        print(*(f"death {n}: {d}" for n, d in enumerate(Death.schedule(chosen.seed, chosen.kills))), sep="\n")
        print(*(f"buyer {n}: {Plan.draw(chosen.seed, n)}" for n in range(chosen.purchases)), sep="\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        return asyncio.run(simulate(chosen, chosen.keep or Path(temporary)))


if __name__ == "__main__":
    raise SystemExit(main())
