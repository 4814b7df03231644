"""What is read of a request beside its body: what it accepts, from where it comes, and how often it may come."""

from typing import Any

import pytest

from gateway.errors import Busy, InvalidRequest, NotAcceptable, RateLimited
from gateway.flows.rates import Rate
from gateway.simulation.results import ARROW, CSV, JSON, PARQUET
from gateway.web.limits import Rates, within, within_checkouts
from gateway.web.requests import client_address, idempotency_key, negotiate


@pytest.mark.parametrize(
    ("accept", "found"),
    [
        (None, JSON), ("", JSON), ("*/*", JSON), ("application/*", JSON), ("text/html", JSON), ("TEXT/CSV", CSV),
        ("text/*", CSV), (ARROW, ARROW), (PARQUET, PARQUET), ("image/png, text/csv", CSV),
        ("text/csv;q=0.5, application/json;q=0.9", JSON), ("text/csv, application/json", CSV),
        ("application/json;q=0.1, */*;q=0.2", JSON), ("text/csv; q=1.0; header=present", CSV),
        ("text/csv;q=x, application/json;q=0.1", JSON), ("text/csv;q=nan, application/json;q=0.1", JSON),
    ],
)  # fmt: skip
def test_the_form_with_the_highest_quality_is_given(accept: str | None, found: str) -> None:
    assert negotiate(accept) == found


@pytest.mark.parametrize("accept", ["image/png", "text/csv;q=0", ",", ";", "application/json;q=-1"])
def test_what_accepts_none_of_our_forms_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        negotiate(accept)


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "found"),
    [
        ("192.0.2.1", "", (), "192.0.2.1"),
        ("192.0.2.1", "198.51.100.1", (), "192.0.2.1"),
        ("10.0.0.1", "198.51.100.1", ("10.0.0.1",), "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1", ("10.0.0.1",), "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", ("10.0.0.1", "10.0.0.2"), "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1; 10.0.0.2", ("10.0.0.1", "10.0.0.2"), "198.51.100.1"),  # two lines
        ("10.0.0.1", "", ("10.0.0.1",), "10.0.0.1"),
        ("10.0.0.1", "not an address", ("10.0.0.1",), "not an address"),
        ("10.0.0.1", "198.51.100.1:51934", ("10.0.0.1",), "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2:80", ("10.0.0.1", "10.0.0.2"), "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:51934", ("10.0.0.1",), "2001:db8::/64"),
        ("10.0.0.1", "[2001:db8::1]", ("10.0.0.1",), "2001:db8::/64"),
        ("10.0.0.1", "::ffff:198.51.100.1", ("10.0.0.1",), "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", ("10.0.0.0/8",), "198.51.100.1"),
        ("2001:db8::1", "", (), "2001:db8::/64"),
    ],
)
def test_the_address_that_counts_is_the_last_that_no_trusted_proxy_added(
    peer: str, forwarded: str, trusted: tuple[str, ...], found: str
) -> None:
    lines = [(b"x-forwarded-for", line.encode()) for line in forwarded.split("; ")]
    scope = {"client": (peer, 1), "headers": lines}
    assert client_address(scope, {name: line.decode() for name, line in lines}, trusted) == found


def test_every_address_of_an_ipv6_subnet_counts_as_one() -> None:
    found = {client_address({"client": (f"2001:db8:0:1:{i:x}::{i:x}", 1)}, {}, ()) for i in range(1, 100)}
    assert len(found) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "a\nb", "\x7f"])
def test_an_idempotency_key_is_printable_and_not_too_long(key: str) -> None:
    with pytest.raises(InvalidRequest):
        idempotency_key({b"idempotency-key": key})
    assert idempotency_key({b"idempotency-key": "x" * 255}) == "x" * 255
    assert idempotency_key({}) is None


def test_a_rate_gives_so_many_at_once_and_then_says_how_long_to_wait() -> None:
    rate = Rate("things", 3, 60)
    assert [rate.wait("a") for _ in range(3)] == [0.0] * 3
    assert 0 < rate.wait("a") <= 20
    assert rate.wait("b") == 0.0
    with pytest.raises(RateLimited) as refusal:
        within({"answer_headers": []}, rate, "a", "things")
    assert 1 <= (refusal.value.retry_after or 0) <= 20


def limits_of_checkouts(each: int, everybody: int) -> Rates:
    """By the hour: nothing comes back while a test runs."""
    none = Rate("none", 0, 1)
    return Rates(none, none, Rate("checkouts", each, 3600), Rate("all-checkouts", everybody, 3600), none, none)


def left(scope: dict[str, Any]) -> list[bytes]:
    return [value.split(b";t=")[0] for name, value in scope["answer_headers"] if name == b"ratelimit"]


def test_who_is_refused_since_many_people_pay_keeps_what_an_address_may() -> None:
    rates = limits_of_checkouts(each=2, everybody=1)
    within_checkouts({"answer_headers": []}, rates, "another")
    for _ in range(5):
        scope: dict[str, Any] = {"answer_headers": []}
        with pytest.raises(Busy) as refusal:
            within_checkouts(scope, rates, "a")
        assert (refusal.value.retry_after or 0) > 1
        assert left(scope) == [b'"all-checkouts";r=0', b'"checkouts";r=2']


def test_an_address_that_opens_too_many_checkouts_takes_none_from_the_others() -> None:
    rates = limits_of_checkouts(each=1, everybody=2)
    within_checkouts({"answer_headers": []}, rates, "a")
    for _ in range(5):
        scope: dict[str, Any] = {"answer_headers": []}
        with pytest.raises(RateLimited):
            within_checkouts(scope, rates, "a")
        assert left(scope) == [b'"checkouts";r=0']
    within_checkouts({"answer_headers": []}, rates, "b")


def test_zero_is_no_limit() -> None:
    rate = Rate("things", 0, 60)
    assert [rate.wait("a") for _ in range(1000)] == [0.0] * 1000
