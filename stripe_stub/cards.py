"""Stripe's test numbers and what they do (https://docs.stripe.com/testing)."""

from dataclasses import dataclass

SETTLES_AFTER = 180  # seconds of the stub's clock; Stripe's delayed test accounts take three minutes


@dataclass(frozen=True)
class Means:
    """A way to pay. `code` and `decline_code` make it fail; a delayed one fails when it settles."""

    number: str
    kind: str = "card"  # card, us_bank_account, sepa_debit
    brand: str = "visa"
    code: str | None = None
    decline_code: str | None = None
    message: str | None = None
    challenge: bool = False  # asks for 3-D Secure first
    dispute: str | None = None  # the reason with which the payment is disputed right after
    refund: str | None = None  # pending: a refund succeeds later; failing: it succeeds first and fails later

    @property
    def delayed(self) -> bool:
        return self.kind != "card"

    @property
    def last4(self) -> str:
        return self.number[-4:]

    @property
    def cvc_check(self) -> str:
        return "fail" if self.code == "incorrect_cvc" else "pass"


_DECLINED = "Your card was declined."


def _decline(number: str, decline_code: str, message: str = _DECLINED, *, challenge: bool = False) -> Means:
    return Means(number, code="card_declined", decline_code=decline_code, message=message, challenge=challenge)


_ALL = (
    Means("4242424242424242"),
    Means("4000056655665556"),
    Means("5555555555554444", brand="mastercard"),
    Means("5200828282828210", brand="mastercard"),
    Means("378282246310005", brand="amex"),
    Means("6011111111111117", brand="discover"),
    Means("3056930009020004", brand="diners"),
    Means("3566002020360505", brand="jcb"),
    _decline("4000000000000002", "generic_decline"),
    _decline("4000000000009995", "insufficient_funds", "Your card has insufficient funds."),
    _decline("4000000000009987", "lost_card"),
    _decline("4000000000009979", "stolen_card"),
    Means("4000000000000069", code="expired_card", decline_code="expired_card", message="Your card has expired."),
    Means(
        "4000000000000127",
        code="incorrect_cvc",
        decline_code="incorrect_cvc",
        message="Your card's security code is incorrect.",
    ),
    Means(
        "4000000000000119",
        code="processing_error",
        decline_code="processing_error",
        message="An error occurred while processing your card. Try again in a little bit.",
    ),
    Means("4000002500003155", challenge=True),
    Means("4000002760003184", challenge=True),
    Means("4000000000003220", challenge=True),
    _decline("4000008400001629", "generic_decline", challenge=True),
    _decline("4000008260003178", "insufficient_funds", "Your card has insufficient funds.", challenge=True),
    Means("4000000000000259", dispute="fraudulent"),
    Means("4000000000002685", dispute="product_not_received"),
    Means("4000000000007726", refund="pending"),
    Means("4000000000005126", refund="failing"),
    Means("000123456789", "us_bank_account"),
    Means(
        "000111111113", "us_bank_account", code="account_closed", message="The customer's bank account has been closed."
    ),
    Means(
        "000111111116",
        "us_bank_account",
        code="no_account",
        message="The customer's bank account could not be located.",
    ),
    Means(
        "000222222227",
        "us_bank_account",
        code="insufficient_funds",
        message="The customer's account has insufficient funds to cover this payment.",
    ),
    Means(
        "000333333335",
        "us_bank_account",
        code="debit_not_authorized",
        message="The customer did not authorize the debit.",
    ),
    Means("DE89370400440532013000", "sepa_debit"),
    Means("AT611904300234573201", "sepa_debit"),
    Means(
        "DE62370400440532013001", "sepa_debit", code="insufficient_funds", message="The account has insufficient funds."
    ),
    Means(
        "AT861904300235473202", "sepa_debit", code="insufficient_funds", message="The account has insufficient funds."
    ),
)
BY_NUMBER = {means.number: means for means in _ALL}


def luhn(number: str) -> bool:
    """Whether a card number's check digit fits (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


def card(number: str) -> Means | str:
    """The test card, or a sentence for the buyer. A real card's number is declined, as in Stripe's test mode."""
    number = "".join(number.split()).replace("-", "")
    if number in BY_NUMBER and not BY_NUMBER[number].delayed:
        return BY_NUMBER[number]
    if not number.isdecimal() or not 12 <= len(number) <= 19 or not luhn(number):
        return "Your card number is incorrect."
    return _decline(
        number,
        "test_mode_live_card",
        "Your card was declined. Your request was in test mode, but used a non test (live) card.",
    )


def bank(number: str, kind: str) -> Means | str:
    """The test bank account of that kind, or a sentence for the buyer."""
    number = "".join(number.split()).upper()
    means = BY_NUMBER.get(number)
    return means if means and means.kind == kind else "This is no test account number."
