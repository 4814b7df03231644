"""What another gateway on the same files finds: other secrets, other models, another mode, runs that nobody runs."""

import asyncio
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from harness import BALL, SECRET, Gateway, House, at_once, problem

from gateway.app import open_services
from gateway.domain.requests import SimulateBody, plan_run
from gateway.store.lock import DatabaseOwned
from gateway.store.money import NewRun
from gateway.store.store import Store

NEW_SECRET = "the secret that comes after, also long"


def test_statements_of_the_secret_before_are_still_read(house: House) -> None:
    with house.gateway() as gateway:
        quote, bought, ran = gateway.quote(), gateway.buy(), gateway.buy()
        first = gateway.simulate(BALL, ran.token)
        free = gateway.simulate({"fmu_id": "msl:VanDerPol"}).json()
    with house.gateway(gateway_secret=(NEW_SECRET, SECRET)) as gateway:
        assert gateway.open(quote)
        problem(gateway.simulate(BALL, ran.token), 410, "token_consumed")
        read = gateway.get(f"/runs/{first.json()['run_id']}", headers={"payment-token": ran.token})
        assert read.content == first.content
        assert gateway.get(f"/runs/{free['run_id']}", headers={"payment-token": free["run_token"]}).status_code == 200
        other_string = gateway.collect(bought.session_id)
        assert other_string != bought.token
        # Both strings are the same token: it is spent once.
        answers = at_once(8, lambda i: gateway.simulate(BALL, (bought.token, other_string)[i % 2]))
        assert sorted(answer.status_code for answer in answers)[0] == 200
        assert sum(answer.status_code == 200 for answer in answers) == 1
    with house.gateway(gateway_secret=(NEW_SECRET,)) as gateway:
        problem(gateway.status(bought.session_id), 404, "purchase_not_found")
        problem(gateway.simulate(BALL, bought.token), 402, "token_invalid")


def test_a_secret_that_nobody_set_is_made_once_and_kept_to_oneself(house: House) -> None:
    with house.gateway(gateway_secret=()) as gateway:
        bought = gateway.buy()
        secret = house.folder / "gateway.sqlite3.secret"
        assert secret.stat().st_mode & 0o777 == 0o600
        assert len(secret.read_text()) == 64
    with house.gateway(gateway_secret=()) as gateway:
        assert gateway.simulate(BALL, bought.token).status_code == 200


@pytest.fixture
def fewer(house: House, tmp_path: Path) -> Path:
    """A MODELS_DIR like the house's own, without BouncingBall."""
    copy = Path(shutil.copytree(house.models, tmp_path / "fewer"))
    (copy / "msl" / "BouncingBall.fmu").unlink()
    return copy


def test_a_model_withdrawn_before_the_token_was_spent_is_refunded(house: House, fewer: Path) -> None:
    with house.gateway() as gateway:
        bought, other = gateway.buy(), gateway.buy()
        quote = gateway.quote()
    with house.gateway(models_dir=fewer) as gateway:
        gone = problem(gateway.simulate(BALL, bought.token), 410, "model_withdrawn")
        assert "checkout_url" not in gone
        problem(gateway.simulate(BALL, bought.token), 410, "token_refunded")
        problem(gateway.status(bought.session_id), 410, "refunded")
        # Named in a request for a model that is still there, the token says the same.
        problem(gateway.simulate({"fmu_id": "msl:DCMotor"}, other.token), 410, "model_withdrawn")
        problem(gateway.simulate(BALL), 404, "model_not_found")
        problem(gateway.get(quote["checkout_url"]), 404, "model_not_found")
        assert gateway.http.head(quote["checkout_url"]).status_code == 404
        gateway.reconcile()
        refunds = gateway.stripe.objects("refund")
        assert [(refund["amount"], refund["status"]) for refund in refunds] == [(100, "succeeded")] * 2
        assert {row["state"] for row in gateway.rows("SELECT state FROM token")} == {"refunded"}
        assert gateway.rows("SELECT sum(amount) AS n FROM balance WHERE acct LIKE 'token:%'") == [{"n": 0}]
        gateway.reconcile()
        assert len(gateway.stripe.objects("refund")) == 2


