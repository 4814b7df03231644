"""Purchase: a quote that somebody began to pay."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.money import Money
from gateway.domain.quotes import Quote


class PurchaseState(StrEnum):
    """new → open (Stripe has a session) → processing (a method that settles later) → paid; or expired, failed."""

    NEW = "new"
    OPEN = "open"
    PROCESSING = "processing"
    PAID = "paid"
    EXPIRED = "expired"
    FAILED = "failed"


# Late money wins: whatever we thought, a payment that arrives is a payment.
MOVES: dict[PurchaseState, frozenset[PurchaseState]] = {
    PurchaseState.NEW: frozenset(
        {PurchaseState.OPEN, PurchaseState.PROCESSING, PurchaseState.PAID, PurchaseState.EXPIRED}
    ),
    PurchaseState.OPEN: frozenset(
        {PurchaseState.PROCESSING, PurchaseState.PAID, PurchaseState.EXPIRED, PurchaseState.FAILED}
    ),
    PurchaseState.PROCESSING: frozenset({PurchaseState.PAID, PurchaseState.FAILED}),
    PurchaseState.PAID: frozenset(),
    PurchaseState.EXPIRED: frozenset({PurchaseState.PROCESSING, PurchaseState.PAID}),
    PurchaseState.FAILED: frozenset({PurchaseState.PROCESSING, PurchaseState.PAID}),
}


@dataclass(frozen=True, slots=True)
class Purchase:
    """A row, with everything in it that its Checkout Session was or will be created with."""

    id: str
    account_id: str | None
    kind: str
    fmu_id: str
    fmu_sha256: str
    amount: int  # micros
    currency: str
    livemode: int
    state: PurchaseState
    quote_expires_at: int  # epoch seconds, as are all times here
    expires_at: int  # of the Checkout Session
    success_url: str
    cancel_url: str
    return_code: str  # in the success URL: only the browser that Stripe sends back knows it
    stripe_session_id: str | None
    payment_intent_id: str | None
    checkout_url: str | None
    receipt_url: str | None
    created_at: int
    paid_at: int | None

    @property
    def price(self) -> Money:
        return Money(self.amount, self.currency)

    @property
    def quote(self) -> Quote:
        """The quote this purchase began with: its session id can be signed again from it."""
        return Quote(self.id, self.account_id, self.fmu_sha256, self.price, bool(self.livemode), self.quote_expires_at)
