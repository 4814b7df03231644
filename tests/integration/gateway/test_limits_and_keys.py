"""How often: free runs, keys and checkouts. And a key that is wrong is never taken as anonymous."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from harness import FREE, Gateway, problem


def limited(answers: list[httpx.Response], allowed: int, status: int) -> None:
    assert [answer.status_code for answer in answers[:allowed]] == [status] * allowed
    problem(answers[allowed], 429, "rate_limited")
    assert 1 <= int(answers[allowed].headers["retry-after"]) <= 60


def test_free_runs_are_limited_by_address(open_gateway: Callable[..., Gateway]) -> None:
    gateway = open_gateway(free_runs_per_minute=2)
    limited([gateway.simulate(FREE) for _ in range(3)], 2, 200)
    assert gateway.quote()  # quotes are not


def test_what_is_repeated_under_its_key_is_no_free_run_more(open_gateway: Callable[..., Gateway]) -> None:
    owner = open_gateway(free_runs_per_minute=2).account()
    answers = [owner.simulate(FREE, headers={"idempotency-key": "k"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.content for answer in answers}) == 1
    limited([owner.simulate(FREE) for _ in range(2)], 1, 200)


def test_new_keys_are_limited_by_address(open_gateway: Callable[..., Gateway]) -> None:
    gateway = open_gateway(keys_per_minute=2)
    limited([gateway.http.post("/keys") for _ in range(3)], 2, 201)


def test_checkouts_are_limited_by_address_and_an_opened_one_is_not_counted_again(
    open_gateway: Callable[..., Gateway],
) -> None:
    gateway = open_gateway(checkouts_per_minute=2)
    quotes = [gateway.quote() for _ in range(3)]
    limited([gateway.get(quote["checkout_url"]) for quote in quotes], 2, 303)
    assert gateway.get(quotes[0]["checkout_url"]).status_code == 303
    problem(gateway.http.post("/pay", json={"session_id": quotes[2]["session_id"]}), 429, "rate_limited")
    assert len(gateway.rows("SELECT 1 FROM purchase")) == 2


def test_a_purchase_that_an_account_is_given_again_counts_as_one_checkout(open_gateway: Callable[..., Gateway]) -> None:
    owner = open_gateway(checkouts_per_minute=2).account()
    ball, motor, third = ({"fmu_id": f"msl:{name}"} for name in ("BouncingBall", "DCMotor", "BouncingBall"))
    same = [owner.http.post("/pay", json=ball) for _ in range(4)]
    assert [answer.status_code for answer in same] == [200] * 4
    assert len({answer.json()["session_id"] for answer in same}) == 1
    assert owner.http.post("/pay", json=motor).status_code == 200
    owner.stripe.pay(same[0].json()["stripe_session_id"])
    problem(owner.http.post("/pay", json=third), 429, "rate_limited")


@pytest.mark.parametrize("eager", [False, True])
def test_a_checkout_that_stripe_refuses_counts_each_time_it_is_tried(
    open_gateway: Callable[..., Gateway], eager: bool
) -> None:
    gateway = open_gateway(checkouts_per_minute=3)
    quote = gateway.quote()
    gateway.stripe.fault("error", status=400, path="/v1/checkout/sessions", method="POST", times=None)
    gateway.stripe.reset_calls()

    def opened() -> httpx.Response:
        if eager:
            return gateway.http.post("/pay", json={"session_id": quote["session_id"]})
        return gateway.get(quote["checkout_url"])

    limited([opened() for _ in range(4)], 3, 502)
    assert len(gateway.stripe.calls()) == 3


def test_checkouts_of_all_together_never_exceed_what_stripe_takes(open_gateway: Callable[..., Gateway]) -> None:
    gateway = open_gateway(checkouts_per_second=1)
    quotes = [gateway.quote() for _ in range(4)]
    answers = [gateway.get(quote["checkout_url"]) for quote in quotes]
    busy = [answer for answer in answers if answer.status_code != 303]
    assert busy
    for answer in busy:
        problem(answer, 503, "busy")
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["ratelimit"].startswith('"all-checkouts";r=0')


def test_quotes_are_limited_only_where_the_operator_says_so(open_gateway: Callable[..., Gateway]) -> None:
    gateway = open_gateway(quotes_per_second=3)
    codes = [gateway.simulate().status_code for _ in range(30)]
    assert codes[:3] == [402] * 3
    assert 429 in codes


def test_behind_a_trusted_proxy_its_word_counts_and_nobody_elses(open_gateway: Callable[..., Gateway]) -> None:
    gateway = open_gateway(keys_per_minute=1, trusted_proxies=("127.0.0.1", "10.0.0.1"))

    def key(forwarded: str) -> int:
        return gateway.http.post("/keys", headers={"x-forwarded-for": forwarded}).status_code

    assert [key("192.0.2.1"), key("192.0.2.1"), key("192.0.2.2")] == [201, 429, 201]
    assert key("192.0.2.9, 192.0.2.2, 10.0.0.1") == 429  # what stands before the last untrusted hop is anybody's word
    assert [key("2001:db8::1"), key("2001:db8::2"), key("2001:db8:0:1::1")] == [201, 429, 201]  # a /64 is one address


def test_without_a_trusted_proxy_its_header_is_anybodys_word(open_gateway: Callable[..., Gateway]) -> None:
    gateway = open_gateway(keys_per_minute=1)
    codes = [gateway.http.post("/keys", headers={"x-forwarded-for": f"192.0.2.{i}"}).status_code for i in range(2)]
    assert codes == [201, 429]


def test_free_runs_need_no_payment_and_are_read_with_their_run_token(gateway: Gateway) -> None:
    answer = gateway.simulate(FREE)
    said = answer.json()
    assert (answer.status_code, said["charged"], said["amount"]) == (200, False, "0.00")
    assert "receipt" not in said
    url, token = f"/runs/{said['run_id']}", {"authorization": f"Bearer {said['run_token']}"}
    assert gateway.get(url, headers=token).content == answer.content
    assert gateway.get(f"{url}/result.csv", headers=token).status_code == 200
    other = gateway.simulate(FREE).json()["run_token"]
    for headers in ({}, {"authorization": f"Bearer {other}"}, {"payment-token": gateway.buy().token}):
        problem(gateway.get(url, headers=headers), 404, "run_not_found")
    # It reads, and pays for nothing.
    problem(gateway.simulate(headers=token), 402, "token_invalid")


def test_a_free_run_with_a_key_is_the_accounts(gateway: Gateway) -> None:
    owner = gateway.account()
    said = owner.simulate(FREE).json()
    assert "run_token" not in said
    assert owner.get(f"/runs/{said['run_id']}").status_code == 200
    problem(gateway.get(f"/runs/{said['run_id']}"), 404, "run_not_found")


def test_asking_what_a_free_model_costs_runs_nothing(gateway: Gateway) -> None:
    said = gateway.simulate({**FREE, "quote_only": True}).json()
    assert (said["status"], said["amount"]) == ("free", "0.00")


ENDPOINTS: list[tuple[str, str, Any]] = [
    ("GET", "/library", None),
    ("GET", "/fmus/msl:BouncingBall", None),
    ("GET", "/fmus/msl:BouncingBall/variables", None),
    ("GET", "/fmus/msl:BouncingBall/inputs.csv", None),
    ("POST", "/simulate", {"fmu_id": "msl:BouncingBall"}),
    ("POST", "/simulate", {"fmu_id": "msl:VanDerPol"}),
    ("POST", "/simulate", {}),
    ("POST", "/pay", {"fmu_id": "msl:BouncingBall"}),
    ("GET", "/payments/checkout/x", None),
    ("GET", "/runs/x", None),
    ("GET", "/runs/x/result.csv", None),
    ("GET", "/runs/x/plot.svg", None),
    ("POST", "/keys", None),
    ("DELETE", "/keys/x", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ENDPOINTS, ids=str)
def test_a_wrong_or_revoked_key_is_refused_everywhere(gateway: Gateway, method: str, path: str, body: Any) -> None:
    created = gateway.http.post("/keys").json()
    owner = gateway.another(created["api_key"])
    assert owner.http.request(method, path, json=body).status_code != 401
    assert owner.http.delete(f"/keys/{created['key_id']}").status_code == 204
    revoked = created["api_key"]
    wrong = [{"x-api-key": key} for key in (revoked, "fmk_wrong", "x", "")]
    wrong += [
        {"authorization": text} for text in (f"Bearer {revoked}", f"Basic {revoked}", "Bearer fmk_wrong", "Bearer")
    ]
    for headers in (*wrong, {"authorization": "Bearer fmk_a", "x-api-key": "fmk_b"}):
        answer = gateway.http.request(method, path, json=body, headers=headers)
        problem(answer, 401, "key_refused")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_key_revokes_only_keys_of_its_account(gateway: Gateway) -> None:
    mine, others = gateway.http.post("/keys").json(), gateway.http.post("/keys").json()
    owner = gateway.another(mine["api_key"])
    problem(owner.http.delete(f"/keys/{others['key_id']}"), 404, "key_not_found")
    problem(gateway.http.delete(f"/keys/{mine['key_id']}"), 401, "key_refused")
    assert gateway.another(others["api_key"]).get("/library").status_code == 200


def test_a_key_is_shown_once_and_stored_only_as_its_hash(gateway: Gateway) -> None:
    api_key = gateway.http.post("/keys", json={"email": "a@b.example", "name": "A"}).json()["api_key"]
    database = gateway.settings.database_path
    for file in (database, database.with_name(database.name + "-wal")):
        assert api_key.encode() not in file.read_bytes()
        assert api_key.removeprefix("fmk_").encode() not in file.read_bytes()
