"""A buyer pays a Checkout Session: the only place where session, intent, charge and dispute move together, in
Stripe's order of events.
"""

from dataclasses import dataclass

from stripe_stub import cards, charges, customers, disputes, intents, sessions
from stripe_stub.cards import Means
from stripe_stub.errors import Invalid
from stripe_stub.wire import Noun
from stripe_stub.world import Obj, World


@dataclass(frozen=True)
class Outcome:
    """`result` is paid, processing, declined or challenge; `error` says why it was declined; `events` are
    those it made.
    """

    result: str
    session: Obj
    error: Obj | None = None
    events: tuple[Obj, ...] = ()


@dataclass(frozen=True)
class Buyer:
    """What the buyer typed beside the number."""

    email: str | None = None
    name: str | None = None


def means_for(session: Obj, card: str | None, bank: str | None) -> Means | str:
    """The way to pay that a number stands for, or a sentence for the buyer."""
    if bank:
        kinds = [kind for kind in session["payment_method_types"] if kind != "card"]
        return cards.bank(bank, kinds[0]) if kinds else "This page takes cards only."
    if "card" not in session["payment_method_types"]:
        return "This page takes no cards."
    return cards.card(card or "")


def pay(world: World, session: Obj, means: Means, buyer: Buyer, *, challenge: str = "ask") -> Outcome:
    """One attempt. `challenge`: `ask` stops at the bank's page, `complete` and `fail` are the buyer's answers there.

    Raises Invalid when the session is not open.
    """
    if session["status"] != "open":
        raise Invalid(f"This Checkout Session is not open: its status is {session['status']}.")
    with world.recording() as made:
        result, error = _attempt(world, session, means, buyer, challenge)
    return Outcome(result, session, error, tuple(made))


def _attempt(world: World, session: Obj, means: Means, buyer: Buyer, challenge: str) -> tuple[str, Obj | None]:
    intent = intents.of_session(world, session)
    details = {"email": buyer.email or session["customer_email"], "name": buyer.name}
    if means.challenge and challenge != "complete":
        page_url = f"{world.base_url}/c/pay/{session['id']}/challenge"
        if intent["status"] != "requires_action":
            intents.require_action(world, intent, page_url, f"{world.base_url}/c/pay/{session['id']}")
        world.private(session["id"])["challenge"] = {"number": means.number, **details}
        world.save_private(session["id"])
        if challenge == "ask":
            return "challenge", None
        error = intents.error_of(_REFUSED_AT_BANK, None)
        intents.fail(world, intent, error)
        return "declined", error
    if means.code and not means.delayed:
        charge = charges.attempt(world, intent, means, details, "failed")
        error = intents.error_of(means, charge["id"])
        intents.fail(world, intent, error)
        return "declined", error
    customer = {**dict.fromkeys(("address", "business_name", "individual_name", "phone")), **details}
    customer |= {"tax_exempt": "none", "tax_ids": []}
    if session["customer_creation"] == "always":
        session["customer"] = intent["customer"] = customers.of_checkout(world, customer)["id"]
    charge = charges.attempt(world, intent, means, details, "pending" if means.delayed else "succeeded")
    if means.delayed:
        intents.process(world, intent, charge["payment_method"])
        sessions.complete(world, session, paid=False, customer_details=customer)
        timer = world.clock.at(world.now() + cards.SETTLES_AFTER, "payment.settle", intent["id"], means.code is None)
        world.private(intent["id"])["timer"] = timer
        world.save_private(intent["id"])
        return "processing", None
    intents.succeed(world, intent, charge["payment_method"])
    sessions.complete(world, session, paid=True, customer_details=customer)
    charges.book(world, charge)
    if means.dispute:
        disputes.open_(world, charge, means.dispute)
    return "paid", None


def settle(world: World, intent_id: str, succeeded: bool) -> Obj:
    """A delayed payment arrives, or fails after all. Raises Invalid if there is nothing to settle."""
    intent = world.get("payment_intent", intent_id)
    if intent["status"] != "processing":
        raise Invalid(f"This PaymentIntent is not processing: its status is {intent['status']}.")
    private = world.private(intent_id)
    world.clock.cancel(private["timer"])
    charge = world.get("charge", intent["latest_charge"])
    means = cards.BY_NUMBER[world.private(charge["id"])["means"]]
    if not succeeded and means.code is None:
        means = _failing(means)
    session = world.get("checkout.session", private["session"])
    charges.settle(world, charge, means, paid=succeeded)
    if succeeded:
        intents.succeed(world, intent, charge["payment_method"])
    else:
        intents.fail(world, intent, intents.error_of(means, charge["id"]))
    sessions.settle(world, session, paid=succeeded)
    if succeeded:
        charges.book(world, charge)
    return intent


def _failing(means: Means) -> Means:
    """A test account that would have paid, told to fail."""
    return Means(means.number, means.kind, code="insufficient_funds", message="The account has insufficient funds.")


_REFUSED_AT_BANK = Means(
    "",
    code="payment_intent_authentication_failure",
    message="We are unable to authenticate your payment method. "
    "Please choose a different payment method and try again.",
)

NOUN = Noun((), timers={"payment.settle": settle})
