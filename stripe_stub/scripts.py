"""What happens to a webhook on its way: dropped, doubled, delayed, overtaken, its signature broken; by rule or by
seed.
"""

import random
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from stripe_stub.errors import Invalid


@dataclass(frozen=True)
class Script:
    """The fate of one delivery. The default is what a good day looks like."""

    drop: int = 0  # how many attempts are lost on the way; ALWAYS: every one that is not asked for by hand
    duplicate: int = 0  # how many copies arrive besides the first
    delay: float = 0.0  # seconds of the stub's clock before the first attempt
    reorder: bool = False  # waits until a later delivery to the same endpoint has arrived
    corrupt: bool = False  # the first attempt's signature does not fit


ALWAYS = 1_000_000


@dataclass
class Rule:
    """Gives its script to deliveries of a type (with *) to an endpoint, from the `nth` on, `times` times (None: for
    ever).
    """

    script: Script
    type: str = "*"
    endpoint: str = "*"
    nth: int = 1
    times: int | None = 1


@dataclass
class Scripts:
    """Asked once per delivery, in the order in which the deliveries come about."""

    rules: list[Rule] = field(default_factory=list)
    seed: int | None = None
    _seen: dict[str, int] = field(default_factory=dict)

    def add(self, wish: dict[str, Any]) -> None:
        wish = dict(wish)
        if "seed" in wish:
            self.seed, self._seen = wish["seed"], {}
            return
        fates = {name: wish.pop(name) for name in ("drop", "duplicate", "delay", "reorder", "corrupt") if name in wish}
        if fates.get("drop") is True:
            fates["drop"] = ALWAYS
        unknown = set(wish) - {"type", "endpoint", "nth", "times"}
        if unknown or not fates:
            names = ", ".join(unknown) or "other way"
            raise Invalid(f"A script needs drop, duplicate, delay, reorder or corrupt, and knows no {names}.")
        self.rules.append(Rule(Script(**fates), **wish))

    def clear(self) -> None:
        self.rules.clear()
        self.seed = None

    def fate(self, type_: str, endpoint: str) -> Script:
        for rule in list(self.rules):
            if not (fnmatchcase(type_, rule.type) and fnmatchcase(endpoint, rule.endpoint)):
                continue
            if rule.nth > 1:
                rule.nth -= 1
                continue
            if rule.times is not None:
                rule.times -= 1
                if rule.times == 0:
                    self.rules.remove(rule)
            return rule.script
        return self._drawn(type_) if self.seed is not None else Script()

    def describe(self) -> list[dict[str, Any]]:
        drawn: list[dict[str, Any]] = [] if self.seed is None else [{"seed": self.seed}]
        return drawn + [asdict(rule) for rule in self.rules]

    def _drawn(self, type_: str) -> Script:
        """The n-th delivery of a type has the same fate under a seed, however the types are interleaved."""
        self._seen[type_] = count = self._seen.get(type_, 0) + 1
        dice = random.Random(f"{self.seed}:{type_}:{count}")  # noqa: S311 (a repeatable test, no secret)
        match dice.randrange(10):
            case 0:
                return Script(drop=dice.randint(1, 2))
            case 1:
                return Script(duplicate=dice.randint(1, 4))
            case 2:
                return Script(delay=dice.randint(1, 600))
            case 3:
                return Script(reorder=True)
            case 4:
                return Script(corrupt=True)
        return Script()
