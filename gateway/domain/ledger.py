"""Ledger: builds transfers, one debit account and one credit account each; nothing else does.

Accounts are `stripe:<mode>:<currency>`, `revenue:…` and `loss:…` (mode is test or live), `token:<purchase>`,
`held:<run>` and `unmatched:<Checkout Session, or purchase of which a part came back>`. Only stripe (the world outside)
and loss may be negative. A transfer's id is the natural key of its cause, so booking the same cause twice is
impossible.
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.money import Money
from gateway.domain.purchases import Purchase


class TransferKind(StrEnum):
    """Why value moved."""

    PAY = "pay"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    REFUND = "refund"  # we ordered it, or a person gave it back by another way than Stripe
    CLAWBACK = "clawback"  # Stripe took it: a refund made in the dashboard, a dispute
    LOSS = "loss"  # the same, after the run was delivered
    RESTORE = "restore"  # it came back: a failed refund, a dispute that was won


@dataclass(frozen=True, slots=True)
class Transfer:
    """A row, never changed after it was written. `pending_id` is the hold that a capture or release resolves."""

    id: str
    debit: str
    credit: str
    amount: int  # micros
    currency: str
    kind: TransferKind
    ref: str  # the purchase, or the Checkout Session whose money is unmatched
    pending_id: str | None = None


@dataclass(frozen=True, slots=True)
class Outside:
    """Stripe's side of a transfer: which of its balances, in which mode."""

    currency: str
    livemode: bool

    def account(self, noun: str) -> str:
        return f"{noun}:{'live' if self.livemode else 'test'}:{self.currency}"


def outside(purchase: Purchase) -> Outside:
    return Outside(purchase.currency, bool(purchase.livemode))


def token_account(purchase_id: str) -> str:
    return f"token:{purchase_id}"


def unmatched_account(ref: str) -> str:
    return f"unmatched:{ref}"


def pay(purchase: Purchase) -> Transfer:
    return Transfer(
        id=f"pay:{purchase.id}",
        debit=outside(purchase).account("stripe"),
        credit=token_account(purchase.id),
        amount=purchase.amount,
        currency=purchase.currency,
        kind=TransferKind.PAY,
        ref=purchase.id,
    )


def pay_unmatched(stripe_session_id: str, money: Money, *, livemode: bool) -> Transfer:
    """Money that pays for nothing on our terms: it waits under the session's id and goes back whole."""
    return Transfer(
        id=f"unmatched:{stripe_session_id}",
        debit=Outside(money.currency, livemode).account("stripe"),
        credit=unmatched_account(stripe_session_id),
        amount=money.micros,
        currency=money.currency,
        kind=TransferKind.PAY,
        ref=stripe_session_id,
    )


def hold(purchase_id: str, run_id: str, money: Money) -> Transfer:
    return Transfer(
        id=f"hold:{run_id}",
        debit=token_account(purchase_id),
        credit=f"held:{run_id}",
        amount=money.micros,
        currency=money.currency,
        kind=TransferKind.HOLD,
        ref=purchase_id,
    )


def capture(purchase_id: str, run_id: str, money: Money, *, livemode: bool) -> Transfer:
    revenue = Outside(money.currency, livemode).account("revenue")
    return _resolve(purchase_id, run_id, money, TransferKind.CAPTURE, revenue)


def release(purchase_id: str, run_id: str, money: Money) -> Transfer:
    return _resolve(purchase_id, run_id, money, TransferKind.RELEASE, token_account(purchase_id))


def _resolve(purchase_id: str, run_id: str, money: Money, kind: TransferKind, credit: str) -> Transfer:
    return Transfer(
        id=f"{kind}:{run_id}",
        debit=f"held:{run_id}",
        credit=credit,
        amount=money.micros,
        currency=money.currency,
        kind=kind,
        ref=purchase_id,
        pending_id=f"hold:{run_id}",
    )


