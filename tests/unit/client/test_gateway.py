"""The SDK, sync and async: what it sends, what it makes of every answer, and that it never pays twice."""

import httpx
import pytest

from gateway.client import (
    Gone,
    InvalidRequest,
    KeyRefused,
    NotFound,
    PaymentRequired,
    Problem,
    RunFailed,
    RunInProgress,
    RunRequest,
    Unavailable,
    Unreachable,
    WaitedTooLong,
)

REQUEST = RunRequest("msl:BouncingBall", stop_time=1.0, start_values={"e": 0.7})


def problem(code, **fields):
    return {"code": code, "detail": "What happened.", "next_step": "What to do.", **fields}


def test_a_quote_sends_only_what_was_said_and_asks_for_no_run(script, offer):
    found = script.then(402, offer).call("quote", REQUEST)
    assert script.sent() == {
        "fmu_id": "msl:BouncingBall",
        "stop_time": 1.0,
        "start_values": {"e": 0.7},
        "quote_only": True,
    }
    assert (found.amount, found.session_id, found.is_free) == ("1.00", "fms_1", False)
    assert found.body == offer


def test_the_quote_of_a_free_model_has_nothing_to_pay(script):
    body = {"status": "free", "fmu_id": "msl:VanDerPol", "amount": "0.00", "currency": "usd", "next_step": "Run it."}
    assert script.then(200, body).call("quote", RunRequest("msl:VanDerPol")).is_free


def test_a_quote_above_the_cap_is_refused_with_its_price(script, offer):
    script.then(402, {**offer, "code": "price_above_max"})
    with pytest.raises(PaymentRequired) as refused:
        script.call("quote", RunRequest("msl:BouncingBall", max_price="0.50"))
    assert refused.value.offer.amount == "1.00"
    assert script.sent()["max_price"] == "0.50"


def test_the_api_key_travels_as_bearer_and_only_where_there_is_one(script):
    script.then(200, {"models": []}).call("models", api_key="fmk_1")
    assert script.requests[0].headers["authorization"] == "Bearer fmk_1"
    script.then(200, {"models": []}).call("models")
    assert "authorization" not in script.requests[1].headers


def test_models_are_read_with_their_prices(script):
    card = {"fmu_id": "msl:A", "name": "A", "price": "0.00", "currency": "usd", "unknown_later": 1}
    (found,) = script.then(200, {"models": [card]}).call("models", "ball")
    assert found.is_free
    assert found.body["unknown_later"] == 1
    assert script.requests[0].url.params["query"] == "ball"


def test_a_name_cannot_leave_its_place_in_the_address(script):
    script.then(404, problem("model_not_found"))
    with pytest.raises(NotFound):
        script.call("model", "msl:../keys?x=1#y")
    assert script.requests[0].url.raw_path == b"/fmus/msl:..%2Fkeys%3Fx%3D1%23y"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, problem("key_refused"), KeyRefused),
        (402, problem("token_invalid"), PaymentRequired),
        (404, problem("model_not_found"), NotFound),
        (409, problem("run_in_progress"), RunInProgress),
        (410, problem("token_consumed", run_url="http://gateway.test/runs/run_1"), Gone),
        (413, problem("body_too_large"), InvalidRequest),
        (422, problem("invalid_request", field="stop_time"), InvalidRequest),
        (422, problem("model_error", charged=False), RunFailed),
        (500, problem("model_crashed", charged=False), RunFailed),
        (504, problem("simulation_timeout", charged=False), RunFailed),
        (507, problem("memory_limit", charged=False), RunFailed),
        (507, problem("storage_full"), Unavailable),
        (429, problem("rate_limited"), Unavailable),
        (502, problem("stripe_error"), Unavailable),
        (500, problem("internal_error"), Problem),
    ],
)
def test_every_refusal_is_an_exception_that_says_what_to_do(script, status, body, kind):
    script.then(status, body)
    with pytest.raises(Problem) as refused:
        script.call("run", REQUEST)
    assert type(refused.value) is kind
    assert (refused.value.code, refused.value.next_step) == (body["code"], "What to do.")
    assert refused.value.field == body.get("field")
    assert refused.value.charged == body.get("charged")
    assert len(script.requests) == 1


