"""An id lies behind those that were made before it, says what it names, and is the text of sixteen bytes."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.ids import RANDOM_BYTES, TICKS, new_id, raw_id, text_id

NOW = 1_764_000_000


@given(st.lists(st.integers(0, 1000 * TICKS), min_size=2, unique=True))
def test_ids_are_in_the_order_in_which_they_were_made(ticks: list[int]) -> None:
    """Also within a second, in which a busy gateway makes thousands."""
    made = [(tick, new_id("run", NOW + tick / TICKS, secrets.token_bytes(RANDOM_BYTES))) for tick in ticks]
    assert [text for _, text in sorted(made)] == sorted(text for _, text in made)


def test_two_that_are_made_at_once_are_two() -> None:
    first, second = (new_id("run", NOW, secrets.token_bytes(RANDOM_BYTES)) for _ in range(2))
    assert first != second
    assert first[:16] == second[:16]


def test_an_id_is_its_sixteen_bytes() -> None:
    text = new_id("pur", NOW + 0.5, bytes(range(RANDOM_BYTES)))
    assert text == "pur_" + f"{NOW:08x}" + "8000" + "00010203040506070809"
    assert text_id("pur", raw_id(text)) == text
    for wrong in ("pur_00", "pur_" + "0" * 34, "pur_" + "g" * 32):
        with pytest.raises(ValueError):
            raw_id(wrong)
