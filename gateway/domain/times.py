"""Times: when two of them are one, and how many rows stand between a start and a stop. All in seconds."""

import math

SAME = 1e-9  # of a step
ROUNDING = 8  # ulps of the largest time: so much may a sum or product of times be off, and CVode takes no step below 4
# Of the largest time. Co-simulation: rows are then at least 4,500 ulps apart. CVode finds an event to 100 or 200 ulps.
LEAST_STEP = {"co_simulation": 1e-12, "model_exchange": 1e-11}


def same(start: float, stop: float, step: float) -> float:
    """Nearer than this, two times of a run are one. Relative to its step: relative to the time, as math.isclose and
    FMPy have it, a second would be nothing for a run that begins at 1.7e9 s, which is today in Unix time."""
    return SAME * step + ROUNDING * math.ulp(max(abs(start), abs(stop)))


def row_count(start: float, stop: float, step: float) -> float:
    """Rows at start + i·step with the last at stop; infinite where that overflows."""
    steps = (stop - start) / step
    return max(1, math.ceil(steps - same(start, stop, step) / step)) + 1 if steps < 1e15 else math.inf
