"""CONTRACT's table: what a purchase's status says, and what spending its token says, in each state there is."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from harness import BALL, SLOW, Bought, Gateway, at_once, change, problem, until

from gateway.errors import Refunded
from gateway.flows.services import Services
from gateway.web.payments import purchase_answer

# state → the poll's status and code (or status), the redemption's status and code; None where there is no token
TABLE: dict[str, tuple[tuple[int, str], tuple[int, str] | None]] = {
    "not opened yet": ((202, "pending"), None),
    "open": ((202, "pending"), None),
    "processing": ((202, "pending"), None),
    "ready": ((200, "ready"), (200, "succeeded")),
    "held": ((202, "running"), (409, "run_in_progress")),
    "spent": ((410, "consumed"), (410, "token_consumed")),
    "past its expiry": ((200, "ready"), (402, "token_expired")),
    "quote over": ((410, "expired"), None),
    "expired": ((410, "expired"), None),
    "failed": ((410, "expired"), None),
    "refunding": ((410, "refunded"), (410, "token_refunded")),
    "refunded": ((410, "refunded"), (410, "token_refunded")),
    "frozen": ((410, "revoked"), (410, "token_revoked")),
    "revoked": ((410, "revoked"), (410, "token_revoked")),
    "forged": ((404, "purchase_not_found"), (402, "token_invalid")),
    "another account's": ((404, "purchase_not_found"), None),
}
# What no event brings about yet is written into the row.
WRITTEN = ("frozen", "revoked")


def unpaid(gateway: Gateway, state: str) -> str:
    """The session id of a purchase in a state without a token."""
    quote = gateway.quote()
    if state == "quote over":
        gateway.later(61 * 60)
    if state in ("not opened yet", "quote over"):
        return str(quote["session_id"])
    session = gateway.open(quote)
    if state == "processing":
        assert gateway.stripe.pay(session, bank="000123456789")["outcome"] == "processing"
    if state == "failed":
        paid = gateway.stripe.pay(session, bank="000222222227")
        gateway.stripe.settle(paid["session"]["payment_intent"], "failed")
    if state == "expired":
        at_stripe = f"{gateway.stripe.url}/v1/checkout/sessions/{session}/expire"
        assert httpx.post(at_stripe, auth=("sk_test_harness", "")).status_code == 200
    if state == "another account's":
        return gateway.account().buy().session_id
    return str(quote["session_id"]) + ("x" if state == "forged" else "")


def paid(gateway: Gateway, state: str) -> Bought:
    bought = gateway.buy()
    purchase = gateway.purchase_id(bought)
    if state == "spent":
        assert gateway.simulate(BALL, bought.token).status_code == 200
    if state == "past its expiry":
        gateway.later(31 * 60)
    if state in ("refunding", "refunded"):
        assert gateway.call(lambda s: s.store.order_refund(purchase, reason="test", now=s.now()))
    if state == "refunded":
        gateway.reconcile()
    if state in WRITTEN:
        change(gateway.settings.database_path, "UPDATE token SET state = ? WHERE id = ?", state, purchase)
    return bought


@pytest.fixture
def put_right(gateway: Gateway) -> Iterator[None]:
    """Rows that were written behind the gateway's back are as they were before the books are checked."""
    yield
    if gateway.rows("SELECT 1 FROM token WHERE state IN ('frozen', 'revoked')"):
        change(gateway.settings.database_path, "UPDATE token SET state = 'ready' WHERE state IN ('frozen', 'revoked')")


@pytest.mark.usefixtures("put_right")
@pytest.mark.parametrize("state", [name for name in TABLE if name != "held"])
def test_what_a_purchase_and_its_token_say(gateway: Gateway, state: str) -> None:
    (status, word), spending = TABLE[state]
    token = None
    if spending is None or state == "forged":
        session_id = unpaid(gateway, state)
        token = "fmt_forged" if spending else None
    else:
        bought = paid(gateway, state)
        session_id, token = bought.session_id, bought.token
    if token is not None and spending is not None:
        said = gateway.simulate(BALL, token)
        assert (said.status_code, said.json().get("code") or said.json()["status"]) == spending
        if spending[0] == 200:  # it is spent now: another one for the poll
            session_id = gateway.buy().session_id
    gateway.ask_again()
    poll = gateway.status(session_id)
    if status >= 400:
        found = problem(poll, status, word)
        assert ("run_url" in found) == (word == "consumed")
        return
    assert (poll.status_code, poll.json()["status"]) == (status, word)
    assert ("retry-after" in poll.headers) == (status == 202)
    assert ("payment_token" in poll.json()) == ("expires_at" in poll.json()) == (status == 200)
    assert poll.headers["cache-control"] == "no-store"