def test_a_typing_error_is_named_with_the_nearest_right_word(script):
    script.then(422, problem("invalid_request", field="start_values.g0", did_you_mean="g"))
    with pytest.raises(InvalidRequest) as refused:
        script.call("quote", REQUEST)
    assert (refused.value.field, refused.value.did_you_mean) == ("start_values.g0", "g")


def test_a_paid_run_sends_token_and_key_and_gives_columns(script, result):
    found = script.then(200, result).call("run", REQUEST, payment_token="fmt_1")
    assert script.sent()["payment_token"] == "fmt_1"
    assert script.requests[0].headers["idempotency-key"] == REQUEST.idempotency_key("fmt_1")
    assert found.data == {"time": [0.0, 0.5, 1.0], "h": [1.0, None, 0.25]}
    assert found.charged


def test_the_idempotency_key_of_the_caller_wins(script, result):
    script.then(200, result).call("run", REQUEST, payment_token="fmt_1", idempotency_key="mine")
    assert script.requests[0].headers["idempotency-key"] == "mine"


def test_a_free_run_sends_no_idempotency_key_of_its_own_making(script, result):
    script.then(200, result).call("run", REQUEST)
    assert "idempotency-key" not in script.requests[0].headers


def test_token_and_request_name_the_run_and_the_price_cap_does_not():
    key = REQUEST.idempotency_key("fmt_1")
    assert key == RunRequest("msl:BouncingBall", stop_time=1.0, start_values={"e": 0.7}, max_price="2").idempotency_key(
        "fmt_1"
    )
    assert key != REQUEST.idempotency_key("fmt_2")
    assert key != RunRequest("msl:BouncingBall", stop_time=2.0, start_values={"e": 0.7}).idempotency_key("fmt_1")


def test_a_lost_connection_of_a_paid_run_is_asked_again_under_the_same_key(script, result):
    script.lose(httpx.ReadError("reset")).then(409, problem("run_in_progress")).lose(httpx.ConnectError("refused"))
    script.then(503, problem("draining"), Retry_After="3").then(200, result)
    assert script.call("run", REQUEST, payment_token="fmt_1").run_id == "run_1"
    assert len({request.headers["idempotency-key"] for request in script.requests}) == 1
    assert len({request.content for request in script.requests}) == 1
    assert script.pauses == ["connection lost", "still running", "connection lost", "What happened."]


def test_after_a_lost_answer_the_result_of_the_spent_token_is_fetched(script, result):
    script.lose(httpx.RemoteProtocolError("cut"))
    script.then(410, problem("token_consumed", run_url="http://gateway.test/runs/run_1")).then(200, result)
    assert script.call("run", REQUEST, payment_token="fmt_1").run_id == "run_1"
    assert script.requests[-1].url.path == "/runs/run_1"
    assert script.requests[-1].headers["payment-token"] == "fmt_1"


def test_without_a_loss_a_spent_token_stays_an_error(script):
    script.then(410, problem("token_consumed", run_url="http://gateway.test/runs/run_1"))
    with pytest.raises(Gone):
        script.call("run", REQUEST, payment_token="fmt_1")


def test_a_run_that_failed_after_a_lost_connection_is_not_run_again(script):
    script.lose(httpx.ReadError("reset")).then(422, problem("model_error", charged=False))
    with pytest.raises(RunFailed):
        script.call("run", REQUEST, payment_token="fmt_1")
    assert len(script.requests) == 2


def test_a_free_run_is_not_repeated_after_a_lost_connection(script):
    script.lose(httpx.ReadError("reset"))
    with pytest.raises(Unreachable) as lost:
        script.call("run", REQUEST)
    assert lost.value.sent


def test_a_gateway_that_never_answered_is_reported_at_once(script):
    script.lose(httpx.ConnectError("refused"))
    with pytest.raises(Unreachable) as lost:
        script.call("run", REQUEST, payment_token="fmt_1")
    assert not lost.value.sent
    assert script.time == 0


