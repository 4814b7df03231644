"""The buyer's side: an SDK over httpx and the command line. Knows nothing of the server but its contract."""

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
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
    WaitedTooLong,
)
from gateway.client.following import RunningRun, RunProgress
from gateway.client.gateway import AsyncGateway, Gateway
from gateway.client.values import (
    Checkout,
    ModelCard,
    NewKey,
    Offer,
    PurchaseStatus,
    RunRequest,
    RunResult,
    Token,
)

__all__ = [
    "AsyncGateway",
    "Checkout",
    "Gateway",
    "GatewayClientError",
    "Gone",
    "InvalidRequest",
    "KeyRefused",
    "ModelCard",
    "NewKey",
    "NotFound",
    "Offer",
    "PaymentRequired",
    "Problem",
    "PurchaseStatus",
    "RunFailed",
    "RunInProgress",
    "RunProgress",
    "RunRequest",
    "RunResult",
    "RunningRun",
    "Token",
    "Unavailable",
    "UnexpectedAnswer",
    "Unreachable",
    "WaitedTooLong",
]
