"""Ticks stand at round numbers, whatever the range."""

import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.client.ticks import LARGEST, round_ticks, span, tick_labels

NUMBERS = st.floats(-LARGEST, LARGEST)


@given(st.lists(NUMBERS, max_size=5), st.sampled_from([0.0, 0.06]), st.floats(2, 20))
def test_any_numbers_have_an_axis_with_two_ticks_or_more_inside_it(values, margin, most):
    low, high = span(values, margin)
    assert all(low <= value <= high for value in values)
    ticks = round_ticks(low, high, most)
    assert len(ticks) >= 2
    room = 1e-6 * (high - low)
    assert all(low - room <= tick <= high + room for tick in ticks)
    labels, exponent = tick_labels(ticks, low, high)
    assert len(set(labels)) == len(labels)
    assert all(
        math.isclose(float(label) * 10.0 ** (exponent / 2) * 10.0 ** (exponent / 2), tick, rel_tol=1e-6, abs_tol=room)
        for label, tick in zip(labels, ticks, strict=True)
    )


def test_ticks_are_ones_twos_and_fives():
    assert round_ticks(-4.4, 3.0, 7) == [-4, -2, 0, 2]
    assert round_ticks(0.0, 1.0, 12) == [i * 0.1 for i in range(11)]
    assert tick_labels([0.0, 5e8, 1e9], 0.0, 1e9) == (["0", "0.5", "1.0"], 9)