def refund(order_id: str, ref: str, source: str, money: Money, *, livemode: bool) -> Transfer:
    """An order that Stripe carried out: value leaves `source`, a token's account or an unmatched one."""
    return Transfer(
        id=f"refund:{order_id}",
        debit=source,
        credit=Outside(money.currency, livemode).account("stripe"),
        amount=money.micros,
        currency=money.currency,
        kind=TransferKind.REFUND,
        ref=ref,
    )


def taken(purchase: Purchase, cause: str, amount: int, *, source: str | None) -> Transfer:
    """Stripe took value back without our order; `cause` is the refund or dispute, `source` the account it was in. None:
    in none any more, so that it is a loss."""
    stripe = outside(purchase)
    return Transfer(
        id=f"back:{cause}",
        debit=source or stripe.account("loss"),
        credit=stripe.account("stripe"),
        amount=amount,
        currency=purchase.currency,
        kind=TransferKind.CLAWBACK if source else TransferKind.LOSS,
        ref=purchase.id,
    )


def taken_unmatched(stripe_session_id: str, cause: str, money: Money, *, livemode: bool, lost: bool) -> Transfer:
    """Stripe took unmatched money back without our order; a loss where it had gone back before."""
    stripe = Outside(money.currency, livemode)
    return Transfer(
        id=f"back:{cause}",
        debit=stripe.account("loss") if lost else unmatched_account(stripe_session_id),
        credit=stripe.account("stripe"),
        amount=money.micros,
        currency=money.currency,
        kind=TransferKind.LOSS if lost else TransferKind.CLAWBACK,
        ref=stripe_session_id,
    )


def given_otherwise(ref: str, number: int, source: str, money: Money, *, livemode: bool) -> Transfer:
    """A person gave the buyer what is in `source`, by another way than Stripe: what Stripe has of it is the seller's.
    `number` counts the times."""
    return Transfer(
        id=f"otherwise:{ref}:{number}",
        debit=source,
        credit=Outside(money.currency, livemode).account("revenue"),
        amount=money.micros,
        currency=money.currency,
        kind=TransferKind.REFUND,
        ref=ref,
    )


def restore(ref: str, cause: str, money: Money, *, livemode: bool, to: str) -> Transfer:
    """What `cause` took came back: to the token, off the loss, or to where a person must look at it (unmatched)."""
    return Transfer(
        id=f"restore:{cause}",
        debit=Outside(money.currency, livemode).account("stripe"),
        credit=to,
        amount=money.micros,
        currency=money.currency,
        kind=TransferKind.RESTORE,
        ref=ref,
    )


# What an account is called to the buyer whose money it is.
PLACES = {
    "stripe": "your payment method",
    "token": "your payment token",
    "held": "held for the run",
    "revenue": "the seller",
    "loss": "the seller",
    "unmatched": "waiting to go back to you",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A transfer as its buyer reads it. `seq` counts up in the order of booking; `at` is epoch seconds."""

    seq: int
    id: str
    kind: TransferKind
    money: Money
    source: str
    target: str
    purchase: str
    run: str | None
    at: int


def entry(
    *, seq: int, id: str, kind: str, debit: str, credit: str, amount: int, currency: str, at: int, purchase: str
) -> Entry:
    """Of a transfer's row and the purchase it belongs to."""
    accounts = (debit, credit)
    return Entry(
        seq=seq,
        id=id,
        kind=TransferKind(kind),
        money=Money(amount, currency),
        source=PLACES[debit.split(":", 1)[0]],
        target=PLACES[credit.split(":", 1)[0]],
        purchase=purchase,
        run=next((account.removeprefix("held:") for account in accounts if account.startswith("held:")), None),
        at=at,
    )


@dataclass(frozen=True, slots=True)
class AtRisk:
    """Micros that buyers paid and have nothing for yet. `refunds_todo` is also part of what is unmatched where the
    order gives unmatched money back; the others do not overlap."""

    unspent: int
    held: int
    unmatched: int
    refunds_todo: int
