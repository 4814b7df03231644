"""Money: an integer number of micros (millionths of the currency unit) and an ISO 4217 code. Never a float."""

import re
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache

MICROS = 1_000_000
ONE = Decimal(1)
EXACT = Context(traps=[Inexact])  # a digit beyond its precision is refused, not rounded away

# Source: docs.stripe.com/currencies, "zero-decimal currencies" without UGX, which stands there too: charged as 5 UGX,
# Stripe wants 500, see its "special cases".
ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())
TWO_DECIMAL = frozenset(
    "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop crc cve "
    "czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk jmd kes kgs khr kyd "
    "kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php "
    "pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah ugx usd uyu "
    "uzs wst xcd xcg yer zar zmw".split()
)
CURRENCIES = ZERO_DECIMAL | TWO_DECIMAL | THREE_DECIMAL

# What amounts must be a multiple of, in minor units. Source: the same page, "three-decimal currencies" and "special
# cases". HUF and TWD stand there for payouts only: charges in them may have any cents.
STEP = {**dict.fromkeys(THREE_DECIMAL, 10), "isk": 100, "ugx": 100}

# Source: the same page, "minimum and maximum charge amounts", in minor units. It is what a charge must be worth in the
# currency that Stripe settles in; of the others nothing is said.
STRIPE_MINIMUM = {
    "usd": 50, "aed": 200, "ars": 50, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "cop": 50, "czk": 1500, "dkk": 250,
    "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "idr": 50, "ils": 50, "inr": 50, "jpy": 50, "krw": 50, "mxn": 1000,
    "myr": 200, "nok": 300, "nzd": 50, "php": 50, "pln": 200, "ron": 200, "rub": 50, "sek": 300, "sgd": 50, "thb": 1000,
    "zar": 50,
}  # fmt: skip
STRIPE_MAXIMUM = 99_999_999  # minor units; a few currencies and cards allow more


def decimals(currency: str) -> int:
    """How many decimal places Stripe's minor unit of a currency has."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


@lru_cache(maxsize=1024)  # a shop has few prices and shows each of them often
def _amount(micros: int, currency: str) -> str:
    whole, fraction = divmod(micros, MICROS)
    digits = f"{fraction:06d}".rstrip("0").ljust(decimals(currency), "0")
    return f"{whole}.{digits}" if digits else str(whole)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in micros of `currency` (three lower-case letters)."""

    micros: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.micros) is not int:
            raise TypeError(f"money is an integer number of micros, not {type(self.micros).__name__}")
        if not re.fullmatch(r"[a-z]{3}", self.currency):
            raise ValueError(f"{self.currency!r} is no currency code of three lower-case letters")

    @classmethod
    def from_minor(cls, minor: int, currency: str) -> "Money":
        """From Stripe's minor units, e.g. 100 usd cents → 1.00 usd."""
        return cls(minor * (MICROS // 10 ** decimals(currency)), currency)

    @classmethod
    def parse(cls, text: str, currency: str) -> "Money":
        """From a decimal string such as "2.00". ValueError if it is no non-negative number of at most six decimals."""
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise ValueError(f"{text!r} is not a decimal number") from None
        if not value.is_finite() or value < 0 or value >= 10**9:
            raise ValueError(f"{text!r} is not an amount of money")
        try:
            return cls(int(EXACT.quantize(EXACT.multiply(value, MICROS), ONE)), currency)
        except Inexact:
            raise ValueError(f"{text!r} has more than six decimals") from None

    @property
    def minor(self) -> int:
        """In Stripe's minor units. ValueError where micros do not divide evenly: nothing is ever rounded."""
        unit: int = MICROS // 10 ** decimals(self.currency)
        whole, rest = divmod(self.micros, unit)
        if rest:
            raise ValueError(f"{self} is not a whole number of minor units")
        return whole

    @property
    def amount(self) -> str:
        """As shown to people: "1.00", "100" for zero-decimal currencies; more decimals only where needed."""
        return _amount(self.micros, self.currency)

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


def charge_fault(price: Money) -> str | None:
    """Why Stripe would never take this price for a run, with the way out; None where it would. Nothing is free."""
    currency = price.currency
    if currency not in CURRENCIES:
        return f"Stripe charges in no currency called {currency!r}; it knows {', '.join(sorted(CURRENCIES))}"
    if not price.micros:
        return None
    step = Money.from_minor(STEP.get(currency, 1), currency)
    least = Money.from_minor(STRIPE_MINIMUM.get(currency, 0), currency)
    most = Money.from_minor(STRIPE_MAXIMUM, currency)
    if price.micros % step.micros:
        return f"Stripe charges {currency} in steps of {step}: round it"
    if price.micros < least.micros:
        return f"Stripe charges at least {least}: raise it, or make it 0"
    if price.micros > most.micros:
        return f"Stripe charges at most {most}: lower it"
    return None
