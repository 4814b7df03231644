"""A payment token spends one purchase once, on its own model, and opens nothing else."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from harness import BALL, SLOW, Bought, Buyer, Gateway, at_once, problem, until

FORMS = ("", "/result.csv", "/result.arrow", "/result.parquet", "/plot.svg")
MOTOR = {"fmu_id": "msl:DCMotor"}


def runs_of(gateway: Gateway, buyer: Buyer, bought: Bought) -> list[dict[str, object]]:
    return gateway.rows("SELECT * FROM run WHERE token_id = ?", buyer.purchase_id(bought))


def test_of_24_parallel_redeems_one_runs(gateway: Gateway) -> None:
    bought = gateway.buy()
    answers = at_once(24, lambda _: gateway.simulate(BALL, bought.token))
    codes = Counter(answer.status_code for answer in answers)
    assert codes[200] == 1
    assert codes[200] + codes[409] + codes[410] == 24, codes
    for answer in answers:
        if answer.status_code == 409:
            problem(answer, 409, "run_in_progress")
        if answer.status_code == 410:
            problem(answer, 410, "token_consumed")
    assert [run["state"] for run in runs_of(gateway, gateway, bought)] == ["succeeded"]


@pytest.mark.parametrize("keyed", [False, True], ids=["without a key", "with a key"])
def test_the_second_use_points_to_the_result_which_only_its_owner_reads(gateway: Gateway, keyed: bool) -> None:
    buyer = gateway.account() if keyed else gateway
    stranger, other = gateway.account(), gateway.buy()
    bought = buyer.buy()
    first = buyer.simulate(BALL, bought.token)
    assert first.status_code == 200
    run_url = problem(buyer.simulate(BALL, bought.token), 410, "token_consumed")["run_url"]
    nobody = gateway.another()

    def read(form: str, who: Buyer = nobody, **headers: str) -> httpx.Response:
        return who.get(run_url + form, headers=headers)

    for form in FORMS:
        assert read(form, payment_token="x").status_code == 404
        for allowed in ({"payment-token": bought.token}, {"authorization": f"Bearer {bought.token}"}):
            assert read(form, **allowed).status_code == 200, form
        # A key that is somebody else's does not take the token's right away.
        assert read(form, stranger, **{"payment-token": bought.token}).status_code == 200
        for refused in ({}, {"payment-token": other.token}, {"payment-token": bought.session_id}):
            problem(read(form, **refused), 404, "run_not_found")
        problem(read(form, stranger), 404, "run_not_found")
        if keyed:
            assert read(form, buyer).status_code == 200
    assert read("", **{"payment-token": bought.token}).content == first.content


def test_a_token_for_one_model_does_not_run_another_and_stays_good(gateway: Gateway) -> None:
    bought = gateway.buy()
    refused = problem(gateway.simulate(MOTOR, bought.token), 402, "token_does_not_cover")
    assert (refused["fmu_id"], refused["amount"]) == ("msl:DCMotor", "2.50")
    assert refused["checkout_url"]
    assert runs_of(gateway, gateway, bought) == []
    assert gateway.simulate({"fmu_id": "msl:BouncingBall", "start_values": {"e": 0.5}}, bought.token).status_code == 200


@pytest.mark.parametrize("means", ["body", "Payment-Token", "Bearer"])
def test_a_token_may_come_in_three_ways(gateway: Gateway, means: str) -> None:
    token = gateway.buy().token
    headers = {"Payment-Token": {"payment-token": token}, "Bearer": {"authorization": f"Bearer {token}"}}.get(means, {})
    assert gateway.simulate(BALL, token if means == "body" else None, headers=headers).status_code == 200


def test_two_different_tokens_are_refused_and_neither_is_used(gateway: Gateway) -> None:
    one, two = gateway.buy(), gateway.buy()
    refused = gateway.simulate(BALL, one.token, headers={"payment-token": two.token})
    assert problem(refused, 422, "invalid_request")["field"] == "payment_token"
    assert gateway.simulate(BALL, one.token, headers={"payment-token": one.token}).status_code == 200
    assert gateway.simulate(BALL, two.token).status_code == 200


def test_asking_for_a_quote_never_spends_the_token_that_is_sent_along(gateway: Gateway) -> None:
    token = gateway.buy().token
    problem(gateway.simulate({**BALL, "quote_only": True}, token), 402, "payment_required")
    for value in ("true", "1", "TRUE", ""):
        problem(gateway.simulate(BALL, token, params={"quote_only": value}), 402, "payment_required")
    assert gateway.simulate(BALL, token, params={"quote_only": "false"}).status_code == 200


def test_only_the_session_id_collects_a_token(gateway: Gateway) -> None:
    bought = gateway.buy()
    code = bought.quote["checkout_url"].rsplit("/", 1)[1]
    texts = [code, code.replace("fmq_", "fms_"), bought.token, bought.token.replace("fmt_", "fms_"), "fms_", "x"]
    for text in (*texts, bought.stripe_session_id, gateway.purchase_id(bought), bought.session_id[:-1]):
        problem(gateway.status(text), 404, "purchase_not_found")
    assert gateway.collect(bought.session_id) == bought.token


def test_only_a_token_spends(gateway: Gateway) -> None:
    bought = gateway.buy()
    code = bought.quote["checkout_url"].rsplit("/", 1)[1]
    swapped = [code.replace("fmq_", "fmt_"), bought.session_id.replace("fms_", "fmt_"), bought.token.upper()]
    for text in (
        *swapped,
        code,
        bought.session_id,
        bought.stripe_session_id,
        bought.token[:-1],
        bought.token + "A",
        " ",
    ):
        refused = problem(gateway.simulate(BALL, text), 402, "token_invalid")
        assert refused["checkout_url"] != bought.quote["checkout_url"]
    for text in (code, bought.session_id, bought.stripe_session_id):
        problem(gateway.simulate(BALL, headers={"authorization": f"Bearer {text}"}), 401, "key_refused")
    assert gateway.simulate(BALL, bought.token).status_code == 200


def test_only_the_quote_of_checkout_url_opens_a_checkout(gateway: Gateway) -> None:
    quote = gateway.quote()
    for text in (quote["session_id"], quote["session_id"].replace("fms_", "fmq_"), "x"):
        problem(gateway.get(f"/checkout/{text}"), 404, "purchase_not_found")


def test_an_expired_token_stays_dead_after_the_next_was_issued(gateway: Gateway) -> None:
    bought = gateway.buy()
    assert gateway.collect(bought.session_id) == bought.token  # the same on every call until it expires
    gateway.later(30 * 60)
    problem(gateway.simulate(BALL, bought.token), 402, "token_expired")
    following = gateway.collect(bought.session_id)
    assert following != bought.token
    assert gateway.collect(bought.session_id) == following
    problem(gateway.simulate(BALL, bought.token), 402, "token_expired")
    assert gateway.simulate(BALL, following).status_code == 200
    # It neither reads what the next one paid for, nor replays it.
    run_url = problem(gateway.simulate(BALL, following), 410, "token_consumed")["run_url"]
    problem(gateway.get(run_url, headers={"payment-token": bought.token}), 404, "run_not_found")
    assert gateway.get(run_url, headers={"payment-token": following}).status_code == 200
    gateway.later(30 * 60)
    assert gateway.get(run_url, headers={"payment-token": following}).status_code == 200


def test_a_superseded_token_does_not_replay_what_the_next_one_paid_for(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.later(30 * 60)
    following = gateway.collect(bought.session_id)
    key = {"idempotency-key": "shared-secret-of-nobody"}
    assert gateway.simulate(BALL, following, headers=key).status_code == 200
    assert gateway.simulate(BALL, following, headers=key).headers["idempotent-replayed"] == "true"
    assert gateway.simulate(BALL, bought.token, headers=key).status_code in (402, 410)


def test_a_superseded_token_is_not_sent_to_a_run_that_it_may_not_read(gateway: Gateway) -> None:
    bought = gateway.buy(SLOW)
    gateway.later(30 * 60)
    following = gateway.collect(bought.session_id)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(gateway.simulate, SLOW, following)
        until(lambda: gateway.status(bought.session_id).json()["status"] == "running", "the run to begin")
        during = problem(gateway.simulate(SLOW, bought.token), 409, "run_in_progress")
        assert running.result().status_code == 200
    for said in (during, problem(gateway.simulate(SLOW, bought.token), 410, "token_consumed")):
        assert "run_url" not in said
        assert "status_url of the quote you paid" in said["next_step"]
    assert problem(gateway.simulate(SLOW, following), 410, "token_consumed")["run_url"]


def test_no_answer_to_a_token_contains_its_session_id(gateway: Gateway) -> None:
    bought = gateway.buy()
    said = [
        gateway.simulate(MOTOR, bought.token),
        gateway.simulate(BALL, bought.token),
        gateway.simulate(BALL, bought.token),
    ]
    gateway.later(60 * 60)
    late = gateway.buy()
    gateway.later(60 * 60)
    said.append(gateway.simulate(BALL, late.token))
    assert [answer.status_code for answer in said] == [402, 200, 410, 402]
    for answer in said:
        assert bought.session_id not in answer.text
        assert late.session_id not in answer.text


def test_a_purchase_with_a_key_is_nobody_elses(gateway: Gateway) -> None:
    owner, other = gateway.account(), gateway.account()
    bought = owner.buy()
    for who in (gateway, other):
        problem(who.status(bought.session_id), 404, "purchase_not_found")
        problem(who.status(bought.stripe_session_id), 404, "purchase_not_found")
        problem(who.http.post("/pay", json={"session_id": bought.session_id}), 404, "purchase_not_found")
    assert owner.collect(bought.session_id) == owner.collect(bought.stripe_session_id) == bought.token
    # The token itself is a bearer's, so whoever the owner gives it to may spend it; not beside another account's key.
    problem(other.simulate(BALL, bought.token), 402, "token_invalid")
    assert gateway.simulate(BALL, bought.token).status_code == 200
    assert gateway.rows("SELECT account_id FROM run WHERE token_id = ?", owner.purchase_id(bought))[0]["account_id"]


def test_max_price_is_a_limit_not_a_payment(gateway: Gateway) -> None:
    above = problem(gateway.simulate({**BALL, "max_price": "0.99"}), 402, "price_above_max")
    assert (above["amount"], bool(above["checkout_url"])) == ("1.00", True)
    for enough in ("1", "1.00", "1.000000", "2"):
        problem(gateway.simulate({**BALL, "max_price": enough}), 402, "payment_required")
    for wrong in ("x", "-1", "NaN", "1e400", "0.0000001", ""):
        refused = problem(gateway.simulate({**BALL, "max_price": wrong}), 422, "invalid_request")
        assert refused["field"] == "max_price"