def test_a_refund_that_stripe_does_not_take_at_first_is_taken_once(house: House, fewer: Path) -> None:
    with house.gateway() as gateway:
        bought = gateway.buy()
    with house.gateway(models_dir=fewer) as gateway:
        problem(gateway.simulate(BALL, bought.token), 410, "model_withdrawn")
        gateway.stripe.fault("cut", path="/v1/refunds", method="POST", when="after", times=3)
        gateway.stripe.script(drop=True, times=None)  # or the webhook of the refund may be faster than our look
        gateway.reconcile()
        assert gateway.rows("SELECT state, attempts FROM outbox") == [{"state": "todo", "attempts": 1}]
        gateway.stripe.clear_faults()
        gateway.later(3600)
        gateway.reconcile()
        assert len(gateway.stripe.objects("refund")) == 1
        assert gateway.rows("SELECT state FROM token") == [{"state": "refunded"}]


def test_what_nobody_spends_is_given_back_in_time(house: House) -> None:
    with house.gateway(unspent_refund_days=1) as gateway:
        bought, spent = gateway.buy(), gateway.buy()
        assert gateway.simulate(BALL, spent.token).status_code == 200
        gateway.later(24 * 3600 - 60)
        gateway.reconcile()
        assert gateway.stripe.objects("refund") == []
        gateway.later(120)
        gateway.reconcile()
        assert len(gateway.stripe.objects("refund")) == 1
        problem(gateway.simulate(BALL, bought.token), 410, "token_refunded")


LIVE: dict[str, Any] = {
    "stripe_secret_key": "sk_live_harness", "stripe_api_base": "", "public_base_url": "https://gateway.example",
}  # fmt: skip


def test_a_test_payment_buys_nothing_from_a_live_server_and_is_left_alone(house: House) -> None:
    with house.gateway() as gateway:
        bought, quote = gateway.buy(), gateway.quote()
        database = gateway.settings.database_path
    with house.gateway(**LIVE) as gateway:
        local = gateway.another()
        local.http.base_url = f"http://127.0.0.1:{gateway.settings.port}"  # type: ignore[assignment]
        assert problem(local.simulate(BALL, bought.token), 402, "token_invalid")["detail"].count("mode")
        problem(local.status(bought.session_id), 404, "purchase_not_found")
        problem(local.get(f"/checkout/{quote['checkout_url'].rsplit('/', 1)[1]}"), 404, "purchase_not_found")
        problem(local.http.post("/pay", json={"session_id": quote["session_id"]}), 404, "purchase_not_found")
        with sqlite3.connect(database) as db:
            assert db.execute("SELECT state FROM token").fetchall() == [("ready",)]
        db.close()
    with house.gateway() as gateway:
        assert gateway.simulate(BALL, bought.token).status_code == 200


def begin_by_hand(gateway: Gateway, purchase: str) -> str:
    """A run that is held and that no process runs: what a kill leaves behind."""
    services = gateway.services
    model = services.library.models["msl:BouncingBall"]
    plan = plan_run(SimulateBody(**BALL), model, services.limits)
    run = NewRun("run_" + "0" * 32, purchase, None, None, plan.digest, model.fmu_id, model.sha256, 10**6, 2**40)
    asked = {"token_id": purchase, "generation": 1, "currency": "usd", "livemode": False}
    gateway.call(lambda s: s.store.hold(run, **asked, now=s.now()))
    return run.id


def test_a_run_that_a_kill_left_without_a_result_is_released(house: House) -> None:
    with house.gateway() as gateway:
        bought = gateway.buy()
        begin_by_hand(gateway, gateway.purchase_id(bought))
    with house.gateway() as gateway:
        assert gateway.rows("SELECT state, fault FROM run") == [{"state": "failed", "fault": "gateway"}]
        assert gateway.collect(bought.session_id) == bought.token
        assert gateway.simulate(BALL, bought.token).status_code == 200


