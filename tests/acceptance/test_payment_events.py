"""What happens to a payment is one line of a log, the gateway's or a command's, with the ids that are known."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from harness import Bought
from served import Served

from gateway.flows.payment_events import PaymentEvent

BODY = {"fmu_id": "test:Slow", "step": 0.1}
LONG = {**BODY, "start_values": {"pause": 1.0}}  # ten seconds
EXPECTED = {
    "checkout_opened": 8, "paid": 6, "held": 2, "captured": 1, "released": 1, "processing": 1, "failed": 1,
    "expired": 1, "money_unmatched": 1, "money_went_back": 4, "refund_ordered": 4, "refunded": 3, "refund_refused": 1,
    "given_otherwise": 1,
}  # fmt: skip
ASKED_FOR = ("checkout_opened", "paid", "held", "captured", "released", "processing", "failed", "expired")


def command(gateway: Served, *arguments: str) -> str:
    """What an operator's command writes to its log, with the environment of the gateway that serves."""
    said = Path(f"/proc/{gateway.process.pid}/environ").read_text().split("\0")
    environment = dict(line.split("=", 1) for line in said if line)
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        env=environment, cwd=gateway.database.parent, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stderr


def payment_of(gateway: Served, session: str) -> str:
    found = next(s for s in gateway.stripe.objects("checkout.session") if s["id"] == session)
    return str(found["payment_intent"])


def at_stripe(gateway: Served, path: str, **form: str) -> dict[str, Any]:
    answer = httpx.post(f"{gateway.stripe.url}/v1/{path}", data=form, auth=("sk_test_acceptance", ""))
    made: dict[str, Any] = answer.raise_for_status().json()
    return made


def pay_again(gateway: Served, bought: Bought) -> None:
    purchase = gateway.purchase_id(bought)
    more = {"currency": "usd", "unit_amount": "100", "product_data][name": "again"}
    prices = {f"line_items[0][price_data][{name}]": value for name, value in more.items()}
    names = {"client_reference_id": purchase, "metadata[purchase]": purchase, "line_items[0][quantity]": "1"}
    made = at_stripe(gateway, "checkout/sessions", mode="payment", success_url="https://a.example/", **names, **prices)
    gateway.stripe.pay(made["id"])


def test_every_payment_event_is_one_line_with_its_ids(serve: Callable[[], Served]) -> None:
    gateway = serve().wait_until_ready()
    stripe = gateway.stripe
    ran, cancelled, part, back, refused, disputed = (gateway.buy(BODY) for _ in range(6))
    assert gateway.simulate(BODY, ran.token).status_code == 200
    begun = gateway.simulate(LONG, cancelled.token, headers={"prefer": "respond-async"})
    gateway.http.delete(begun.json()["run_url"], headers={"payment-token": cancelled.token})
    unpaid = stripe.pay(gateway.open(gateway.quote(BODY)), bank="000222222227")["session"]
    stripe.settle(unpaid["payment_intent"], "failed")
    at_stripe(gateway, f"checkout/sessions/{gateway.open(gateway.quote(BODY))}/expire")
    pay_again(gateway, ran)
    stripe.refund(payment_of(gateway, ran.stripe_session_id))
    stripe.refund(payment_of(gateway, part.stripe_session_id), amount=40)
    dispute = stripe.dispute(payment_of(gateway, disputed.stripe_session_id))
    stripe.close_dispute(dispute["id"], "won")
    told = command(gateway, "reconcile") + command(gateway, "refund", back.session_id, "--reason", "asked")
    stripe.fault("error", path="/v1/refunds", method="POST", status=400, times=None)
    told += command(gateway, "refund", refused.session_id)
    told += command(gateway, "refund", refused.session_id, "--otherwise")
    gateway.http.close()
    assert gateway.stop() == 0

    own = [json.loads(line) for line in gateway.log.read_text().splitlines() if line.startswith("{")]
    lines = own + [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    events = [line for line in lines if line["event"] in set(PaymentEvent)]
    assert Counter(line["event"] for line in events) == EXPECTED
    assert set(EXPECTED) == set(PaymentEvent)
    for line in events:
        assert line["session"].startswith("cs_"), line
        assert {"purchase", "amount", "currency"} <= set(line), line  # also of unmatched money
        assert ("run" in line) == (line["event"] in ("held", "captured", "released")), line
        if line["event"] in ASKED_FOR:
            assert "request_id" in line, line
    assert {line["run"] for line in events if "run" in line} == {
        row["id"] for row in gateway.rows("SELECT id FROM run")
    }
