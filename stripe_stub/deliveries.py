"""Webhooks: who gets which event, how often it is tried, and what the receiver said.

At least once, in no promised order, retried with back-off for three days, like Stripe's
(https://docs.stripe.com/webhooks). A delivery is a row: `{"id", "event", "type", "endpoint", "state", "script",
"attempts", "next_at", "timer"}` with the state pending (in flight or waiting for `next_at`), held (waits to be
overtaken), delivered, failed (given up) or lost (a script drops it for good).
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import asdict

import orjson

from stripe_stub.scripts import ALWAYS, Script, Scripts
from stripe_stub.sender import Sender
from stripe_stub.signature import corrupt, sign
from stripe_stub.world import Obj, World

ANSWER_WITHIN = 20.0  # seconds of real time a receiver has
REDIRECT_WITHIN = 10.0  # seconds of real time Checkout waits for the first answer before it sends the buyer on
BACK_OFF = (
    10,
    60,
    300,
    1800,
    7200,
    18000,
    36000,
    43200,
    43200,
    43200,
    43200,
)  # seconds between attempts; in all about three days
OVERTAKEN_WITHIN = 60  # seconds after which a held delivery goes although nothing came to overtake it
HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    "Cache-Control": "no-cache",
}


class Deliveries:
    """Sends events. Everything here runs in the event loop of the stub."""

    def __init__(self, world: World):
        self._world = world
        self.scripts = Scripts()
        self.signatures_by_stub = False  # sign with the stub's clock instead of the wall's
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._held: dict[str, None] = {key: None for key, row in self.log.items() if row["state"] == "held"}
        self._sender = Sender(ANSWER_WITHIN)
        world.on_event(self.announce)
        world.clock.on("deliver", self._start)
        world.clock.when_quiet(self.quiet)

    @property
    def log(self) -> dict[str, Obj]:
        return self._world.store.table("delivery")

    def announce(self, event: Obj) -> None:
        """A delivery for every endpoint that wants this event."""
        made: list[str] = []
        for endpoint in self._world.store.table("webhook_endpoint").values():
            wanted = endpoint["enabled_events"]
            if endpoint["status"] != "enabled" or not ("*" in wanted or event["type"] in wanted):
                continue
            event["pending_webhooks"] += 1
            script = self.scripts.fate(event["type"], endpoint["id"])
            wait = script.delay or (OVERTAKEN_WITHIN if script.reorder else 0)
            row: Obj = {
                "id": self._world.new_id("dlv_"),
                "event": event["id"],
                "type": event["type"],
                "endpoint": endpoint["id"],
                "url": endpoint["url"],
                "state": "held" if script.reorder else "pending",
                "script": asdict(script),
                "attempts": [],
                "next_at": None,
                "timer": None,
            }
            made.append(row["id"])
            self._save(row)
            if script.reorder:
                self._held[row["id"]] = None
            if wait:
                self._later(row, wait)
            else:
                self._start(row["id"])
        self._world.save(event)
        self._world.private(event["id"])["deliveries"] = made
        self._world.save_private(event["id"])

    def resume(self) -> None:
        """After a restart: what was in flight is tried again."""
        for row in list(self.log.values()):
            if row["state"] == "pending" and row["next_at"] is None:
                self._start(row["id"])

    async def first_answers(self, events: Iterable[Obj], within: float = REDIRECT_WITHIN) -> list[Obj]:
        """Waits until what is being sent of these events has been answered once; gives their rows of the log."""
        rows = [self.log[key] for event in events for key in self._world.private(event["id"])["deliveries"]]
        tasks = [self._tasks[row["id"]] for row in rows if row["id"] in self._tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=within)
        return rows

    async def quiet(self) -> None:
        """Until nothing is in flight."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def flush(self) -> int:
        """Sends everything that waits, once each; answers how many still wait afterwards."""
        await self.quiet()
        waiting = [row for row in self.log.values() if row["state"] in ("pending", "held")]
        for row in waiting:
            self._start(row["id"])
        await self.quiet()
        return sum(row["state"] in ("pending", "held") for row in self.log.values())

    async def resend(self, delivery_id: str) -> Obj:
        """One more attempt by hand, whatever the script says."""
        row = self.log[delivery_id]
        self._cancel_timer(row)
        await self._attempt(row, by_hand=True)
        return row

    async def send_raw(self, body: bytes, url: str, header: str | None) -> Obj:
        """Any bytes to any receiver; None sends no signature."""
        return await self._post(url, body, header)

    def sign(self, body: bytes, secret: str, offset: int = 0) -> str:
        moment = self._world.now() if self.signatures_by_stub else int(time.time())
        return sign(body, secret, moment + offset)

    async def close(self) -> None:
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _start(self, delivery_id: str) -> None:
        row = self.log[delivery_id]
        self._held.pop(delivery_id, None)
        self._cancel_timer(row)
        task = asyncio.get_running_loop().create_task(self._attempt(row))
        self._tasks[delivery_id] = task
        task.add_done_callback(lambda done: self._done(delivery_id, done))

    def _done(self, delivery_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(delivery_id) is task:
            del self._tasks[delivery_id]
        if not task.cancelled():
            task.result()

    async def _attempt(self, row: Obj, by_hand: bool = False) -> None:
        endpoint = self._world.store.table("webhook_endpoint").get(row["endpoint"])
        event = self._world.store.table("event")[row["event"]]
        script = Script(**row["script"])
        tried = sum(not attempt["by_hand"] for attempt in row["attempts"])
        first = len(row["attempts"]) == script.drop % ALWAYS
        answers: list[Obj]
        if endpoint is None:
            answers = [{"status": None, "body": "", "error": "the endpoint was deleted"}]
        elif tried < script.drop and not by_hand:
            answers = [{"status": None, "body": "", "error": "dropped on the way"}]
        else:
            body = orjson.dumps(event, option=orjson.OPT_INDENT_2)  # indented like Stripe's
            header = self.sign(body, self._world.private(endpoint["id"])["secret"])
            if script.corrupt and first:
                header = corrupt(header)
            copies = 1 + (script.duplicate if first else 0)
            answers = await asyncio.gather(*(self._post(endpoint["url"], body, header) for _ in range(copies)))
        now = self._world.now()
        row["attempts"] += [{"at": now, "by_hand": by_hand, **answer} for answer in answers]
        self._conclude(
            row, script, any(200 <= (answer["status"] or 0) < 300 for answer in answers), endpoint is not None
        )
        self._release_held(row)

    def _conclude(self, row: Obj, script: Script, taken: bool, exists: bool) -> None:
        retries = sum(not attempt["by_hand"] for attempt in row["attempts"]) - 1 - script.duplicate
        if taken:
            if row["state"] != "delivered":
                event = self._world.store.table("event")[row["event"]]
                event["pending_webhooks"] = max(0, event["pending_webhooks"] - 1)
                self._world.save(event)
            row["state"] = "delivered"
        elif row["state"] != "delivered":
            if script.drop == ALWAYS:
                row["state"] = "lost"
            elif not exists or retries >= len(BACK_OFF):
                row["state"] = "failed"
            else:
                row["state"] = "pending"
                self._later(row, BACK_OFF[max(0, retries)])
        self._save(row)
        self._world.store.commit()

    def _release_held(self, row: Obj) -> None:
        """Something has arrived at this endpoint: what was held back for it may go now."""
        if row["script"]["reorder"]:
            return
        for key in [key for key in self._held if self.log[key]["endpoint"] == row["endpoint"]]:
            self.log[key]["state"] = "pending"
            self._start(key)

    async def _post(self, url: str, body: bytes, header: str | None) -> Obj:
        headers = {**HEADERS, **({"Stripe-Signature": header} if header is not None else {})}
        return asdict(await self._sender.post(url, headers, body))

    def _later(self, row: Obj, seconds: float) -> None:
        row["next_at"] = int(self._world.now() + seconds)
        row["timer"] = self._world.clock.at(row["next_at"], "deliver", row["id"])
        self._save(row)

    def _cancel_timer(self, row: Obj) -> None:
        if row["timer"] is not None:
            self._world.clock.cancel(row["timer"])
        row["timer"] = row["next_at"] = None
        self._save(row)

    def _save(self, row: Obj) -> None:
        self._world.store.put("delivery", row["id"], row)
