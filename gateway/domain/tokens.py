"""Payment token: the bearer credential that spends one purchase once. Its expiry and state stand in the row."""

import struct
from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.ids import raw_id, text_id
from gateway.domain.statements import Kind, Statements

LAYOUT = struct.Struct(">16sIx")  # purchase id, generation; padded to a multiple of 3


class TokenState(StrEnum):
    """ready → held → spent, or back to ready; the others by refunds and disputes."""

    READY = "ready"
    HELD = "held"
    SPENT = "spent"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    FROZEN = "frozen"
    REVOKED = "revoked"


MOVES: dict[TokenState, frozenset[TokenState]] = {
    TokenState.READY: frozenset({TokenState.HELD, TokenState.REFUNDING, TokenState.FROZEN, TokenState.REVOKED}),
    TokenState.HELD: frozenset({TokenState.SPENT, TokenState.READY}),
    TokenState.SPENT: frozenset(),
    TokenState.REFUNDING: frozenset({TokenState.REFUNDED, TokenState.FROZEN, TokenState.REVOKED, TokenState.READY}),
    TokenState.REFUNDED: frozenset({TokenState.READY, TokenState.REVOKED}),  # the refund failed afterwards
    TokenState.FROZEN: frozenset({TokenState.READY, TokenState.REVOKED}),
    TokenState.REVOKED: frozenset({TokenState.READY}),  # a refund made in the dashboard failed afterwards
}


@dataclass(frozen=True, slots=True)
class Token:
    """A row. `id` is the purchase's id; `generation` counts the strings handed out, of which the last one is alive."""

    id: str
    purchase_id: str
    account_id: str | None
    generation: int
    state: TokenState
    run_id: str | None
    expires_at: int  # epoch seconds
    refund_reason: str | None = None  # a refund was asked for while it was held; its release orders it


def sign_token(statements: Statements, purchase_id: str, generation: int) -> str:
    """The string of a generation: the same on every call, until GATEWAY_SECRET's first entry changes."""
    return statements.sign(LAYOUT.pack(raw_id(purchase_id), generation), Kind.TOKEN)[0]


def read_token(statements: Statements, text: str) -> tuple[str, int] | None:
    """(purchase id, generation) of a token string; None if it is not ours."""
    payload = statements.read(Kind.TOKEN, text)
    if payload is None or len(payload) != LAYOUT.size:
        return None
    purchase, generation = LAYOUT.unpack(payload)
    return text_id("pur", purchase), generation
