"""A client that comes again: after a lost connection it gets the result, and who is refused is told when to come."""

import inspect
import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import BALL, SLOW, Buyer, Gateway, at_once, problem, until

from gateway import errors
from gateway.errors import GatewayError

Start = Callable[..., Gateway]
KEY = {"idempotency-key": "once"}


def hang_up(gateway: Gateway, buyer: Buyer, path: str, body: dict[str, object], begun: Callable[[], object]) -> None:
    """Sends a request under KEY and is gone before there is an answer."""
    raw = json.dumps(body).encode()
    head = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(raw)}", "idempotency-key: once"]
    head += [f"authorization: Bearer {buyer.key}"] if buyer.key else []
    with socket.create_connection(("127.0.0.1", gateway.settings.port)) as line:
        line.sendall("\r\n".join([*head, "", ""]).encode() + raw)
        until(begun, "the request to be worked on")


@pytest.mark.parametrize("keyed", [False, True], ids=["without an account", "with an account"])
def test_who_lost_the_connection_in_a_run_gets_its_result_by_asking_again(open_gateway: Start, keyed: bool) -> None:
    gateway = open_gateway()
    buyer = gateway.account() if keyed else gateway.another()
    bought = buyer.buy(SLOW)
    body = {**SLOW, "payment_token": bought.token}
    hang_up(gateway, buyer, "/simulate", body, lambda: gateway.token_state(bought) == "held")
    flying = problem(buyer.simulate(SLOW, bought.token, headers=KEY), 409, "run_in_progress")
    assert int(buyer.simulate(SLOW, bought.token, headers=KEY).headers["retry-after"]) >= 1
    until(lambda: gateway.token_state(bought) == "spent", "the run to end")
    again = [buyer.simulate(SLOW, bought.token, headers=KEY) for _ in range(2)]
    assert {answer.status_code for answer in again} == {200}
    assert again[0].content == again[1].content
    said = again[0].json()
    assert (said["charged"], flying["run_url"].endswith(said["run_id"]), said["data"]["time"][-1]) == (True, True, 1.0)
    assert len(gateway.rows("SELECT 1 FROM run")) == 1


def test_who_lost_the_connection_in_pay_gets_the_same_bill_by_asking_again(open_gateway: Start) -> None:
    gateway = open_gateway()
    buyer = gateway.account()
    gateway.stripe.fault("slow", path="/v1/checkout/sessions", method="POST", seconds=0.5)
    model: dict[str, object] = {"fmu_id": "msl:BouncingBall"}
    hang_up(gateway, buyer, "/pay", model, lambda: gateway.rows("SELECT 1 FROM purchase"))
    answers = [buyer.http.post("/pay", json=model, headers=KEY)]
    while answers[-1].status_code == 409:
        answers.append(buyer.http.post("/pay", json=model, headers=KEY))
    assert answers[-1].status_code == 200
    (session,) = gateway.stripe.objects("checkout.session")
    assert answers[-1].json()["stripe_session_id"] == session["id"]
    assert buyer.http.post("/pay", json=model, headers=KEY).content == answers[-1].content


def test_many_who_repeat_at_once_run_once_and_all_get_the_same_bytes(open_gateway: Start) -> None:
    gateway = open_gateway()
    bought = gateway.buy()

    def ask(_: int) -> bytes:
        while (answer := gateway.another().simulate(BALL, bought.token, headers=KEY)).status_code == 409:
            pass
        assert answer.status_code == 200, answer.text
        return answer.content

    assert len(set(at_once(8, ask))) == 1
    assert len(gateway.rows("SELECT 1 FROM run")) == 1


REFUSALS = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, GatewayError) and error.status in (429, 503)
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: error.__name__)
def test_whoever_is_to_come_again_is_told_when(refusal: type[GatewayError]) -> None:
    assert (refusal().retry_after or 0) >= 1


def test_a_gateway_that_stops_refuses_before_any_hold(open_gateway: Start) -> None:
    gateway = open_gateway()
    bought, running = gateway.buy(), gateway.buy(SLOW)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(gateway.simulate, SLOW, running.token)
        until(lambda: gateway.token_state(running) == "held", "the run")
        gateway.services.draining = True
        refused = gateway.simulate(BALL, bought.token)
        problem(refused, 503, "draining")
        assert int(refused.headers["retry-after"]) >= 1
        assert run.result().status_code == 200
    assert gateway.token_state(bought) == "ready"
    assert len(gateway.rows("SELECT 1 FROM run")) == 1
    gateway.services.draining = False
    assert gateway.simulate(BALL, bought.token).status_code == 200
