"""What travels between a buyer and a gateway, as frozen values. `body` is always the JSON as it came."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any, Self

StartValue = float | int | bool | str | list[Any]


@dataclass(frozen=True)
class RunRequest:
    """What to simulate; whatever is None comes from the model's default experiment.

    Times in seconds. `step` is the interval of the result rows. `input_signals` is a list of
    {"name", "t": [s…], "u": [value…], "unit"?}; `kpis` are "<variable>:<min|max|mean|rms|final|integral|time_of_max>".
    `fmi_type` is "co_simulation" or "model_exchange", `solver` "CVode" or "Euler" (for model exchange, and without
    `fmi_type` it asks for that), `tolerance` a relative one. `max_price` is a decimal string in the price's
    currency: above it nothing is created.
    """

    fmu_id: str
    start_time: float | None = None
    stop_time: float | None = None
    step: float | None = None
    start_values: Mapping[str, StartValue] | None = None
    input_signals: Sequence[Mapping[str, Any]] | None = None
    outputs: Sequence[str] | None = None
    kpis: Sequence[str] | None = None
    fmi_type: str | None = None
    solver: str | None = None
    tolerance: float | None = None
    max_price: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The body of POST /simulate, without what was not said."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in said.items() if value is not None}

    def idempotency_key(self, payment_token: str) -> str:
        """One token buys one run, so token and request name it: whoever repeats both gets the same answer."""
        said = self.as_json()
        said.pop("max_price", None)
        text = json.dumps([payment_token, said], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:40]


class Malformed(ValueError):
    """An answer lacks what the contract promises."""


@dataclass(frozen=True)
class _Read:
    """A JSON object of the gateway: known names become fields, all of it stays in `body`."""

    body: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Malformed where a field without a default is missing."""
        known = {each.name: body[each.name] for each in fields(cls) if each.name in body and each.name != "body"}
        try:
            return cls(body=body, **known)
        except TypeError:
            raise Malformed(f"the answer is no {cls.__name__}: it has only {', '.join(map(str, body))}") from None


@dataclass(frozen=True)
class Offer(_Read):
    """A quote. Open `checkout_url` and pay; `session_id` collects the payment token. A free model's has neither."""

    fmu_id: str
    amount: str
    currency: str
    checkout_url: str = ""
    session_id: str = ""
    status_url: str = ""
    expires_at: str = ""
    methods: Sequence[str] = ()
    next_step: str = ""

    @property
    def is_free(self) -> bool:
        return not self.checkout_url


@dataclass(frozen=True)
class Checkout(_Read):
    """An opened purchase: `checkout_url` is Stripe's own page."""

    checkout_url: str
    session_id: str
    amount: str
    currency: str
    stripe_session_id: str = ""


@dataclass(frozen=True)
class Token(_Read):
    """The payment token: it buys one run of the model it was bought for."""

    payment_token: str
    expires_at: str = ""


@dataclass(frozen=True)
class PurchaseStatus(_Read):
    """`status`: pending, running, ready (with `payment_token`), consumed, expired, refunded, revoked."""

    status: str
    payment_token: str | None = None
    expires_at: str | None = None
    run_url: str | None = None


@dataclass(frozen=True)
class NewKey(_Read):
    """An API key, shown this once."""

    api_key: str
    key_id: str
    account_id: str


@dataclass(frozen=True)
class ModelCard(_Read):
    """A model for sale. `price` is a decimal string in `currency`."""

    fmu_id: str
    name: str = ""
    description: str = ""
    fmi_version: str = ""
    sha256: str = ""
    price: str = ""
    currency: str = ""
    default_experiment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_free(self) -> bool:
        try:
            return Decimal(self.price) == 0
        except InvalidOperation:
            return False


@dataclass(frozen=True)
class RunResult(_Read):
    """A finished run. `data` maps each of `columns` (time first) to its values; None stands for NaN and infinities."""

    run_id: str
    fmu_id: str
    columns: Sequence[str]
    data: Mapping[str, Sequence[float | None]]
    status: str = "succeeded"
    charged: bool = False
    amount: str = "0"
    currency: str = ""
    units: Mapping[str, str | None] = field(default_factory=dict)
    kpis: Mapping[str, float | None] = field(default_factory=dict)
    reached_time: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    receipt: Mapping[str, Any] | None = None
    run_token: str | None = None
