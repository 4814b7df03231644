"""Trouble made to order: the n-th call of a path answers 429 or 5xx, is slow, hangs, or is cut, before or after it
took effect.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from stripe_stub.forms import Bool, Enum, Fields, Int, Str

LONGEST = 600.0  # seconds; a slow answer longer than this is a `hang`


@dataclass
class Fault:
    """`times` is how many calls are still hit, None for ever; `nth` counts matching calls down to the first one that
    is hit.
    """

    id: str
    kind: str  # error, slow, hang, cut
    status: int = 500
    path: str = "*"
    method: str = "*"
    nth: int = 1
    times: int | None = 1
    when: str = "before"
    seconds: float = 1.0
    stored: bool = True  # an error after the commit is what the idempotency key repeats from then on
    should_retry: bool | None = None  # the Stripe-Should-Retry header


class Faults:
    """The faults that wait for their call, and the calls that hang."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._count = 0
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._cleared = asyncio.Event()

    def add(self, wish: dict[str, Any]) -> Fault:
        """Raises Invalid on a wish that means nothing. JSON numbers and words; see docs/local-stripe.md for the
        fields.
        """
        wish = dict(wish)
        seconds = min(float(wish.pop("seconds", 1.0)), LONGEST)
        forever = "times" in wish and wish["times"] is None
        texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in wish.items()}
        if forever:
            texts.pop("times")
        fields = Fields(
            {
                "kind": Enum(("error", "slow", "hang", "cut")),
                "status": Int(400, 599),
                "path": Str(),
                "method": Enum(("*", "GET", "POST", "DELETE")),
                "nth": Int(1),
                "times": Int(1),
                "when": Enum(("before", "after")),
                "stored": Bool(),
                "should_retry": Bool(),
            },
            need=("kind",),
        ).parse(texts)
        self._count += 1
        fault = Fault(f"fault_{self._count}", seconds=seconds, **fields)
        if forever:
            fault.times = None
        self._waiting.append(fault)
        return fault

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that hits this call, if any: the first that matches and whose turn it is."""
        hit = None
        for fault in list(self._waiting):
            if not (fnmatchcase(path, fault.path) and fault.method in ("*", method)):
                continue
            if fault.nth > 1:
                fault.nth -= 1
            elif hit is None:
                hit = fault
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._waiting.remove(fault)
        return hit

    async def hang(self) -> None:
        """Until the faults are cleared."""
        await self._cleared.wait()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Around a call that may hang, so that `clear` can wait for its end."""
        self._open += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                self._idle.set()

    async def clear(self) -> None:
        """Forget all faults and cut what hangs; when this returns, its idempotency keys are free."""
        self._waiting.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()
        await self._idle.wait()

    def describe(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self._waiting]
