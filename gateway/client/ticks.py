"""Where the ticks of an axis stand, and what they are called; for the plots of characters and of pixels alike."""

import math
from collections.abc import Sequence

LARGEST, SMALLEST_SPAN = 1e300, 1e-300  # beyond these the arithmetic of an axis would overflow


def span(values: Sequence[float], margin: float = 0.0) -> tuple[float, float]:
    """The lowest and the highest, with `margin` of their distance around; something sensible where all are equal."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    largest = max(abs(low), abs(high))
    if high - low <= max(SMALLEST_SPAN, 1e-11 * largest):
        room = largest / 2 if largest > SMALLEST_SPAN else 1.0
    else:
        room = (high - low) * margin
    return low - room, high + room


def round_ticks(low: float, high: float, most: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, about `most` of them or fewer, but at least two."""
    power = 10.0 ** math.floor(math.log10(high - low) - 1)
    steps = [factor * power for factor in (1, 2, 5, 10, 20, 50) if factor * power <= (high - low) / 2]
    step = next((step for step in steps if step >= (high - low) / most), steps[-1])
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def tick_labels(ticks: Sequence[float], low: float, high: float) -> tuple[list[str], int]:
    """One label per tick, and the power of ten they leave out."""
    exponent = 3 * math.floor(math.log10(max(abs(low), abs(high))) / 3)
    if -3 <= exponent < 6:
        exponent = 0
    places = max(0, exponent - math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    half = 10.0 ** (exponent / 2)  # divided by twice, because 10**-324 would be zero
    labels = [f"{tick / half / half:.{places}f}" for tick in ticks]
    return ["0" if float(label) == 0 else label for label in labels], exponent
