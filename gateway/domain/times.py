"""Times: when two of them are one, and how many rows stand between a start and a stop. All in seconds."""

import math

from gateway.errors import InvalidRequest

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


def check(start: float, stop: float, step: float, kind: str) -> None:
    """That there are rows, and that they can be told apart. InvalidRequest names the field."""
    if stop <= start:
        raise InvalidRequest(f"stop_time ({stop:g}) must be after start_time ({start:g}).", field="stop_time")
    if step <= 0:
        raise InvalidRequest("step must be positive: it is the interval of the result rows in seconds.", field="step")
    least = LEAST_STEP[kind] * max(abs(start), abs(stop))
    if step < least:
        detail = f"step ({step:g}) is too small to be told apart at these times; it must be at least {least:.2g}."
        raise InvalidRequest(detail, field="step")
    if stop - start <= same(start, stop, step):
        raise InvalidRequest(f"From {start:g} to {stop:g} s is no time beside the step, {step:g} s.", field="stop_time")
