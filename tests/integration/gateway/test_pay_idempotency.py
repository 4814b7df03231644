"""POST /pay under an Idempotency-Key: the first answer again, byte for byte, and never a second bill."""

from collections import Counter
from typing import Any

import httpx
import pytest
from harness import Buyer, Gateway, House, at_once, problem

BALL, MOTOR = {"fmu_id": "msl:BouncingBall"}, {"fmu_id": "msl:DCMotor"}


def pay(buyer: Buyer, body: dict[str, Any], key: str = "k") -> httpx.Response:
    return buyer.http.post("/pay", json=body, headers={"idempotency-key": key})


def test_an_account_gets_the_same_answer_also_after_a_restart_and_after_paying(house: House) -> None:
    with house.gateway() as gateway:
        buyer = gateway.account()
        first = pay(buyer, BALL)
        assert (first.status_code, first.headers.get("idempotent-replayed")) == (200, None)
        key = buyer.key
    with house.gateway() as gateway:
        buyer = gateway.another(key)
        again = pay(buyer, BALL)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
        assert again.content == first.content
        gateway.stripe.pay(first.json()["stripe_session_id"])
        assert pay(buyer, BALL).content == first.content
        assert pay(buyer, BALL, "another").json()["stripe_session_id"] != first.json()["stripe_session_id"]
        assert len(gateway.stripe.objects("checkout.session")) == 2


def test_an_account_gets_the_same_answer_also_after_the_secret_was_rotated(house: House) -> None:
    old, new = "the old secret of the house", "the new secret of the house"
    with house.gateway(gateway_secret=(old,)) as gateway:
        buyer = gateway.account()
        first, key = pay(buyer, BALL), buyer.key
        assert first.status_code == 200
    with house.gateway(gateway_secret=(new, old)) as gateway:
        buyer = gateway.another(key)
        assert pay(buyer, BALL).content == first.content
        second = pay(buyer, MOTOR, "another")
        assert problem(pay(buyer, MOTOR), 422, "idempotency_mismatch")
    with house.gateway(gateway_secret=(old, new)) as gateway:  # taken back
        buyer = gateway.another(key)
        assert (pay(buyer, BALL).content, pay(buyer, MOTOR, "another").content) == (first.content, second.content)
        assert gateway.status(second.json()["session_id"], headers=buyer.http.headers).status_code == 202


def test_without_an_account_the_key_belongs_to_the_purchase(gateway: Gateway) -> None:
    quote, other = gateway.quote(), gateway.quote()
    first = pay(gateway, {"session_id": quote["session_id"]})
    assert pay(gateway, {"session_id": quote["session_id"]}).content == first.content
    elsewhere = pay(gateway, {"session_id": other["session_id"]})
    assert (elsewhere.status_code, "idempotent-replayed" in elsewhere.headers) == (200, False)
    # A stranger who asks for a model has nobody the key could belong to.
    assert pay(gateway, BALL).json()["session_id"] != pay(gateway, BALL).json()["session_id"]


def test_another_request_under_the_key_is_refused(gateway: Gateway) -> None:
    buyer, other = gateway.account(), gateway.account()
    assert pay(buyer, BALL).status_code == 200
    mine = f"{gateway.settings.base_url}/elsewhere"
    for body in (MOTOR, {**BALL, "success_url": mine}, {"session_id": buyer.quote()["session_id"]}):
        assert problem(pay(buyer, body), 422, "idempotency_mismatch")["field"] == "Idempotency-Key"
    assert pay(other, MOTOR).status_code == 200  # it is somebody else's key


@pytest.mark.parametrize("body", [BALL, MOTOR])
def test_the_same_request_at_the_same_time_is_told_to_come_again(gateway: Gateway, body: dict[str, Any]) -> None:
    buyer = gateway.account()
    gateway.stripe.fault("slow", path="/v1/checkout/sessions", method="POST", seconds=0.5)
    answers = at_once(3, lambda i: pay(buyer, BALL if i < 2 else body))
    codes = Counter(answer.status_code for answer in answers)
    if body is BALL:
        assert codes == {200: 1, 409: 2}
        for answer in answers:
            if answer.status_code == 409:
                problem(answer, 409, "pay_in_progress")
                assert answer.headers["retry-after"] == "1"
    else:
        assert codes in ({200: 1, 409: 1, 422: 1}, {200: 1, 422: 2})
    assert pay(buyer, BALL).status_code in (200, 422)


def test_a_failure_is_not_kept(gateway: Gateway) -> None:
    buyer = gateway.account()
    gateway.stripe.fault("error", path="/v1/checkout/sessions", method="POST", times=None)
    problem(pay(buyer, BALL), 502, "stripe_error")
    gateway.stripe.clear_faults()
    assert pay(buyer, BALL).status_code == 200
    problem(pay(buyer, {"fmu_id": "msl:Nothing"}, "other"), 404, "model_not_found")
    assert pay(buyer, BALL, "other").status_code == 200


def test_the_key_never_opens_what_the_sender_may_not_see(gateway: Gateway) -> None:
    owner = gateway.account()
    quote = owner.quote()
    assert pay(owner, {"session_id": quote["session_id"]}).status_code == 200
    problem(pay(gateway, {"session_id": quote["session_id"]}), 404, "purchase_not_found")


def test_nothing_that_opens_a_purchase_stands_in_the_books(house: House) -> None:
    with house.gateway() as gateway:
        said = pay(gateway, {"session_id": gateway.quote()["session_id"]}).json()
        gateway.buy()
    texts = [path.read_bytes() for path in house.folder.glob("gateway.sqlite3*")]
    assert said["stripe_session_id"].encode() in b"".join(texts)
    for secret in (b"fms_", b"fmt_", b"fmk_"):
        assert all(secret not in text for text in texts)
