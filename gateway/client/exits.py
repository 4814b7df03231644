"""Exit codes of the command line, as CONTRACT's "Command line" lists them."""

from enum import IntEnum

from gateway.client.errors import (
    GatewayClientError,
    Gone,
    InvalidRequest,
    KeyRefused,
    NotFound,
    PaymentRequired,
    Problem,
    RunFailed,
    RunInProgress,
    Unreachable,
    WaitedTooLong,
)


class Exit(IntEnum):
    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    UNREACHABLE = 3
    KEY_REFUSED = 4
    NOT_FOUND = 5
    PAYMENT_REQUIRED = 6
    INVALID_REQUEST = 7
    RUN_FAILED = 8  # and was not charged
    WAITED_TOO_LONG = 9


_CODES: list[tuple[type[GatewayClientError], Exit]] = [
    (Unreachable, Exit.UNREACHABLE),
    (KeyRefused, Exit.KEY_REFUSED),
    (NotFound, Exit.NOT_FOUND),
    (PaymentRequired, Exit.PAYMENT_REQUIRED),
    (Gone, Exit.PAYMENT_REQUIRED),  # what was paid for is over: only another payment helps
    (InvalidRequest, Exit.INVALID_REQUEST),
    (RunFailed, Exit.RUN_FAILED),
    (WaitedTooLong, Exit.WAITED_TOO_LONG),
    (RunInProgress, Exit.WAITED_TOO_LONG),
]


def code(error: GatewayClientError) -> Exit:
    if isinstance(error, Gone) and error.code in {"model_withdrawn", "result_expired"}:
        return Exit.NOT_FOUND
    for kind, exit_code in _CODES:
        if isinstance(error, kind):
            return exit_code
    if isinstance(error, Problem) and error.charged is False:
        return Exit.RUN_FAILED
    return Exit.UNEXPECTED