def test_a_paid_run_gives_up_after_a_minute(script):
    for _ in range(100):
        script.lose(httpx.ReadError("reset"))
    with pytest.raises(Unreachable):
        script.call("run", REQUEST, payment_token="fmt_1")
    assert 60 <= script.time < 70


def test_waiting_for_the_token_polls_long_and_ends_with_the_token(script):
    script.answering_takes = 25.0
    script.then(202, {"status": "pending"}, Retry_After="2").then(202, {"status": "pending"}, Retry_After="2")
    token = script.then(200, {"status": "ready", "payment_token": "fmt_1"}).call("wait_for_token", "fms_1", wait=120)
    assert token.payment_token == "fmt_1"
    assert [request.url.params["wait"] for request in script.requests] == ["25", "25", "25"]
    assert script.time == 75.0  # a held answer is asked again at once


def test_an_answer_that_was_not_held_is_asked_again_when_the_gateway_says(script):
    script.then(202, {"status": "pending"}, Retry_After="2")
    script.then(200, {"status": "ready", "payment_token": "fmt_1"}).call("wait_for_token", "fms_1", wait=120)
    assert script.time == 2.0


def test_waiting_survives_a_restart_of_the_gateway(script):
    script.lose(httpx.ConnectError("refused")).lose(httpx.ReadError("reset"))
    script.then(503, problem("draining"), Retry_After="5")
    found = script.then(200, {"status": "ready", "payment_token": "fmt_1"}).call("wait_for_token", "fms_1", wait=120)
    assert found.payment_token == "fmt_1"


def test_waiting_ends_in_time_and_says_how_to_ask_again(script):
    script.answering_takes = 1.0
    for _ in range(100):
        script.then(202, {"status": "pending"}, Retry_After="2")
    with pytest.raises(WaitedTooLong) as late:
        script.call("wait_for_token", "fms_1", wait=30)
    assert late.value.session_id == "fms_1"
    assert 30 <= script.time <= 32


@pytest.mark.parametrize("code", ["expired", "refunded", "revoked", "consumed"])
def test_waiting_for_what_can_no_longer_come_ends_at_once(script, code):
    script.then(410, problem(code, status=410))
    with pytest.raises(Gone):
        script.call("wait_for_token", "fms_1", wait=600)
    assert script.time == 0


def test_the_status_of_a_purchase_that_is_over_is_an_answer(script):
    script.then(410, problem("consumed", status=410, run_url="http://gateway.test/runs/run_1"))
    found = script.call("status", "fms_1")
    assert (found.status, found.run_url) == ("consumed", "http://gateway.test/runs/run_1")
    assert found.body["status"] == "consumed"


def test_a_finished_run_is_read_with_the_token_that_paid(script, result):
    assert script.then(200, result).call("result", "run_1", "fmt_1").reached_time == 1.0
    assert script.requests[0].headers["payment-token"] == "fmt_1"


def test_a_run_still_going_is_no_result(script):
    script.then(202, {"run_id": "run_1", "status": "running"})
    with pytest.raises(RunInProgress):
        script.call("result", "run_1")


def test_a_failed_run_read_later_is_still_a_failure(script):
    script.then(200, {"run_id": "run_1", "status": "failed", **problem("model_crashed", charged=False)})
    with pytest.raises(RunFailed) as failed:
        script.call("result", "run_1")
    assert failed.value.charged is False


def test_a_new_key_is_given_as_it_came(script):
    script.then(201, {"api_key": "fmk_1", "key_id": "key_1", "account_id": "acc_1"})
    assert script.call("create_key", name="laptop").api_key == "fmk_1"
    assert script.sent() == {"name": "laptop"}


def test_paying_opens_the_purchase_of_a_quote(script):
    body = {
        "checkout_url": "https://checkout.stripe.test/c",
        "session_id": "fms_1",
        "amount": "1.00",
        "currency": "usd",
    }
    assert script.then(200, body).call("pay", session_id="fms_1").checkout_url == "https://checkout.stripe.test/c"
    assert script.sent() == {"session_id": "fms_1"}