def test_a_run_that_a_kill_left_with_its_result_is_captured_and_delivered(house: House) -> None:
    with house.gateway() as gateway:
        template, bought = gateway.buy(), gateway.buy()
        sold = gateway.simulate(BALL, template.token).json()
        done = sold["run_id"]
        run_id = begin_by_hand(gateway, gateway.purchase_id(bought))
        results = gateway.settings.results_path
        file = next(path for path in results.iterdir() if path.stem == done)
        shutil.copy(file, file.with_name(file.name.replace(done, run_id)))
    with house.gateway() as gateway:
        assert problem(gateway.simulate(BALL, bought.token), 410, "token_consumed")["run_url"].endswith(run_id)
        found = gateway.get(f"/runs/{run_id}", headers={"payment-token": bought.token}).json()
        assert (found["status"], found["charged"], found["data"]["time"][-1]) == ("succeeded", True, 1.0)
        assert list(found) == list(sold)  # how long it took is for us
        assert len(gateway.rows("SELECT DISTINCT cpu_ms, wall_ms FROM run")) == 1  # as the process before us measured


def test_a_result_is_kept_for_its_time_and_then_gone(house: House) -> None:
    with house.gateway(result_retention_days=1) as gateway:
        bought = gateway.buy()
        key = {"idempotency-key": "k"}
        url = f"/runs/{gateway.simulate(BALL, bought.token, headers=key).json()['run_id']}"
        credential = {"payment-token": bought.token}
        gateway.later(23 * 3600)
        gateway.reconcile()
        assert gateway.get(url, headers=credential).status_code == 200
        gateway.later(2 * 3600)
        gateway.reconcile()
        problem(gateway.get(url, headers=credential), 410, "result_expired")
        problem(gateway.simulate(BALL, bought.token, headers=key), 410, "result_expired")


def test_a_webhook_lost_for_good_is_found_by_the_reconciler(house: House) -> None:
    with house.gateway() as gateway:
        quote = gateway.quote()
        session = gateway.open(quote)
        gateway.stripe.drop("*", times=None)
        gateway.stripe.pay(session)
        gateway.later(3 * 3600)
        gateway.reconcile()
        states = gateway.rows("SELECT state FROM purchase WHERE stripe_session_id = ?", session)
        assert states == [{"state": "paid"}]


def test_what_breaks_for_one_purchase_does_not_hold_up_the_others(house: House) -> None:
    with house.gateway() as gateway:
        gateway.stripe.drop("*", times=None)
        broken, sound = gateway.open(gateway.quote()), gateway.open(gateway.quote())
        for session in (broken, sound):
            gateway.stripe.pay(session)
        with sqlite3.connect(gateway.settings.database_path) as db:  # no whole number of cents: nothing foresees it
            db.execute("UPDATE purchase SET amount = 1, expires_at = 1 WHERE stripe_session_id = ?", [broken])
        db.close()
        gateway.later(3 * 3600)
        gateway.reconcile()
        found = {row["stripe_session_id"]: row["state"] for row in gateway.rows("SELECT * FROM purchase")}
        assert found == {broken: "open", sound: "paid"}


def test_two_gateways_never_share_a_database(house: House) -> None:
    with house.gateway() as gateway:
        with pytest.raises(DatabaseOwned, match=str(os.getpid())):
            Store(gateway.settings.database_path)
        assert gateway.simulate(BALL, gateway.buy().token).status_code == 200


def test_a_gateway_that_is_refused_leaves_the_owners_files_alone(house: House) -> None:
    async def begin() -> None:
        async with open_services(gateway.settings):
            pass

    with house.gateway() as gateway:
        on_its_way = gateway.services.uploads.incoming("half")
        on_its_way.write_bytes(b"the first half of an upload")
        with pytest.raises(DatabaseOwned):
            asyncio.run(begin())
        assert on_its_way.read_bytes() == b"the first half of an upload"
