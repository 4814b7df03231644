"""Signed statements: four kinds, none accepted in place of another, none altered in any byte."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.ids import raw_id, text_id
from gateway.domain.money import Money
from gateway.domain.quotes import Blank, Quote, read_quote
from gateway.domain.statements import PREFIX, Kind, Statements
from gateway.domain.tokens import read_token, sign_token

OURS = Statements(["the first secret, long enough"])
KINDS = st.sampled_from(list(Kind))
PAYLOADS = st.integers(0, 30).flatmap(lambda n: st.binary(min_size=3 * n, max_size=3 * n))
ALPHABET = string.ascii_letters + string.digits + "-_.=+/ \n\0é"
QUOTES = st.builds(
    Quote,
    purchase_id=st.binary(min_size=16, max_size=16).map(lambda raw: text_id("pur", raw)),
    account_id=st.none() | st.binary(min_size=16, max_size=16).filter(any).map(lambda raw: text_id("acc", raw)),
    fmu_sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    price=st.builds(Money, st.integers(0, 10**15), st.from_regex("[a-z]{3}", fullmatch=True)),
    livemode=st.booleans(),
    expires_at=st.integers(0, 2**32 - 1),
)


def one(kind: Kind, payload: bytes, statements: Statements = OURS) -> str:
    return statements.sign(payload, kind)[0]


@given(KINDS, PAYLOADS)
def test_what_is_signed_reads_back(kind: Kind, payload: bytes) -> None:
    assert OURS.read(kind, one(kind, payload)) == payload


@pytest.mark.parametrize("kind", list(Kind))
def test_no_character_of_a_statement_can_be_altered(kind: Kind) -> None:
    text = one(kind, bytes(range(81)))
    for i in range(len(text)):
        for other in ALPHABET:
            if other != text[i]:
                assert OURS.read(kind, text[:i] + other + text[i + 1 :]) is None


@pytest.mark.parametrize("kind", list(Kind))
def test_nothing_can_be_added_to_a_statement_or_left_out(kind: Kind) -> None:
    text = one(kind, bytes(range(21)))
    for i in range(len(text) + 1):
        assert i == len(text) or OURS.read(kind, text[:i] + text[i + 1 :]) is None
        for more in ("A", ".", "=", " ", "\n", "-"):
            assert OURS.read(kind, text[:i] + more + text[i:]) is None


@given(KINDS, KINDS, PAYLOADS)
def test_no_kind_is_taken_for_another_even_under_its_prefix(kind: Kind, other: Kind, payload: bytes) -> None:
    text = one(kind, payload)
    if other is not kind:
        assert OURS.read(other, text) is None
        assert OURS.read(other, PREFIX[other] + text.removeprefix(PREFIX[kind])) is None


@given(KINDS, st.text(max_size=200))
def test_no_text_is_a_statement_by_chance(kind: Kind, text: str) -> None:
    assert OURS.read(kind, text) is None
    assert OURS.read(kind, PREFIX[kind] + text) is None


@given(KINDS, PAYLOADS)
def test_another_secret_signs_for_nobody_here(kind: Kind, payload: bytes) -> None:
    assert OURS.read(kind, one(kind, payload, Statements(["another secret, long enough"]))) is None


def test_the_first_secret_signs_and_all_verify() -> None:
    old, new = Statements(["old " * 5]), Statements(["new " * 5])
    both = Statements(["new " * 5, "old " * 5])
    for kind in Kind:
        assert both.read(kind, one(kind, b"abc", old)) == b"abc"
        assert one(kind, b"abc", both) == one(kind, b"abc", new) != one(kind, b"abc", old)
        assert new.read(kind, one(kind, b"abc", old)) is None


def test_there_is_no_signing_without_a_secret() -> None:
    with pytest.raises(ValueError):
        Statements([])


@given(QUOTES)
@settings(max_examples=50)
def test_a_quote_says_the_same_in_both_its_forms(quote: Quote) -> None:
    session_id, checkout_code = quote.sign(OURS)
    assert read_quote(OURS, Kind.CLAIM, session_id) == quote == read_quote(OURS, Kind.OPEN, checkout_code)
    assert read_quote(OURS, Kind.CLAIM, checkout_code) is None
    assert read_quote(OURS, Kind.OPEN, session_id) is None
    assert len(session_id) <= 400  # what POST /pay takes


@given(QUOTES)
def test_a_blank_that_is_filled_in_is_the_quote(quote: Quote) -> None:
    blank = Blank(quote.fmu_sha256, quote.price, livemode=quote.livemode)
    assert blank.pack(raw_id(quote.purchase_id), quote.account_id, quote.expires_at) == quote.pack()


@given(st.binary(min_size=16, max_size=16), st.integers(1, 2**32 - 1))
def test_a_token_is_its_purchase_and_generation(raw: bytes, generation: int) -> None:
    text = sign_token(OURS, text_id("pur", raw), generation)
    assert read_token(OURS, text) == (text_id("pur", raw), generation)
    assert text == sign_token(OURS, text_id("pur", raw), generation)
    assert len(text) <= 200  # what payment_token takes


def test_a_signed_text_of_another_shape_is_no_quote_and_no_token() -> None:
    for size in (0, 3, 18, 21, 24, 81, 84):
        payload = b"\xff" * size
        assert read_quote(OURS, Kind.CLAIM, one(Kind.CLAIM, payload)) is None
        assert (read_token(OURS, one(Kind.TOKEN, payload)) is None) == (size != 21)
