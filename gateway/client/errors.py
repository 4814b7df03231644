"""What can go wrong for a buyer. Every refusal of the gateway is a Problem with the way out in `next_step`.

GatewayClientError
├── Unreachable         no gateway answered at this address
├── UnexpectedAnswer    something answered that does not keep the contract
├── WaitedTooLong       the payment did not arrive in the time the caller gave it
└── Problem             an RFC 9457 problem: status, code, detail, field, did_you_mean, next_step
    ├── KeyRefused      401
    ├── PaymentRequired 402, with the `offer`
    ├── NotFound        404
    ├── RunInProgress   409 run_in_progress
    ├── Gone            410: the quote, token or purchase is over
    ├── InvalidRequest  413, 422
    ├── RunFailed       model_error, model_crashed, simulation_timeout, memory_limit, run_cancelled: not charged
    └── Unavailable     408, 429, 502, 503, 507: the same request may work later
"""

from collections.abc import Mapping
from typing import Any

from gateway.client.values import Offer

RUN_FAILURES = frozenset({"model_error", "model_crashed", "simulation_timeout", "memory_limit", "run_cancelled"})


class GatewayClientError(Exception):
    """Anything this package raises on purpose."""


class Unreachable(GatewayClientError):
    """No gateway answered. `sent` tells whether the request may have arrived all the same."""

    def __init__(self, message: str, *, sent: bool = False):
        super().__init__(message)
        self.sent = sent


class UnexpectedAnswer(GatewayClientError):
    """Something answered that does not keep the contract."""


class WaitedTooLong(GatewayClientError):
    """The payment did not arrive in time. It is not lost: ask for the token again with the session id."""

    def __init__(self, session_id: str, waited: float):
        super().__init__(f"no payment arrived within {waited:.0f} s")
        self.session_id = session_id


class Problem(GatewayClientError):
    """A refusal the gateway explains. `body` is the whole problem as it came."""

    def __init__(self, status: int, body: Mapping[str, Any], retry_after: float | None = None):
        self.status = status
        self.body = body
        self.retry_after = retry_after  # seconds
        self.code = _text(body.get("code")) or f"http_{status}"
        self.detail = _text(body.get("detail")) or _text(body.get("title")) or f"The gateway answered {status}."
        self.field = _text(body.get("field"))
        self.did_you_mean = _text(body.get("did_you_mean"))
        self.next_step = _text(body.get("next_step"))
        self.run_url = _text(body.get("run_url"))
        charged = body.get("charged")
        self.charged = charged if isinstance(charged, bool) else None
        super().__init__(f"{self.code}: {self.detail}")


class KeyRefused(Problem):
    """The API key is wrong or was revoked."""


class PaymentRequired(Problem):
    """The run has a price and nothing valid pays for it. `offer` is a fresh quote, None where none came along."""

    def __init__(self, status: int, body: Mapping[str, Any], retry_after: float | None = None):
        super().__init__(status, body, retry_after)
        self.offer = Offer.read(body) if "checkout_url" in body else None


class NotFound(Problem):
    """No such model, purchase or run for these credentials."""


class RunInProgress(Problem):
    """The run that this token or Idempotency-Key pays for is not finished."""


class Gone(Problem):
    """The quote, token or purchase is over."""


class InvalidRequest(Problem):
    """Something in the request is not right; `field` names it."""


class RunFailed(Problem):
    """The run failed and was not charged; the token is ready again."""


class Unavailable(Problem):
    """Not now: the same request may work after `retry_after` seconds."""


_BY_STATUS: dict[int, type[Problem]] = {
    401: KeyRefused,
    402: PaymentRequired,
    404: NotFound,
    408: Unavailable,
    410: Gone,
    413: InvalidRequest,
    422: InvalidRequest,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    507: Unavailable,
}


def problem(status: int, body: Mapping[str, Any], retry_after: float | None = None) -> Problem:
    """The exception for a refusal: by its code where that says more than the status."""
    code = body.get("code")
    if code in RUN_FAILURES:
        return RunFailed(status, body, retry_after)
    if code == "run_in_progress":
        return RunInProgress(status, body, retry_after)
    return _BY_STATUS.get(status, Problem)(status, body, retry_after)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
