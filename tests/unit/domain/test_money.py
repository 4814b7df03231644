"""Money is exact: what cannot be said exactly is refused, never rounded."""

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.models import Experiment, Model
from gateway.domain.money import (
    CURRENCIES as CHARGED,
)
from gateway.domain.money import (
    MICROS,
    STEP,
    STRIPE_MINIMUM,
    THREE_DECIMAL,
    ZERO_DECIMAL,
    Money,
    charge_fault,
    decimals,
)
from gateway.domain.pricing import read_prices

CURRENCIES = st.sampled_from(sorted({"usd", "eur", *ZERO_DECIMAL, *THREE_DECIMAL}))
AMOUNTS = st.integers(0, 10**15 - 1)


@given(AMOUNTS, CURRENCIES)
def test_what_is_shown_reads_back_as_the_same_money(micros: int, currency: str) -> None:
    money = Money(micros, currency)
    assert Money.parse(money.amount, currency) == money
    assert len((money.amount + ".").split(".")[1]) >= decimals(currency)


@given(st.integers(0, 10**8), CURRENCIES)
def test_minor_units_go_there_and_back(minor: int, currency: str) -> None:
    assert Money.from_minor(minor, currency).minor == minor


@given(AMOUNTS, CURRENCIES)
def test_minor_units_are_exact_or_refused(micros: int, currency: str) -> None:
    money = Money(micros, currency)
    try:
        minor = money.minor
    except ValueError:
        assert Fraction(micros * 10 ** decimals(currency), MICROS).denominator != 1
    else:
        assert Fraction(minor, 10 ** decimals(currency)) == Fraction(micros, MICROS)


DECIMALS = st.one_of(
    st.decimals(min_value=0, max_value=10**9, allow_nan=False, places=None).map(str),
    st.from_regex(r"[0-9]{1,9}\.[0-9]{1,40}", fullmatch=True),
    st.from_regex(r"[0-9]{1,3}[eE]-?[0-9]{1,3}", fullmatch=True),
)


@given(DECIMALS)
def test_a_price_is_read_exactly_or_refused(text: str) -> None:
    try:
        money = Money.parse(text, "usd")
    except ValueError:
        return
    with localcontext(prec=200):
        assert Decimal(money.micros) == Decimal(text) * MICROS


@pytest.mark.parametrize(
    "text",
    ["0.0000001", "1.0000000000000000000000000000000001", "123456789.12345600000000000000000000001", "1e-9999999",
     "1e-999999999", "1e999999999", "1e400", "-1", "-0.01", "NaN", "sNaN", "Infinity", "", "abc", "1,00", "1000000000"],
)  # fmt: skip
def test_no_amount_of_money(text: str) -> None:
    with pytest.raises(ValueError):
        Money.parse(text, "usd")


@pytest.mark.parametrize(
    ("micros", "currency", "shown"),
    [(1_000_000, "usd", "1.00"), (2_500_000, "usd", "2.50"), (1, "usd", "0.000001"), (0, "usd", "0.00"),
     (100_000_000, "jpy", "100"), (1_500_000, "bhd", "1.500"), (1_234_500, "usd", "1.2345")],
)  # fmt: skip
def test_money_is_shown_with_the_decimals_of_its_currency(micros: int, currency: str, shown: str) -> None:
    assert Money(micros, currency).amount == shown


@pytest.mark.parametrize("micros", [1.0, "1", True, None])
def test_money_is_an_integer(micros: object) -> None:
    with pytest.raises(TypeError):
        Money(micros, "usd")  # type: ignore[arg-type]


@pytest.mark.parametrize("currency", ["USD", "us", "usdd", "u$d", "usd\n", ""])
def test_a_currency_is_three_lower_case_letters(currency: str) -> None:
    with pytest.raises(ValueError):
        Money(1, currency)


def test_stripes_minima_and_steps_are_of_currencies_that_it_charges() -> None:
    assert STRIPE_MINIMUM.keys() | STEP.keys() <= CHARGED
    assert all(charge_fault(Money.from_minor(minor, currency)) is None for currency, minor in STRIPE_MINIMUM.items())


@pytest.mark.parametrize(
    ("minor", "currency", "words"),
    [(100, "usd", None), (0, "usd", None), (49, "usd", "at least 0.50 usd"), (49, "jpy", "at least 50 jpy"),
     (100_000_000, "usd", "at most 999999.99 usd"), (100_000_000, "jpy", "at most 99999999 jpy"),
     (500, "ugx", None), (550, "ugx", "steps of 1.00 ugx"), (550, "isk", "steps of 1.00 isk"), (17501, "huf", None),
     (101, "twd", None), (5120, "kwd", None), (5124, "kwd", "steps of 0.010 kwd"), (100, "xxx", "it knows aed, ")],
)  # fmt: skip
def test_a_price_that_stripe_would_not_take_is_told_with_the_way_out(minor: int, currency: str, words: str) -> None:
    fault = charge_fault(Money.from_minor(minor, currency))
    assert fault is None if words is None else words in (fault or "")


def test_five_ugandan_shillings_are_500_to_stripe() -> None:
    assert Money.parse("5", "ugx").minor == 500  # docs.stripe.com/currencies, "special cases"
    assert Money.parse("5", "jpy").minor == 5


def model(fmu_id: str) -> Model:
    return Model(fmu_id, "", "", "", "3.0", ("co_simulation",), Experiment(0, 1, 0.1), {})


def test_a_price_file_overrides_the_default_by_model() -> None:
    prices = read_prices('[prices]\n"a:B" = "2.50"\n"a:Free" = 0\n"a:Whole" = 3\n', Money(1_000_000, "usd"))
    found = [prices.of(model(name)).amount for name in ("a:B", "a:Free", "a:Whole", "a:Other")]
    assert found == ["2.50", "0.00", "3.00", "1.00"]
    assert prices.faults() == []


def test_every_model_at_a_price_that_stripe_would_not_take_is_named() -> None:
    prices = read_prices('[prices]\n"a:B" = "0.49"\n"a:Free" = 0\n"a:C" = "1000000"\n', Money(1_000_000, "usd"))
    assert [fault.split(":")[1].split()[0] for fault in prices.faults()] == ["B", "C"]


@pytest.mark.parametrize(
    ("text", "named"),
    [('[prices]\n"a:B" = 2.5', "a:B"), ('[prices]\n"a:B" = "0.001"', "a:B"), ('[prices]\n"a:B" = true', "a:B"),
     ('[prices]\n"a:B" = "-1"', "a:B"), ('[prizes]\n"a:B" = "1"', "prices"), ("prices = 3", "prices"), ("[", "TOML")],
)  # fmt: skip
def test_a_price_file_that_is_wrong_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        read_prices(text, Money(1_000_000, "usd"))
