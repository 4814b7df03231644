"""Each ending of docs/operations.md's table of late and odd money, with exactly the transfers that it names."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from harness import BALL, SLOW, Bought, Gateway, change, until

from gateway.flows.ask_refund import ask_refund

Start = Callable[..., Gateway]
Scene = Callable[[Gateway], None]
MONTH = 31 * 24 * 3600
PAY, HOLD, CAPTURE = "pay stripe > token 100", "hold token > held 100", "capture held > revenue 100"
RELEASE, REFUND = "release held > token 100", "refund token > stripe 100"
CLAWBACK, LOSS = "clawback token > stripe 100", "loss loss > stripe 100"
REFUNDS = {"path": "/v1/refunds", "method": "POST"}


def run(gateway: Gateway) -> Bought:
    bought = gateway.buy()
    assert gateway.simulate(BALL, bought.token).status_code == 200
    return bought


def delivered(gateway: Gateway) -> None:
    run(gateway)


def fails(gateway: Gateway) -> None:
    body = {"fmu_id": "test:Fails", "start_values": {"fail_at": 0.5}}
    assert gateway.simulate(body, gateway.buy(body).token).status_code == 422


def late(gateway: Gateway) -> None:
    """Stripe made the session, its answer was lost, the purchase expired here, and then the buyer paid."""
    quote = gateway.quote()
    gateway.stripe.fault("cut", path="/v1/checkout/sessions", method="POST", when="after", times=None)
    assert gateway.http.get(quote["checkout_url"]).status_code == 502
    gateway.later(3 * 3600)
    gateway.reconcile()
    assert gateway.rows("SELECT state FROM purchase") == [{"state": "expired"}]
    gateway.later(-3 * 3600)
    (session,) = gateway.stripe.objects("checkout.session")
    gateway.stripe.pay(session["id"])


def delayed(gateway: Gateway, outcome: str | None) -> None:
    paid = gateway.stripe.pay(gateway.open(gateway.quote()), bank="000123456789")
    if outcome:
        gateway.stripe.settle(paid["session"]["payment_intent"], outcome)


def on_its_way(gateway: Gateway) -> None:
    delayed(gateway, None)


def arrives(gateway: Gateway) -> None:
    delayed(gateway, "succeeded")


def comes_to_nothing(gateway: Gateway) -> None:
    delayed(gateway, "failed")


def of_another_amount(gateway: Gateway) -> None:
    session = gateway.open(gateway.quote())
    change(gateway.settings.database_path, "UPDATE purchase SET amount = 2000000")
    gateway.stripe.pay(session)
    gateway.reconcile()


def of_another_currency(gateway: Gateway) -> None:
    session = gateway.open(gateway.quote())
    change(gateway.settings.database_path, "UPDATE purchase SET currency = 'eur'")
    gateway.stripe.pay(session)
    gateway.reconcile()


def twice(gateway: Gateway) -> None:
    purchase = gateway.purchase_id(gateway.buy())
    form = {
        "mode": "payment", "client_reference_id": purchase, "metadata[purchase]": purchase,
        "success_url": "https://example.com/", "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "usd", "line_items[0][price_data][unit_amount]": "100",
        "line_items[0][price_data][product_data][name]": "again",
    }  # fmt: skip
    made = httpx.post(f"{gateway.stripe.url}/v1/checkout/sessions", data=form, auth=("sk_test_harness", ""))
    gateway.stripe.pay(made.json()["id"])
    gateway.reconcile()


def unspent(gateway: Gateway) -> None:
    gateway.buy()
    gateway.later(MONTH)
    gateway.reconcile()
    assert gateway.stripe.objects("refund")[0]["metadata"]["why"] == "unspent"


def asked_for_in_a_run(gateway: Gateway, *, cancelled: bool) -> None:
    bought = gateway.buy(SLOW)
    purchase = gateway.services.store.purchase(gateway.purchase_id(bought))
    assert purchase is not None
    begun = threading.Event()

    def ask() -> None:
        begun.wait()
        gateway.call(lambda s: ask_refund(s, purchase, reason="asked", dry_run=False, patience=20))

    with ThreadPoolExecutor(2) as pool:
        running, asking = pool.submit(gateway.simulate, SLOW, bought.token), pool.submit(ask)
        held = until(lambda: gateway.rows("SELECT run_id FROM token WHERE state = 'held'"), "the hold")
        begun.set()
        until(lambda: gateway.rows("SELECT 1 FROM token WHERE refund_reason IS NOT NULL"), "the wish")
        if cancelled:
            gateway.http.delete(f"/runs/{held[0]['run_id']}", headers={"payment-token": bought.token})
        running.result()
        asking.result()


def asked_for_in_a_run_that_fails(gateway: Gateway) -> None:
    asked_for_in_a_run(gateway, cancelled=True)


def asked_for_in_a_run_that_succeeds(gateway: Gateway) -> None:
    asked_for_in_a_run(gateway, cancelled=False)


def in_the_dashboard(gateway: Gateway) -> None:
    gateway.stripe.refund(gateway.payment_of(gateway.buy()))


def in_the_dashboard_in_part(gateway: Gateway) -> None:
    gateway.stripe.refund(gateway.payment_of(gateway.buy()), amount=40)
    gateway.reconcile()


def in_the_dashboard_after_the_run(gateway: Gateway) -> None:
    gateway.stripe.refund(gateway.payment_of(run(gateway)))


def in_the_dashboard_and_fails(gateway: Gateway) -> None:
    in_the_dashboard(gateway)
    gateway.stripe.fail_refund(gateway.stripe.objects("refund")[0]["id"])


def in_the_dashboard_after_the_run_and_fails(gateway: Gateway) -> None:
    in_the_dashboard_after_the_run(gateway)
    gateway.stripe.fail_refund(gateway.stripe.objects("refund")[0]["id"])


def disputed(gateway: Gateway, bought: Bought | None = None, **how: Any) -> str:
    found = gateway.stripe.dispute(gateway.payment_of(bought or gateway.buy()), **how)
    return str(found["id"])


def frozen(gateway: Gateway) -> None:
    disputed(gateway)


def won(gateway: Gateway) -> None:
    gateway.stripe.close_dispute(disputed(gateway), "won")


def lost(gateway: Gateway) -> None:
    gateway.stripe.close_dispute(disputed(gateway), "lost")


def won_after_the_run(gateway: Gateway) -> None:
    gateway.stripe.close_dispute(disputed(gateway, run(gateway)), "won")


def lost_after_the_run(gateway: Gateway) -> None:
    gateway.stripe.close_dispute(disputed(gateway, run(gateway)), "lost")


def only_asked(gateway: Gateway) -> None:
    disputed(gateway, inquiry=True)


def asked_and_content(gateway: Gateway) -> None:
    gateway.stripe.close_dispute(disputed(gateway, inquiry=True), "warning_closed")


def prevented(gateway: Gateway) -> None:
    gateway.stripe.close_dispute(disputed(gateway, inquiry=True), "prevented")


def asked_then_disputed(gateway: Gateway) -> None:
    inquiry = disputed(gateway, inquiry=True)
    gateway.stripe.script(type="charge.dispute.updated", drop=True, times=None)
    gateway.stripe.escalate_dispute(inquiry)  # the money's own event is enough


def fails_at_the_bank(gateway: Gateway) -> None:
    unspent(gateway)
    gateway.stripe.fail_refund(gateway.stripe.objects("refund")[0]["id"])
    gateway.later(-MONTH)
    gateway.stripe.flush()


def refused_for_good(gateway: Gateway) -> None:
    gateway.buy()
    gateway.stripe.fault("error", status=400, times=None, **REFUNDS)
    gateway.later(MONTH)
    gateway.reconcile()


def went_back_and_nobody_can_say_how(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.fault("error", times=None, **REFUNDS)
    gateway.later(MONTH)
    gateway.reconcile()  # ordered
    gateway.stripe.clear_faults()
    gateway.stripe.script(drop=True, times=None)
    gateway.stripe.fault("error", times=None, path="/v1/refunds", method="GET")
    gateway.stripe.refund(gateway.payment_of(bought))
    gateway.later(3600)
    gateway.reconcile()
    assert gateway.rows("SELECT state, error FROM outbox") == [{"state": "todo", "error": "already refunded"}]


# scene → what was booked, what became of the token (None: there is none), the alarm
ENDINGS: list[tuple[Scene, list[str], str | None, str]] = [
    (delivered, [PAY, HOLD, CAPTURE], "spent", "none"),
    (fails, [PAY, HOLD, RELEASE], "ready", "none"),
    (late, [PAY], "ready", "none"),
    (on_its_way, [], None, "none"),
    (arrives, [PAY], "ready", "none"),
    (comes_to_nothing, [], None, "none"),
    (of_another_amount, ["pay stripe > unmatched 100", "refund unmatched > stripe 100"], None, "none"),
    (of_another_currency, ["pay stripe > unmatched 100", "refund unmatched > stripe 100"], None, "none"),
    (twice, [PAY, "pay stripe > unmatched 100", "refund unmatched > stripe 100"], "ready", "none"),
    (unspent, [PAY, REFUND], "refunded", "none"),
    (asked_for_in_a_run_that_fails, [PAY, HOLD, RELEASE, REFUND], "refunded", "none"),
    (asked_for_in_a_run_that_succeeds, [PAY, HOLD, CAPTURE], "spent", "none"),
    (in_the_dashboard, [PAY, CLAWBACK], "revoked", "none"),
    (in_the_dashboard_in_part, [PAY, "clawback token > stripe 40", "refund token > stripe 60"], "refunded", "none"),
    (in_the_dashboard_after_the_run, [PAY, HOLD, CAPTURE, LOSS], "spent", "none"),
    (in_the_dashboard_and_fails, [PAY, CLAWBACK, "restore stripe > token 100"], "ready", "none"),
    (
        in_the_dashboard_after_the_run_and_fails,
        [PAY, HOLD, CAPTURE, LOSS, "restore stripe > loss 100"],
        "spent",
        "none",
    ),
    (frozen, [PAY, CLAWBACK], "frozen", "none"),
    (won, [PAY, CLAWBACK, "restore stripe > token 100"], "ready", "none"),
    (lost, [PAY, CLAWBACK], "revoked", "none"),
    (won_after_the_run, [PAY, HOLD, CAPTURE, LOSS, "restore stripe > loss 100"], "spent", "none"),
    (lost_after_the_run, [PAY, HOLD, CAPTURE, LOSS], "spent", "none"),
    (only_asked, [PAY], "ready", "none"),
    (asked_and_content, [PAY], "ready", "none"),
    (prevented, [PAY], "ready", "none"),
    (asked_then_disputed, [PAY, CLAWBACK], "frozen", "none"),
    (fails_at_the_bank, [PAY, REFUND, "restore stripe > token 100"], "ready", "1 failed refunds"),
    (refused_for_good, [PAY], "ready", "1 failed refunds"),
    (went_back_and_nobody_can_say_how, [PAY], "refunding", "1 late orders"),
]


@pytest.mark.parametrize(("scene", "booked", "token", "alarm"), ENDINGS, ids=[row[0].__name__ for row in ENDINGS])
def test_money_ends_as_the_operator_is_told(
    open_gateway: Start, scene: Scene, booked: list[str], token: str | None, alarm: str
) -> None:
    gateway = open_gateway()
    scene(gateway)
    found = gateway.rows("SELECT kind, debit, credit, amount FROM transfer ORDER BY seq")
    said = [
        f"{row['kind']} {row['debit'].split(':')[0]} > {row['credit'].split(':')[0]} {row['amount'] // 10_000}"
        for row in found
    ]
    assert said == booked
    assert [row["state"] for row in gateway.rows("SELECT state FROM token")] == ([token] if token else [])
    assert gateway.get("/ready").json()["checks"]["alarms"]["detail"] == alarm
