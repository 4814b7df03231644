"""Currencies: how many decimals, which amounts Checkout takes, what Stripe keeps.

Source: https://docs.stripe.com/currencies. UGX stands there among the zero-decimal currencies, too, but is charged as
its "special cases" say: 5 UGX are 500. So is ISK.
"""

from stripe_stub.errors import Invalid

ZERO_DECIMAL = set("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
THREE_DECIMAL = set("bhd jod kwd omr tnd".split())
TWO_DECIMAL = set(
    "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf "
    "chf cny cop crc cve czk "
    "dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk jmd kes "
    "kgs khr kyd kzt lak lbp "
    "lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk "
    "php pkr pln qar ron rsd "
    "rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah ugx usd uyu "
    "uzs wst xcd xcg yer zar zmw".split()
)
KNOWN = ZERO_DECIMAL | THREE_DECIMAL | TWO_DECIMAL
LEAST = {  # minor units, https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
    **dict.fromkeys(["usd", "eur", "aud", "brl", "cad", "chf", "nzd", "sgd", "inr"], 50),
    **{"aed": 200, "bgn": 100, "czk": 1500, "dkk": 250, "gbp": 30, "hkd": 400, "huf": 17500, "jpy": 50, "mxn": 1000},
    **{"myr": 200, "nok": 300, "pln": 200, "ron": 200, "sek": 300, "thb": 1000},
}
MOST = 99_999_999  # minor units
STEP = {**dict.fromkeys(THREE_DECIMAL, 10), "isk": 100, "ugx": 100}  # what amounts are a multiple of, in minor units
DISPUTE_FEE = 1500  # minor units; Stripe's 15.00 usd


def decimals(currency: str) -> int:
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def check_step(amount: int, currency: str) -> None:
    """Invalid for an amount, charged or refunded, with digits that Stripe wants to be 0."""
    step = STEP.get(currency, 1)
    if amount % step:
        # https://support.stripe.com/questions/deprecation-of-fractional-isk-charges-and-refunds says this of ISK.
        raise Invalid(
            f"Invalid amount. Amounts in {currency.upper()} must be evenly divisible by {step}. "
            "See https://stripe.com/docs/currencies#special-cases for more information.",
            code="invalid_charge_amount_no_decimal_compatible" if step == 100 else None,
        )


def text(amount: int, currency: str) -> str:
    """`1.00 USD`; a plain form that no locale can misread."""
    places = decimals(currency)
    sign, digits = "-" if amount < 0 else "", str(abs(amount)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places] + '.' + digits[-places:] if places else digits} {currency.upper()}"


def fee(amount: int) -> int:
    """What Stripe keeps of a card payment in the US: 2.9 % and 30 minor units."""
    return round(amount * 0.029) + 30
