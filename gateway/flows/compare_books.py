"""Compare books: what Stripe says of every payment, refund and dispute against what we booked. They must be equal."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.domain.money import Money
from gateway.flows.services import Services
from gateway.store.reports import read_money_by_payment, read_stripe_balances

KINDS = {"charge": "payments", "refund": "refunds", "dispute": "disputes"}
Amounts = dict[str, int]  # by currency, in micros


@dataclass(frozen=True, slots=True)
class Difference:
    """A payment of which Stripe has another amount left than our books. Micros."""

    payment: str
    ref: str | None  # our purchase, or the Checkout Session whose money is unmatched; None if we know nothing of it
    currency: str
    stripe: int
    ours: int


@dataclass(frozen=True, slots=True)
class Books:
    """All micros, by currency. `others` is money in Stripe's account that never was this gateway's business; `fees` are
    Stripe's own, which are the operator's to bear, and in no comparison."""

    stripe: Mapping[str, Amounts]  # payments, refunds, disputes
    ours: Amounts  # the balances of our stripe accounts
    differences: list[Difference]
    others: Amounts
    fees: Amounts

    @property
    def net(self) -> Amounts:
        """What Stripe has left of all of it."""
        total: Amounts = {}
        for amounts in self.stripe.values():
            for currency, micros in amounts.items():
                _add(total, currency, micros)
        return total

    @property
    def equal(self) -> bool:
        sums = {currency: (self.net.get(currency, 0), self.ours.get(currency, 0)) for currency in self.currencies}
        return not self.differences and all(stripe == ours for stripe, ours in sums.values())

    @property
    def currencies(self) -> list[str]:
        return sorted({*self.net, *self.ours})


async def compare_books(services: Services) -> Books:
    """Reads the whole of both. StripeUnavailable. What happens meanwhile may show as a difference: compare again."""
    if services.checkout is None:
        return Books({}, {}, [], {}, {})
    movements = [movement async for movement in services.checkout.movements()]
    livemode = services.settings.livemode
    booked = await read_money_by_payment(services.store, livemode=livemode)
    known = {payment for payment, _ in booked}
    known |= {m.payment_intent_id for m in movements if m.purchase_id is not None and m.payment_intent_id is not None}
    stripe: dict[str, Amounts] = {name: {} for name in KINDS.values()}
    by_payment: dict[tuple[str, str], int] = {}
    others: Amounts = {}
    fees: Amounts = {}
    for movement in movements:
        micros = Money.from_minor(movement.amount, movement.currency).micros
        payment = movement.payment_intent_id
        if payment is None or payment not in known:
            _add(others, movement.currency, micros)
            continue
        _add(stripe[KINDS[movement.kind]], movement.currency, micros)
        _add(fees, movement.fee_currency, Money.from_minor(movement.fee, movement.fee_currency).micros)
        by_payment[payment, movement.currency] = by_payment.get((payment, movement.currency), 0) + micros
    differences = [
        Difference(payment, ref, currency, left, ours)
        for payment, currency in sorted({*booked, *by_payment})
        for ref, ours in [booked.get((payment, currency), (None, 0))]
        if (left := by_payment.get((payment, currency), 0)) != ours
    ]
    return Books(stripe, await read_stripe_balances(services.store, livemode=livemode), differences, others, fees)


def _add(amounts: Amounts, currency: str, micros: int) -> None:
    amounts[currency] = amounts.get(currency, 0) + micros
