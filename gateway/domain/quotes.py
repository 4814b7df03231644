"""Quote: a signed offer of one run of one model at one price until a time. It is stored nowhere."""

import struct
from dataclasses import dataclass

from gateway.domain.ids import raw_id, text_id
from gateway.domain.money import Money
from gateway.domain.statements import Kind, Statements

# version, livemode, purchase id, account id (zeros: none), sha256 of the FMU, micros, currency, end (epoch seconds)
LAYOUT = struct.Struct(">BB16s16s32sQ3sI")
VERSION = 1
NO_ACCOUNT = bytes(16)


@dataclass(frozen=True, slots=True)
class Quote:
    """The terms of a purchase before there is one. Its two signed forms say the same and allow different things."""

    purchase_id: str
    account_id: str | None
    fmu_sha256: str  # 64 hex digits
    price: Money
    livemode: bool
    expires_at: int  # epoch seconds

    def pack(self) -> bytes:
        account = raw_id(self.account_id) if self.account_id else NO_ACCOUNT
        return LAYOUT.pack(
            VERSION,
            self.livemode,
            raw_id(self.purchase_id),
            account,
            bytes.fromhex(self.fmu_sha256),
            self.price.micros,
            self.price.currency.encode(),
            self.expires_at,
        )

    def sign(self, statements: Statements) -> tuple[str, str]:
        """(session id, checkout code): who holds the first can collect the token, who holds the second can pay."""
        session_id, checkout_code = statements.sign(self.pack(), Kind.CLAIM, Kind.OPEN)
        return session_id, checkout_code

    def session_id(self, statements: Statements) -> str:
        """What its asker keeps."""
        return self.sign(statements)[0]

    def checkout_code(self, statements: Statements) -> str:
        """What checkout_url carries."""
        return self.sign(statements)[1]


class Blank:
    """The quotes of one model at one price, packed but for what each has of its own."""

    def __init__(self, fmu_sha256: str, price: Money, *, livemode: bool):
        packed = Quote(text_id("pur", bytes(16)), None, fmu_sha256, price, livemode, 0).pack()
        self._head, self._terms = packed[:2], packed[34:-4]

    def pack(self, purchase: bytes, account_id: str | None, expires_at: int) -> bytes:
        """What Quote.pack gives for the same; `purchase` is the sixteen bytes of its id."""
        account = raw_id(account_id) if account_id else NO_ACCOUNT
        return b"".join((self._head, purchase, account, self._terms, expires_at.to_bytes(4, "big")))


def read_quote(statements: Statements, kind: Kind, text: str) -> Quote | None:
    """The quote behind a checkout code (Kind.OPEN) or session id (Kind.CLAIM), ended or not; None if it is not ours."""
    payload = statements.read(kind, text)
    if payload is None or len(payload) != LAYOUT.size or payload[0] != VERSION:
        return None
    _, livemode, purchase, account, sha256, micros, currency, end = LAYOUT.unpack(payload)
    return Quote(
        purchase_id=text_id("pur", purchase),
        account_id=None if account == NO_ACCOUNT else text_id("acc", account),
        fmu_sha256=sha256.hex(),
        price=Money(micros, currency.decode()),
        livemode=bool(livemode),
        expires_at=end,
    )
