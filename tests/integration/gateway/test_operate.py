"""The operator's commands beside a serving gateway: reconcile, refund, backup, funnel."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from commands import command, environment, said
from harness import BALL, Gateway, House, change, problem, until
from processes import busy

from gateway.store.store import violations

Start = Callable[..., Gateway]


@pytest.fixture
def gateway(open_gateway: Start) -> Iterator[Gateway]:
    running = open_gateway()
    yield running
    assert violations(running.settings.database_path) == []


def test_equal_books_are_called_equal_whatever_happened_to_the_money(gateway: Gateway) -> None:
    spent, back, disputed, won, ready = (gateway.buy() for _ in range(5))
    assert gateway.simulate(BALL, spent.token).status_code == 200
    gateway.stripe.refund(gateway.payment_of(back), amount=40)
    gateway.stripe.dispute(gateway.payment_of(disputed))
    dispute = gateway.stripe.dispute(gateway.payment_of(won))
    gateway.stripe.close_dispute(dispute.get("id") or dispute["dispute"]["id"], "won")
    done = command(gateway.settings, "reconcile")
    books = said(done)
    assert (done.returncode, books["equal"], books["differences"]) == (0, True, [])
    assert books["stripe"] == {
        "payments": {"usd": 5_000_000}, "refunds": {"usd": -1_000_000}, "disputes": {"usd": -1_000_000},
    }  # fmt: skip
    assert books["net"] == books["ours"] == {"usd": 3_000_000}
    assert books["fees"]["usd"] > 0
    assert gateway.simulate(BALL, ready.token).status_code == 200


def test_what_no_webhook_told_is_pulled_beside_the_serving_gateway(gateway: Gateway) -> None:
    gateway.stripe.script(drop=True, times=None)
    quote = gateway.quote()
    gateway.stripe.pay(gateway.open(quote))
    assert gateway.rows("SELECT state FROM purchase") == [{"state": "open"}]
    assert command(gateway.settings, "reconcile").returncode == 0
    assert gateway.rows("SELECT state FROM purchase") == [{"state": "paid"}]
    assert gateway.simulate(BALL, gateway.collect(quote["session_id"])).status_code == 200


def test_books_that_differ_are_named_payment_by_payment(gateway: Gateway) -> None:
    first, second = gateway.buy(), gateway.buy()
    gateway.stripe.script(drop=True, times=None)
    gateway.stripe.refund(gateway.payment_of(first))
    wrong = "UPDATE purchase SET payment_intent_id = 'pi_of_nobody' WHERE id = ?"
    change(gateway.settings.database_path, wrong, gateway.purchase_id(second))
    done = command(gateway.settings, "reconcile")
    assert done.returncode == 1
    purchase = gateway.purchase_id(second)
    told = {(d["payment"], d["ref"], d["stripe"], d["ours"]) for d in said(done)["differences"]}
    assert told == {
        ("pi_of_nobody", purchase, 0, 1_000_000), (gateway.payment_of(second), None, 1_000_000, 0),
    }  # fmt: skip


def test_money_of_the_account_that_is_not_ours_is_told_apart(gateway: Gateway) -> None:
    gateway.buy()
    form = {
        "mode": "payment", "success_url": "https://shop.example/", "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "usd", "line_items[0][price_data][unit_amount]": "700",
        "line_items[0][price_data][product_data][name]": "a mug",
    }  # fmt: skip
    headers = {"authorization": "Bearer sk_test_shop"}
    mug = gateway.http.post(f"{gateway.stripe.url}/v1/checkout/sessions", data=form, headers=headers).json()
    gateway.stripe.pay(mug["id"])
    books = said(command(gateway.settings, "reconcile"))
    assert (books["equal"], books["others"], books["net"]) == (True, {"usd": 7_000_000}, {"usd": 1_000_000})


def test_an_event_that_was_given_up_is_tried_once_more(gateway: Gateway) -> None:
    gateway.buy()
    change(gateway.settings.database_path, "UPDATE inbox SET state = 'dead' WHERE type = 'checkout.session.completed'")
    assert gateway.get("/ready").json()["checks"]["alarms"] == {"ok": False, "detail": "1 dead events"}
    assert command(gateway.settings, "reconcile").returncode == 0
    assert gateway.get("/ready").json()["checks"]["alarms"] == {"ok": True, "detail": "none"}


def test_reconcile_says_when_stripe_does_not_answer(gateway: Gateway) -> None:
    gateway.buy()
    gateway.stripe.fault("error", path="/v1/balance_transactions*", status=400, times=None)
    done = command(gateway.settings, "reconcile")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Stripe did not answer as expected" in done.stderr


@pytest.mark.parametrize("by", ["session_id", "stripe", "purchase"])
def test_a_ready_payment_is_refunded_at_once_with_its_reason(gateway: Gateway, by: str) -> None:
    bought = gateway.buy()
    purchase = gateway.purchase_id(bought)
    session = {"session_id": bought.session_id, "stripe": bought.stripe_session_id, "purchase": purchase}[by]
    would = command(gateway.settings, "refund", session, "--dry-run")
    assert (would.returncode, said(would)["said"]) == (0, "1.00 usd would be refunded.")
    assert gateway.collect(bought.session_id) == bought.token
    assert gateway.stripe.objects("refund") == []
    done = command(gateway.settings, "refund", session, "--reason", "wrong model")
    assert (done.returncode, said(done)["state"], said(done)["said"]) == (0, "refunded", "1.00 usd went back.")
    assert [r["metadata"]["why"] for r in gateway.stripe.objects("refund")] == ["wrong model"]
    problem(gateway.simulate(BALL, bought.token), 410, "token_refunded")
    again = command(gateway.settings, "refund", session)
    assert (again.returncode, said(again)["said"]) == (0, "1.00 usd went back.")
    assert len(gateway.stripe.objects("refund")) == 1


def test_what_was_delivered_or_never_paid_is_refused_with_the_reason(gateway: Gateway) -> None:
    spent, unpaid = gateway.buy(), gateway.quote()
    assert gateway.simulate(BALL, spent.token).status_code == 200
    gateway.open(unpaid)
    for session, words in ((spent.session_id, "was delivered"), (unpaid["session_id"], "it is open")):
        for more in ((), ("--dry-run",)):
            done = command(gateway.settings, "refund", session, *more)
            assert (done.returncode, said(done)["given"]) == (1, False)
            assert words in said(done)["said"]
    assert gateway.stripe.objects("refund") == []
    assert command(gateway.settings, "refund", "pur_nothing").returncode == 5


@pytest.mark.parametrize("state", ["spent", "refunded"])
def test_a_refund_during_a_run_waits_for_it_and_is_refused_if_it_was_delivered(gateway: Gateway, state: str) -> None:
    slow = {"fmu_id": "test:Slow", "stop_time": 1.0, "step": 0.1, "start_values": {"pause": 0.05}}
    bought = gateway.buy(slow)
    answers: list[int] = []
    run = threading.Thread(target=lambda: answers.append(gateway.simulate(slow, bought.token).status_code))
    run.start()
    held = until(lambda: gateway.rows("SELECT run_id FROM token WHERE state = 'held'"), "the hold")
    (process,) = until(busy, "its process")
    os.kill(process, signal.SIGSTOP)  # until the wish is written, however long the command takes for it
    would = said(command(gateway.settings, "refund", bought.session_id, "--dry-run"))
    assert f"Its run {held[0]['run_id']} goes on" in would["said"]
    asking = subprocess.Popen(
        [sys.executable, "-m", "gateway", "refund", bought.session_id], env=environment(gateway.settings),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    until(lambda: gateway.rows("SELECT 1 FROM token WHERE refund_reason IS NOT NULL"), "the wish")
    os.kill(process, signal.SIGCONT)
    if state == "refunded":
        gateway.http.delete(f"/runs/{held[0]['run_id']}", headers={"payment-token": bought.token})
    out, _ = asking.communicate(timeout=30)
    run.join()
    assert json.loads(out)["state"] == state
    assert asking.returncode == (0 if state == "refunded" else 1)
    assert answers == [200 if state == "spent" else 409]
    assert len(gateway.stripe.objects("refund")) == (state == "refunded")


def test_what_stripe_will_not_refund_is_booked_as_given_back_by_hand(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.stripe.fault("error", status=400, path="/v1/refunds", method="POST", times=None)
    first = command(gateway.settings, "refund", bought.session_id, "--otherwise")
    assert (first.returncode, said(first)["given"]) == (1, False)  # Stripe was not asked yet
    refused = command(gateway.settings, "refund", bought.session_id)
    assert (refused.returncode, said(refused)["state"]) == (1, "ready")
    would = said(command(gateway.settings, "refund", bought.session_id, "--otherwise", "--dry-run"))
    assert (would["given"], would["said"].split(" booked")[0]) == (True, "1.00 usd would be")
    assert gateway.collect(bought.session_id) == bought.token
    done = command(gateway.settings, "refund", bought.session_id, "--otherwise", "--reason", "by bank transfer")
    assert (done.returncode, said(done)["ref"]) == (0, gateway.purchase_id(bought))
    assert '"event":"given_otherwise"' in done.stderr
    assert "by bank transfer" in done.stderr
    problem(gateway.simulate(BALL, bought.token), 410, "token_revoked")
    gateway.stripe.clear_faults()
    assert command(gateway.settings, "reconcile").returncode == 0


def test_a_backup_made_while_serving_is_restored_by_copying_it_back(house: House, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite3"
    with house.gateway() as gateway:
        bought = gateway.buy()
        stop, codes = threading.Event(), []

        def keep_busy() -> None:
            while not stop.is_set():
                codes.append(gateway.http.post("/keys").status_code)

        busy = threading.Thread(target=keep_busy)
        busy.start()
        done = command(gateway.settings, "backup", str(copy))
        stop.set()
        busy.join()
        assert (done.returncode, set(codes)) == (0, {201}), done.stderr
        assert [path.name for path in tmp_path.glob("*copy*")] == ["copy.sqlite3"]  # one file, no -wal beside it
        assert copy.stat().st_mode & 0o777 == 0o600
        again = command(gateway.settings, "backup", str(copy))
        assert (again.returncode, "is there already" in again.stderr) == (1, True)
        assert gateway.simulate(BALL, bought.token).status_code == 200  # after the copy: not in it
    assert violations(copy) == []
    for left in house.folder.glob("gateway.sqlite3*"):
        left.unlink()
    shutil.copy(copy, house.folder / "gateway.sqlite3")
    with house.gateway() as gateway:
        assert gateway.simulate(BALL, bought.token).status_code == 200


def test_commands_need_a_database_of_their_own_schema(house: House) -> None:
    settings = house.settings()
    done = command(settings, "refund", "pur_1")
    assert (done.returncode, "There is no database" in done.stderr) == (1, True)
    assert not settings.database_path.exists()
    with house.gateway():
        pass
    with closing(sqlite3.connect(settings.database_path)) as db:
        db.execute("PRAGMA user_version=99")
    done = command(settings, "reconcile")
    assert (done.returncode, "has schema 99" in done.stderr) == (1, True)


def test_the_funnel_is_told_by_day(house: House) -> None:
    with house.gateway() as gateway:
        gateway.account()
        gateway.quote()
        assert gateway.simulate(BALL, gateway.buy().token).status_code == 200
        settings = gateway.settings
    (day,) = said(command(settings, "funnel", "--days", "1"))
    assert {name: day[name] for name in ("keys", "quotes", "checkouts", "payments", "runs", "conversion")} == {
        "keys": 1, "quotes": 2, "checkouts": 1, "payments": 1, "runs": 1, "conversion": 0.5,
    }  # fmt: skip
