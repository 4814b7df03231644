"""Ask for a refund: what an operator wants for one purchase, as far as its token's state allows."""

import asyncio
from dataclasses import dataclass

from gateway.domain.money import Money
from gateway.domain.purchases import Purchase, PurchaseState
from gateway.domain.quotes import read_quote
from gateway.domain.statements import Kind
from gateway.domain.tokens import Token, TokenState
from gateway.flows.payment_events import PaymentEvent, about, of_money, payment_event
from gateway.flows.refund import carry_out_refund
from gateway.flows.services import Services, undivided
from gateway.flows.settle_purchase import settle_purchase
from gateway.store.otherwise import give_back_otherwise

LOOK_EVERY_SECONDS = 0.2  # while a run goes on


@dataclass(frozen=True, slots=True)
class Answer:
    """What was done, in a sentence. `given`: the money is back, on its way, or would be."""

    purchase: Purchase
    state: str  # of the token; of the purchase where there is none
    given: bool
    said: str


def find_purchase(services: Services, session: str) -> Purchase | None:
    """By our session id, Stripe's, or the purchase's own id."""
    if session.startswith("cs_"):
        return services.store.purchase_by_stripe_session(session)
    quote = read_quote(services.statements, Kind.CLAIM, session)
    return services.store.purchase(quote.purchase_id if quote else session)


async def ask_refund(services: Services, purchase: Purchase, *, reason: str, dry_run: bool, patience: float) -> Answer:
    """Order it and carry it out. While the token is held it waits for the run, at most `patience` seconds: what was
    asked for is written down, so its release orders it in any case. StripeUnavailable."""
    if bool(purchase.livemode) != services.settings.livemode:
        mode = "live" if purchase.livemode else "test"
        return Answer(purchase, purchase.state, False, f"It was paid in {mode} mode: use the key of that mode.")
    if not dry_run:
        purchase = await settle_purchase(services, purchase.id) or purchase
    token = services.store.token(purchase.id)
    if purchase.state is not PurchaseState.PAID or token is None:
        return Answer(purchase, purchase.state, False, f"Nothing was paid for it: it is {purchase.state}.")
    if dry_run or token.state not in (TokenState.READY, TokenState.HELD):
        return _answer(purchase, token)
    await _ask(services, purchase, reason)
    token = await _after_its_run(services, token, patience)
    if token.state is TokenState.REFUNDING:
        for order in await services.store.due_orders(services.now(), livemode=services.settings.livemode):
            if order.ref == purchase.id:
                await carry_out_refund(services, order)
    token = services.store.token(purchase.id) or token
    if token.state is TokenState.READY:
        return Answer(purchase, token.state, False, "Stripe will not refund it; the token is ready as before.")
    return _answer(purchase, token)


@undivided
async def _ask(services: Services, purchase: Purchase, reason: str) -> None:
    state = await services.store.ask_refund(purchase.id, reason=reason, now=services.now())
    if state is TokenState.REFUNDING:
        payment_event(services, PaymentEvent.REFUND_ORDERED, purchase=purchase.id, reason=reason)


@undivided
async def given_otherwise(services: Services, ref: str, *, reason: str, dry_run: bool) -> Money | None:
    """Write down that the buyer has back by another way what Stripe would not give; how much. None: nothing waits."""
    livemode, now = services.settings.livemode, services.now()
    money = await give_back_otherwise(services.store, ref, livemode=livemode, dry_run=dry_run, now=now)
    if money is not None and not dry_run:
        told = await about(services, ref) | of_money(money)
        payment_event(services, PaymentEvent.GIVEN_OTHERWISE, **told, reason=reason)
        services.news.tell(ref)
    return money


async def _after_its_run(services: Services, token: Token, patience: float) -> Token:
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    while True:
        token = services.store.token(token.id) or token
        if token.state is not TokenState.HELD or loop.time() >= end:
            return token
        await asyncio.sleep(LOOK_EVERY_SECONDS)


def _answer(purchase: Purchase, token: Token) -> Answer:
    """Of a token's state, before anything was done or where nothing can be; a ready one is about to be refunded."""
    price = purchase.price
    given, said = {
        TokenState.READY: (True, f"{price} would be refunded."),
        TokenState.HELD: (True, f"Its run {token.run_id} goes on: {price} go back if it fails, not if it succeeds."),
        TokenState.SPENT: (
            False,
            f"Its run {token.run_id} was delivered. A refund made in Stripe's dashboard is booked as a loss.",
        ),
        TokenState.REFUNDING: (True, f"The refund of {price} is ordered; until Stripe takes it, it is asked again."),
        TokenState.REFUNDED: (True, f"{price} went back."),
        TokenState.FROZEN: (False, "It is disputed: answer the dispute in Stripe's dashboard."),
        TokenState.REVOKED: (False, f"{price} went back before, by a refund in Stripe's dashboard or a lost dispute."),
    }[token.state]
    return Answer(purchase, token.state, given, said)
