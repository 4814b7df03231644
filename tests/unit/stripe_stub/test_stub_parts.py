"""The small parts alone: money, cards, signatures, scripts, store and clock."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from stripe_stub import cards, money
from stripe_stub.clock import Clock
from stripe_stub.errors import Invalid
from stripe_stub.scripts import ALWAYS, Script, Scripts
from stripe_stub.signature import corrupt, sign
from stripe_stub.store import Store


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (100, "usd", "1.00 USD"),
        (5, "eur", "0.05 EUR"),
        (1500, "jpy", "1500 JPY"),
        (1500, "kwd", "1.500 KWD"),
        (1500, "ugx", "15.00 UGX"),
        (-1, "usd", "-0.01 USD"),
    ],
)
def test_money_is_written_with_its_currencys_decimals(amount: int, currency: str, text: str) -> None:
    assert money.text(amount, currency) == text


@pytest.mark.parametrize("number", [number for number, means in cards.BY_NUMBER.items() if not means.delayed])
def test_every_test_card_has_a_true_check_digit(number: str) -> None:
    assert cards.luhn(number)
    assert not cards.luhn(number[:-1] + str((int(number[-1]) + 1) % 10))


@pytest.mark.parametrize("typed", ["4242 4242 4242 4242", "4242-4242-4242-4242", " 4242424242424242 "])
def test_a_card_may_be_typed_with_gaps(typed: str) -> None:
    assert cards.card(typed) == cards.BY_NUMBER["4242424242424242"]


@pytest.mark.parametrize("typed", ["", "4242", "4242424242424241", "x" * 16, "4" * 20, "000123456789"])
def test_what_is_no_card_number_is_said(typed: str) -> None:
    assert cards.card(typed) == "Your card number is incorrect."


def test_a_bank_account_is_of_its_kind() -> None:
    assert cards.bank("DE89 3704 0044 0532 0130 00", "sepa_debit") == cards.BY_NUMBER["DE89370400440532013000"]
    assert isinstance(cards.bank("000123456789", "sepa_debit"), str)


def test_a_signature_is_stripes() -> None:
    header = sign(b'{"a": 1}', "whsec_test", 1_700_000_000)
    # computed apart with HMAC-SHA256 over b'1700000000.{"a": 1}'
    assert header == "t=1700000000,v1=f9086839ba44ac933ad5d79a65f74e64811e534328d3bf3c278acf3329bf7ce5"
    assert corrupt(header) != header
    assert corrupt(header)[:-1] == header[:-1]


def test_the_first_rule_that_fits_decides() -> None:
    scripts = Scripts()
    scripts.add({"type": "charge.*", "drop": True})
    scripts.add({"type": "*", "delay": 5, "times": None})
    fates = [scripts.fate(type_, "we_1") for type_ in ("refund.created", "charge.failed", "charge.failed")]
    assert fates == [Script(delay=5), Script(drop=ALWAYS), Script(delay=5)]


def test_a_rule_can_be_for_one_endpoint() -> None:
    scripts = Scripts()
    scripts.add({"endpoint": "we_2", "duplicate": 1})
    assert [scripts.fate("x.y", "we_1"), scripts.fate("x.y", "we_2")] == [Script(), Script(duplicate=1)]


@pytest.mark.parametrize("wish", [{}, {"type": "x"}, {"drop": True, "tpye": "x"}])
def test_a_rule_that_means_nothing_is_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        Scripts().add(wish)


def test_the_store_writes_what_changed_and_reads_it_again(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    store = Store(file)
    store.put("a", "1", {"x": 1})
    store.put("a", "2", {"x": 2})
    store.commit()
    store.put("a", "1", {"x": 3})
    store.drop("a", "2")
    store.close()
    again = Store(file)
    assert again.tables == {"a": {"1": {"x": 3}}}
    again.close()
    assert len(file.read_text().splitlines()) == 1, "a start writes the journal anew"


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text('["a","1",1]\n["a","2",')
    store = Store(file)
    assert store.tables == {"a": {"1": 1}}
    store.close()


async def test_the_clock_stops_at_every_timer_on_its_way() -> None:
    seen: list[tuple[str, int]] = []
    clock = Clock(Store(), wall=lambda: 1000.0)

    def ring(name: str) -> None:
        seen.append((name, clock.now()))
        if name == "first":
            clock.at(clock.now() + 5, "ring", "made on the way")

    clock.on("ring", ring)
    clock.at(1020, "ring", "second")
    clock.at(1010, "ring", "first")
    clock.at(1012, "ring", "third")
    canceled = clock.at(1011, "ring", "never")
    clock.cancel(canceled)
    await clock.move_to(1100)
    assert seen == [("first", 1010), ("third", 1012), ("made on the way", 1015), ("second", 1020)]
    assert clock.now() == 1100


async def test_a_clock_that_goes_backwards_fires_nothing() -> None:
    clock = Clock(Store(), wall=lambda: 1000.0)
    clock.on("ring", lambda: pytest.fail("nothing is due"))
    clock.at(1001, "ring")
    await clock.move_to(500)
    assert clock.now() == 500


async def test_a_running_clock_fires_by_itself_and_a_frozen_one_does_not() -> None:
    wall = 1000.0
    clock = Clock(Store(), wall=lambda: wall)
    rung = asyncio.Event()
    clock.on("ring", rung.set)
    clock.freeze(True)
    clock.at(1000, "later")
    clock.on("later", lambda: None)
    running = asyncio.create_task(clock.run())
    clock.at(1000.5, "ring")
    await asyncio.sleep(0)
    assert not rung.is_set()
    wall = 2000.0
    clock.freeze(False)
    assert clock.time() == 1000.0, "a thawed clock goes on from where it stood"
    wall = 2000.6
    clock.at(5000, "later")
    await asyncio.wait_for(rung.wait(), 5)
    running.cancel()
