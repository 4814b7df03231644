"""Idempotency-Key: a successful answer is repeated byte for byte, another request refused, a failure forgotten."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from harness import BALL, FREE, SLOW, Gateway, House, problem, until

KEY = {"idempotency-key": "once"}


def same(first: httpx.Response, again: httpx.Response) -> None:
    assert (first.status_code, again.status_code) == (200, 200), again.text
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == first.content


@pytest.mark.parametrize("keyed", [False, True], ids=["without a key", "with a key"])
def test_a_repeated_request_gets_the_same_bytes_also_after_a_restart(house: House, keyed: bool) -> None:
    with house.gateway() as gateway:
        buyer = gateway.account() if keyed else gateway.another()
        bought = buyer.buy()
        first = buyer.simulate(BALL, bought.token, headers=KEY)
        same(first, buyer.simulate(BALL, bought.token, headers=KEY))
        # The same request in other words, with another way to pay and another opinion of the price.
        words = {"step": 0.01, "stop_time": 1, "max_price": "9", "fmu_id": "msl:BouncingBall", "start_time": 0}
        same(first, buyer.simulate(words, headers={**KEY, "payment-token": bought.token}))
    with house.gateway() as gateway:
        again = gateway.another(buyer.key)
        same(first, again.simulate(BALL, bought.token, headers=KEY))
        assert len(gateway.rows("SELECT 1 FROM run")) == 1


def test_another_request_under_the_key_is_refused(gateway: Gateway) -> None:
    bought = gateway.buy()
    assert gateway.simulate(BALL, bought.token, headers=KEY).status_code == 200
    for other in ({**BALL, "step": 0.02}, {**BALL, "outputs": ["h"]}, {**BALL, "kpis": ["h:max"]}):
        problem(gateway.simulate(other, bought.token, headers=KEY), 422, "idempotency_mismatch")


def test_without_an_account_the_key_belongs_to_the_purchase(gateway: Gateway) -> None:
    one, two = gateway.buy(), gateway.buy()
    first, second = (gateway.simulate(BALL, b.token, headers=KEY) for b in (one, two))
    assert first.json()["run_id"] != second.json()["run_id"]


def test_with_an_account_the_key_is_the_accounts_and_saves_a_second_charge(gateway: Gateway) -> None:
    owner = gateway.account()
    one, two = owner.buy(), owner.buy()
    first = owner.simulate(BALL, one.token, headers=KEY)
    same(first, owner.simulate(BALL, two.token, headers=KEY))
    assert owner.collect(two.session_id) == two.token
    stranger = gateway.account()
    assert stranger.simulate(BALL, stranger.buy().token, headers=KEY).json()["run_id"] != first.json()["run_id"]


def test_a_request_in_flight_under_the_key_is_409(gateway: Gateway) -> None:
    owner = gateway.account()
    one, two = owner.buy(SLOW), owner.buy(SLOW)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(owner.simulate, SLOW, one.token, headers=KEY)
        until(lambda: owner.status(one.session_id).json()["status"] == "running", "the run to begin")
        for token in (one.token, two.token):
            flying = problem(owner.simulate(SLOW, token, headers=KEY), 409, "run_in_progress")
            assert flying["run_url"] == owner.status(one.session_id).json()["run_url"]
        first = running.result()
    same(first, owner.simulate(SLOW, two.token, headers=KEY))


def test_a_free_run_repeats_for_an_account_and_is_run_again_for_nobody(gateway: Gateway) -> None:
    owner = gateway.account()
    same(owner.simulate(FREE, headers=KEY), owner.simulate(FREE, headers=KEY))
    one, two = gateway.simulate(FREE, headers=KEY), gateway.simulate(FREE, headers=KEY)
    assert one.json()["run_id"] != two.json()["run_id"]


@pytest.mark.parametrize(
    ("accept", "media_type", "begins"),
    [
        ("text/csv", "text/csv; charset=utf-8", b'"time","h"'),
        ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream", b"\xff\xff\xff\xff"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet", b"PAR1"),
        ("text/csv;q=0.1, application/json", "application/json", b'{"run_id"'),
        ("*/*", "application/json", b'{"run_id"'),
    ],
)
def test_a_result_comes_in_the_form_that_is_accepted(
    gateway: Gateway, accept: str, media_type: str, begins: bytes
) -> None:
    body = {**BALL, "outputs": ["h"]}
    bought = gateway.buy(body)
    answer = gateway.simulate(body, bought.token, headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.content.startswith(begins)
    credential = {"payment-token": bought.token}
    again = gateway.get(f"/runs/{answer.headers['run-id']}", headers={"accept": accept, **credential})
    assert again.content == answer.content


def test_a_form_that_nobody_has_is_406_before_anything_is_spent(gateway: Gateway) -> None:
    bought = gateway.buy()
    for accept in ("image/png", "text/csv;q=0", "application/json;q=0"):
        problem(gateway.simulate(BALL, bought.token, headers={"accept": accept}), 406, "not_acceptable")
    assert gateway.simulate(BALL, bought.token).status_code == 200
