"""GET /ledger: an account reads what became of its money, all of it, and nobody else's."""

from collections.abc import Callable
from typing import Any

import pytest
from harness import BALL, Buyer, Gateway, problem

FAILING = {"fmu_id": "test:Fails", "start_values": {"fail_at": 0.5}}


@pytest.fixture
def gateway(open_gateway: Callable[..., Gateway]) -> Gateway:
    return open_gateway()


def transfers(buyer: Buyer, **asked: Any) -> list[dict[str, Any]]:
    answer = buyer.get("/ledger", params=asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["transfers"]
    return found


def buy_daily(gateway: Gateway, buyer: Buyer, days: int) -> None:
    """From 2027-01-15T08:00:00Z on."""
    for day in range(days):
        now = 1_800_000_000 + day * 24 * 3600
        gateway.services.now = lambda now=now: now
        gateway.stripe.set_clock(now)
        buyer.buy()


def test_every_move_of_a_payment_is_told_in_its_buyers_words(gateway: Gateway) -> None:
    buyer = gateway.account()
    bought = buyer.buy(FAILING)
    failed = buyer.simulate(FAILING, bought.token)
    ran = buyer.simulate({"fmu_id": "test:Fails"}, bought.token)
    assert (failed.status_code, ran.status_code) == (422, 200)
    purchase, first, second = buyer.purchase_id(bought), failed.json()["run_url"][-36:], ran.json()["run_id"]
    token, held = "your payment token", "held for the run"
    told = [(t["kind"], t["from"], t["to"], t["run"]) for t in transfers(buyer)]
    assert told == [
        ("pay", "your payment method", token, None),
        ("hold", token, held, first),
        ("release", held, token, first),
        ("hold", token, held, second),
        ("capture", held, "the seller", second),
    ]
    assert {(t["amount"], t["currency"], t["purchase"]) for t in transfers(buyer)} == {("1.00", "usd", purchase)}


def test_an_account_reads_its_own_transfers_only(gateway: Gateway) -> None:
    buyer, other = gateway.account(), gateway.account()
    buyer.buy()
    gateway.buy()
    assert len(transfers(buyer)) == 1
    assert transfers(other) == []
    problem(gateway.get("/ledger"), 401, "key_refused")
    problem(gateway.get("/ledger", headers={"authorization": "Bearer fmk_x"}), 401, "key_refused")


def test_money_that_came_on_other_terms_is_told_too(gateway: Gateway) -> None:
    buyer = gateway.account()
    quote = buyer.quote()
    session = buyer.open(quote)
    gateway.call(lambda s: s.store.write(lambda db: db.execute("UPDATE purchase SET amount = 2000000").rowcount))
    gateway.stripe.pay(session)
    gateway.reconcile()
    assert [(t["kind"], t["from"], t["to"]) for t in transfers(buyer)] == [
        ("pay", "your payment method", "waiting to go back to you"),
        ("refund", "waiting to go back to you", "your payment method"),
    ]


def test_second_money_for_a_purchase_is_told_too(gateway: Gateway) -> None:
    buyer = gateway.account()
    bought = buyer.buy()
    purchase = buyer.purchase_id(bought)
    gateway.stripe.pay(gateway.another_session(purchase))
    gateway.reconcile()
    assert [(t["kind"], t["to"], t["purchase"]) for t in transfers(buyer)] == [
        ("pay", "your payment token", purchase),
        ("pay", "waiting to go back to you", purchase),
        ("refund", "your payment method", purchase),
    ]
    assert transfers(gateway.account()) == []


def test_pages_follow_each_other_without_a_gap_or_a_repeat(gateway: Gateway) -> None:
    buyer = gateway.account()
    for _ in range(3):
        assert buyer.simulate(BALL, buyer.buy().token).status_code == 200
    whole, found, url = transfers(buyer), [], "/ledger?limit=2"
    while url:
        page = buyer.get(url).json()
        assert 1 <= len(page["transfers"]) <= 2
        found += page["transfers"]
        url = page["next"]
    assert len(whole) == 9
    assert found == whole


def test_pages_of_a_range_stay_within_it(gateway: Gateway) -> None:
    buyer = gateway.account()
    buy_daily(gateway, buyer, 4)
    found, url = [], "/ledger?from=2027-01-16&to=2027-01-17&limit=1"
    while url:
        page = buyer.get(url).json()
        found += [transfer["at"] for transfer in page["transfers"]]
        url = page["next"]
    assert found == ["2027-01-16T08:00:00Z", "2027-01-17T08:00:00Z"]


def test_a_range_of_dates_includes_its_days_and_one_of_times_its_beginning_only(gateway: Gateway) -> None:
    buyer = gateway.account()
    buy_daily(gateway, buyer, 2)
    for asked, count in (
        ({"from": "2027-01-15", "to": "2027-01-15"}, 1),
        ({"from": "2027-01-15", "to": "2027-01-16"}, 2),
        ({"from": "2027-01-16"}, 1),
        ({"to": "2027-01-14"}, 0),
        ({"from": "2027-01-15T08:00:00Z", "to": "2027-01-16T08:00:00Z"}, 1),
        ({"from": "2027-01-15T09:00:00.5+01:00"}, 1),
        ({"to": "2027-01-15T09:00:01+01:00"}, 1),
    ):
        assert len(transfers(buyer, **asked)) == count, asked


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"from": "yesterday"}, "from"), ({"from": "2027-02-30"}, "from"), ({"to": "2027-01-15T08:00:00"}, "to"),
        ({"to": "99999-01-01"}, "to"), ({"limit": "0"}, "limit"), ({"limit": "1001"}, "limit"),
        ({"limit": "x"}, "limit"), ({"cursor": "-1"}, "cursor"), ({"cursor": "٣"}, "cursor"),
        ({"form": "2027-01-01"}, "form"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(gateway: Gateway, asked: dict[str, str], field: str) -> None:
    assert problem(gateway.account().get("/ledger", params=asked), 422, "invalid_request")["field"] == field
