"""What the pages show: plain frozen values, made by the routes, so that a page can be rendered without a server."""

from dataclasses import dataclass
from typing import Literal

from gateway.errors import every_problem

PurchaseStatus = Literal["pending", "ready", "running", "consumed", "expired", "refunded", "revoked"]

# Classes that only group others: nothing raises them, so no caller ever reads about them.
GROUPS_ONLY = frozenset({"offer", "gone", "run_failed", "upload_refused"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """One model on the landing page. Times are in seconds; `plot_svg` is trusted SVG of plot.plot_svg, or ""."""

    fmu_id: str
    name: str
    description: str
    fmi_version: str
    price_text: str  # "1.00 usd" or "free"
    is_free: bool
    stop_time: float
    step: float
    inputs: int = 0
    outputs: int = 0
    plot_svg: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessView:
    """A purchase as its buyer sees it after Checkout. `payment_token` is None wherever it must not be shown."""

    status: PurchaseStatus
    fmu_id: str
    amount_text: str  # "1.00 usd"
    base_url: str
    keyed: bool  # bought with an API key: status and command, never the token
    payment_token: str | None = None
    run_url: str | None = None
    support_contact: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemEntry:
    """One kind of problem, as its page at /problems/{code} explains it."""

    code: str
    title: str
    status: int
    explanation: str
    next_step: str


def problem_entries() -> tuple[ProblemEntry, ...]:
    """Every problem that can reach a caller, by status and code."""
    entries = [
        ProblemEntry(
            code=code,
            title=cls.title,
            status=cls.status,
            explanation=(cls.__doc__ or cls.title).split("\n", 1)[0],
            next_step=cls.next_step,
        )
        for code, cls in every_problem().items()
        if code not in GROUPS_ONLY
    ]
    return tuple(sorted(entries, key=lambda entry: (entry.status, entry.code)))