def test_a_held_token_points_to_its_run(gateway: Gateway) -> None:
    bought = gateway.buy(SLOW)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(gateway.simulate, SLOW, bought.token)
        poll = until(lambda: (p := gateway.status(bought.session_id)).status_code == 202 and p, "the run to begin")
        run_url = poll.json()["run_url"]
        assert poll.json() == {"status": "running", "run_url": run_url}
        assert problem(gateway.simulate(SLOW, bought.token), 409, "run_in_progress")["run_url"] == run_url
        still = gateway.get(run_url, headers={"payment-token": bought.token})
        assert (still.status_code, still.json()["status"]) == (202, "running")
        assert running.result().status_code == 200
    assert gateway.get(run_url, headers={"payment-token": bought.token}).json()["status"] == "succeeded"


def test_late_money_makes_an_expired_purchase_ready(gateway: Gateway) -> None:
    """Should Stripe take the money after it told us that nobody paid, the payment is a payment."""
    quote = gateway.quote()
    session = gateway.open(quote)
    change(gateway.settings.database_path, "UPDATE purchase SET state = 'expired' WHERE stripe_session_id = ?", session)
    problem(gateway.status(quote["session_id"]), 410, "expired")
    gateway.stripe.pay(session)
    assert gateway.status(quote["session_id"]).json()["status"] == "ready"


def test_waiting_for_the_payment_ends_with_it(gateway: Gateway) -> None:
    quote = gateway.quote()
    session = gateway.open(quote)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(gateway.status, quote["session_id"], params={"wait": 25}) for _ in range(3)]
        until(lambda: len(gateway.services.news._waiting) == 1, "everybody to wait")
        gateway.stripe.pay(session)
        answers = [future.result() for future in waiting]
    assert {answer.json()["payment_token"] for answer in answers} == {gateway.collect(quote["session_id"])}


def test_a_refund_ordered_while_the_next_token_is_made_is_told_instead_of_a_dead_token(gateway: Gateway) -> None:
    bought = gateway.buy()
    purchase_id = gateway.purchase_id(bought)
    gateway.later(31 * 60)

    async def ask_meanwhile(services: Services) -> None:
        """The refund is written first, and the status looks before it is: the writer waits until both are asked for."""
        store, asked = services.store, threading.Event()
        busy = asyncio.ensure_future(store.write(lambda _: asked.wait(20)))
        await asyncio.sleep(0)
        refund = asyncio.ensure_future(store.order_refund(purchase_id, reason="meanwhile", now=services.now()))
        await asyncio.sleep(0)
        answer = asyncio.ensure_future(purchase_answer(services, store.purchase(purchase_id)))
        await asyncio.sleep(0)
        asked.set()
        assert await busy
        assert await refund
        with pytest.raises(Refunded):
            await answer

    gateway.call(ask_meanwhile)


@pytest.mark.parametrize("wait", ["x", "-1", "nan", "inf", "1e999"])
def test_a_wait_that_is_no_time_is_refused(gateway: Gateway, wait: str) -> None:
    refused = gateway.status(gateway.quote()["session_id"], params={"wait": wait})
    assert problem(refused, 422, "invalid_request")["field"] == "wait"


def test_many_who_wait_ask_stripe_once_in_five_seconds(gateway: Gateway) -> None:
    quote = gateway.quote()
    session = gateway.open(quote)
    gateway.stripe.reset_calls()
    at_once(8, lambda _: gateway.status(quote["session_id"]))
    for _ in range(3):
        gateway.status(quote["session_id"])
    asked = [call for call in gateway.stripe.calls() if session in call["path"]]
    assert len(asked) == 1
