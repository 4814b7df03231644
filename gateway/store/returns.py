"""Returns: the operations by which money goes back, at our order or at somebody else's."""

import json
import sqlite3
from dataclasses import dataclass

from gateway.domain import ledger
from gateway.domain.ledger import token_account, unmatched_account
from gateway.domain.money import Money
from gateway.domain.purchases import Purchase
from gateway.domain.tokens import MOVES, TokenState
from gateway.store import money as moves
from gateway.store.connection import queries
from gateway.store.money import Ending, Refused, book
from gateway.store.records import Run, purchase_of, token_of
from gateway.store.statements import Database


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Money that came for no purchase on its terms; `purchase_id` is the one that it was meant for."""

    stripe_session_id: str
    purchase_id: str
    payment_intent_id: str
    money: Money
    livemode: bool


def balance(db: Database, account: str) -> int:
    """Micros in an account; 0 where nothing was ever booked."""
    row = queries.balance(db, acct=account)
    return int(row["amount"]) if row else 0


def order_refund(db: Database, purchase_id: str, *, reason: str, now: int) -> bool:
    """Take a ready token out of circulation and order a refund of what is in it. False if it is not ready."""
    row = queries.purchase(db, id=purchase_id)
    token = queries.token(db, id=purchase_id)
    if row is None or row["payment_intent_id"] is None or token is None or token["state"] != TokenState.READY:
        return False
    move_token(db, purchase_id, TokenState.REFUNDING)
    _order(db, purchase_of(row), balance(db, token_account(purchase_id)), reason, now)
    return True


def ask_refund(db: Database, purchase_id: str, *, reason: str, now: int) -> TokenState | None:
    """What an operator asks for: ordered at once for a ready token (then `refunding`), written down for a held one, to
    be ordered by its release. Nothing happens in any other state. The state after it; None if nothing was ever paid."""
    if not order_refund(db, purchase_id, reason=reason, now=now):
        queries.wish_refund(db, id=purchase_id, reason=reason)
    token = queries.token(db, id=purchase_id)
    return TokenState(token["state"]) if token else None


def finish_run(db: Database, run_id: str, ending: Ending, *, now: int) -> Run | None:
    """money.finish_run, and the refund that was asked for meanwhile if the run was not captured."""
    run = moves.finish_run(db, run_id, ending, now=now)
    if run is not None and run.token_id is not None and ending.result_sha256 is None:
        reason = queries.token(db, id=run.token_id)["refund_reason"]
        if reason is not None:
            queries.forget_refund_wish(db, id=run.token_id)
            order_refund(db, run.token_id, reason=reason, now=now)
    return run


def take_unmatched(db: Database, unmatched: Unmatched, *, reason: str, now: int) -> bool:
    """Book money that came for nothing and order its refund, whole. False if that was done before."""
    transfer = ledger.pay_unmatched(unmatched.stripe_session_id, unmatched.money, livemode=unmatched.livemode)
    if queries.transfer(db, id=transfer.id) is not None:
        return False
    book(db, transfer, now)
    _write_order(
        db,
        ref=unmatched.stripe_session_id,
        purchase_id=unmatched.purchase_id,
        payment_intent_id=unmatched.payment_intent_id,
        amount=unmatched.money.micros,
        currency=unmatched.money.currency,
        livemode=int(unmatched.livemode),
        reason=reason,
        now=now,
    )
    return True


def finish_refund(db: Database, order_id: str, *, refund_id: str, now: int) -> bool:
    """Stripe took the order: book it. False if it was booked, or became void, before."""
    order = queries.finish_order(db, id=order_id, remote_id=refund_id)
    if order is None:
        return False
    ref = order["ref"]
    matched = queries.token(db, id=ref) is not None
    if matched:
        move_token(db, ref, TokenState.REFUNDED)
    source = token_account(ref) if matched else unmatched_account(ref)
    money = Money(order["amount"], order["currency"])
    book(db, ledger.refund(order_id, ref, source, money, livemode=bool(order["livemode"])), now)
    return True


def refuse_refund(db: Database, order_id: str, *, reason: str, now: int) -> bool:
    """Stripe will never carry out an order: its value can be spent again, and a person must look. False if it is done
    or void."""
    order = queries.refuse_order(db, id=order_id, error=reason)
    if order is None:
        return False
    ref = order["ref"]
    if queries.token(db, id=ref) is None:  # unmatched money stays where it is
        return True
    purchase = purchase_of(queries.purchase(db, id=ref))
    if order["amount"] == purchase.amount:
        move_token(db, ref, TokenState.READY)
    else:  # a token of less than a run's price buys nothing: what is left of it is set apart
        move_token(db, ref, TokenState.REVOKED)
        _set_apart(db, purchase, order_id, order["amount"], now)
    return True


def refund_failed(db: Database, refund_id: str, *, now: int) -> bool:
    """A refund, ours or not, could not be carried out: its value comes back. False if it is back, or never left."""
    taken = queries.transfer(db, id=f"back:{refund_id}")
    order = queries.fail_order(db, remote_id=refund_id)
    if order is None and (taken is None or queries.transfer(db, id=f"restore:{refund_id}") is not None):
        return False
    ref, amount = (order or taken)["ref"], (order or taken)["amount"]
    row = queries.purchase(db, id=ref)
    if row is None:  # unmatched money: what we ordered waits for a person now, the rest is ordered back
        return _restore_unmatched(db, order or taken, refund_id, again=order is None, now=now)
    purchase = purchase_of(row)
    _restore_loss(db, purchase, refund_id, now)
    if order is None and taken["kind"] == ledger.TransferKind.LOSS:
        return _restore(db, purchase, refund_id, amount, to=ledger.outside(purchase).account("loss"), now=now)
    rest_goes_back = _state(db, ref) is TokenState.REFUNDING  # Stripe may have carried that out by now
    whole = balance(db, token_account(ref)) + amount == purchase.amount
    if rest_goes_back or not whole:  # a token of less than a run's price buys nothing
        if order is not None:
            move_token(db, ref, TokenState.REVOKED)
        return _restore(db, purchase, refund_id, amount, to=unmatched_account(ref), now=now)
    move_token(db, ref, TokenState.READY)
    return _restore(db, purchase, refund_id, amount, to=token_account(ref), now=now)


def take_back(db: Database, purchase_id: str, cause: str, amount: int, *, disputed: bool, now: int) -> bool:
    """Stripe took `amount` micros of a purchase: by a refund that we did not order, or by a dispute.

    Unspent value is revoked (disputed: frozen), and the rest ordered back where only a part was taken; then what was
    set apart is taken; delivered value is a loss. False if it is booked. Refused while the token is held: the run must
    end first.
    """
    if queries.transfer(db, id=f"back:{cause}") is not None:
        return False
    purchase = purchase_of(queries.purchase(db, id=purchase_id))
    if _state(db, purchase_id) is TokenState.HELD:
        raise Refused("the token is held")
    left, apart = balance(db, token_account(purchase_id)), balance(db, unmatched_account(purchase_id))
    if amount > left:
        if left:  # all that there is was taken: set apart first, it is taken as one
            queries.void_orders(db, ref=purchase_id)
            move_token(db, purchase_id, TokenState.REVOKED)
            _set_apart(db, purchase, f"{cause}:rest", left, now)
        found = min(amount, left + apart)
        if found:
            book(db, ledger.taken(purchase, cause, found, source=unmatched_account(purchase_id)), now)
        if amount > found:
            book(db, ledger.taken(purchase, f"{cause}:loss" if found else cause, amount - found, source=None), now)
        return True
    book(db, ledger.taken(purchase, cause, amount, source=token_account(purchase_id)), now)
    queries.void_orders(db, ref=purchase_id)
    if amount == left:
        move_token(db, purchase_id, TokenState.FROZEN if disputed else TokenState.REVOKED)
    else:
        if _state(db, purchase_id) is TokenState.READY:
            move_token(db, purchase_id, TokenState.REFUNDING)
        _order(db, purchase, left - amount, "a part was taken", now)
    return True


def take_back_unmatched(db: Database, payment_intent_id: str, cause: str, amount: int, *, now: int) -> bool:
    """Stripe took `amount` micros of unmatched money without our order; what is left of it is ordered back. False if it
    is booked, or the payment is not unmatched."""
    first = queries.unmatched_of_payment(db, payment_intent_id=payment_intent_id)
    if first is None or queries.transfer(db, id=f"back:{cause}") is not None:
        return False
    ref, money, livemode = first["ref"], Money(amount, first["currency"]), bool(first["livemode"])
    left = balance(db, unmatched_account(ref))
    book(db, ledger.taken_unmatched(ref, cause, money, livemode=livemode, lost=amount > left), now)
    if amount <= left:
        queries.void_orders(db, ref=ref)
        _order_unmatched(db, first, left - amount, "a part was taken", now)
    return True


def unmatched_won(db: Database, dispute_id: str, *, now: int) -> bool:
    """What a dispute took of unmatched money came back, and is ordered back. False if it never left, or is back."""
    taken = queries.transfer(db, id=f"back:{dispute_id}")
    if taken is None or queries.transfer(db, id=f"restore:{dispute_id}") is not None:
        return False
    return _restore_unmatched(db, taken, dispute_id, again=True, now=now)


def _restore_unmatched(db: Database, row: sqlite3.Row, cause: str, *, again: bool, now: int) -> bool:
    """`row` is the order or the transfer by which it had left; `again`: order once more what is there."""
    ref = row["ref"]
    first = queries.order(db, id=f"refund:{ref}:1")
    money, livemode = Money(row["amount"], row["currency"]), bool(first["livemode"])
    lost = again and row["kind"] == ledger.TransferKind.LOSS
    to = ledger.Outside(money.currency, livemode).account("loss") if lost else unmatched_account(ref)
    book(db, ledger.restore(ref, cause, money, livemode=livemode, to=to), now)
    if again and not lost:
        queries.void_orders(db, ref=ref)
        _order_unmatched(db, first, balance(db, unmatched_account(ref)), "it came back", now)
    return True


def _order_unmatched(db: Database, first: sqlite3.Row, amount: int, reason: str, now: int) -> None:
    if amount:
        kept = {name: first[name] for name in ("ref", "purchase_id", "payment_intent_id", "currency", "livemode")}
        _write_order(db, **kept, amount=amount, reason=reason, now=now)


def dispute_won(db: Database, purchase_id: str, dispute_id: str, *, now: int) -> bool:
    """The money came back: to the frozen token, or off the loss. False if it never left, or is back."""
    taken = queries.transfer(db, id=f"back:{dispute_id}")
    if taken is None or queries.transfer(db, id=f"restore:{dispute_id}") is not None:
        return False
    purchase = purchase_of(queries.purchase(db, id=purchase_id))
    _restore_loss(db, purchase, dispute_id, now)
    if taken["kind"] == ledger.TransferKind.LOSS:
        to = ledger.outside(purchase).account("loss")
    else:
        frozen, whole = _state(db, purchase_id) is TokenState.FROZEN, taken["amount"] == purchase.amount
        if frozen:
            move_token(db, purchase_id, TokenState.READY if whole else TokenState.REVOKED)
        # Where the rest went back before: a token of less than a run's price buys nothing.
        to = token_account(purchase_id) if frozen and whole else unmatched_account(purchase_id)
    return _restore(db, purchase, dispute_id, taken["amount"], to=to, now=now)


def dispute_lost(db: Database, purchase_id: str) -> bool:
    """A frozen token is worth nothing any more. False if it was not frozen."""
    if _state(db, purchase_id) is not TokenState.FROZEN:
        return False
    move_token(db, purchase_id, TokenState.REVOKED)
    return True


def _set_apart(db: Database, purchase: Purchase, cause: str, amount: int, now: int) -> None:
    """From the token to where a person must look at it; by way of Stripe, where it is all the time."""
    book(db, ledger.taken(purchase, cause, amount, source=token_account(purchase.id)), now)
    _restore(db, purchase, cause, amount, to=unmatched_account(purchase.id), now=now)


def _restore_loss(db: Database, purchase: Purchase, cause: str, now: int) -> None:
    """What `cause` had taken beyond what there was."""
    lost = queries.transfer(db, id=f"back:{cause}:loss")
    if lost is not None:
        _restore(db, purchase, lost["id"].removeprefix("back:"), lost["amount"], to=lost["debit"], now=now)


def _restore(db: Database, purchase: Purchase, cause: str, amount: int, *, to: str, now: int) -> bool:
    money = Money(amount, purchase.currency)
    book(db, ledger.restore(purchase.id, cause, money, livemode=bool(purchase.livemode), to=to), now)
    return True


def _state(db: Database, purchase_id: str) -> TokenState:
    row = queries.token(db, id=purchase_id)
    if row is None:
        raise Refused(f"{purchase_id} was never paid")
    return token_of(row).state


def move_token(db: Database, purchase_id: str, state: TokenState) -> None:
    legal = json.dumps([source for source, targets in MOVES.items() if state in targets])
    if queries.move_token(db, id=purchase_id, state=state, from_states=legal) is None:
        raise Refused(f"the token of {purchase_id} cannot become {state}")


def _order(db: Database, purchase: Purchase, amount: int, reason: str, now: int) -> None:
    _write_order(
        db,
        ref=purchase.id,
        purchase_id=None,
        payment_intent_id=purchase.payment_intent_id,
        amount=amount,
        currency=purchase.currency,
        livemode=purchase.livemode,
        reason=reason,
        now=now,
    )


def _write_order(db: Database, *, ref: str, **fields: str | int | None) -> None:
    attempt = queries.orders_of(db, ref=ref)["n"] + 1
    queries.order_refund(db, id=f"refund:{ref}:{attempt}", ref=ref, attempt=attempt, **fields)
