"""Units: "3000 rpm" as the number that a variable in rad/s takes. FMI's spellings, pint's factors.

As in FMI (2.0.5, section 2.2.4; 3.0.2, section 2.4.3) an angle is a dimension of its own, so that 3000 rpm is 314.16
rad/s but never 314.16 Hz. A temperature is absolute: 20 degC is 293.15 K; for a difference write K or delta_degC.
"""

import re
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeGuard

# Number, then a unit that is set off by a space or begins with a letter.
QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:\s+(?=\S)|(?=[^\W\d]|[°%]))(.*\S)\s*\Z")
QUANTITY_LENGTH = 200  # characters of both; to find that a thousand digits are none takes 30 ms
UNIT_LENGTH = 64  # characters; longer is no unit, and parsing must end soon
# Modelica's grammar, which FMI recommends: N.m, m/s2, W/(m2.K), 1/min, s-1; beside it * and ^ or **.
TOKEN = re.compile(
    r"(?P<name>°?[^\W\d]+|[°%])(?:(?:\*\*|\^)?(?P<exponent>-?\d{1,2}))?|(?P<operator>[*./()])|(?P<one>1)"
)
SIGNS = str.maketrans({"²": "2", "³": "3", "·": ".", "⋅": ".", "\N{OHM SIGN}": "Ω", "\N{GREEK SMALL LETTER MU}": "µ"})
NAMES = {"°": "degree", "°C": "degC", "°F": "degF", "%": "percent", "degRk": "degR"}
# A speed of rotation is often declared so (MSL 3's AngularVelocity_rpm, DIN 1301). As a frequency it is what it says.
PER_MINUTE, TURNS_PER_MINUTE = frozenset({"1/min", "min-1", "min^-1"}), "rev/min"

_lock = threading.Lock()  # a registry fills its caches as it is used


class NoConversion(ValueError):
    """There is no way from the one unit to the other; the text is the end of a sentence that says why."""


def quantity(value: Any) -> tuple[float, str] | None:
    """(3000.0, "rpm") of {"value": 3000, "unit": "rpm"} or "3000 rpm"; None of anything else."""
    if isinstance(value, str):
        found = QUANTITY.match(value) if len(value) <= QUANTITY_LENGTH else None
        return (float(found[1]), found[2]) if found else None
    if not is_quantity(value):
        return None
    number, unit = value["value"], value["unit"]
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    return (float(number), unit.strip()) if abs(number) <= 2**64 or isinstance(number, float) else None


def is_quantity(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether it is {"value": …, "unit": "rpm"}, whatever its value is."""
    return isinstance(value, dict) and value.keys() == {"value", "unit"} and isinstance(value["unit"], str)


def convert(value: float, unit: str, into: str) -> float:
    """`value` `unit` in `into`; the first call loads pint, which takes 0.5 s. NoConversion says why there is none."""
    return convert_all([value], unit, into)[0]


def convert_all(values: Sequence[float], unit: str, into: str) -> list[float]:
    """The same of many at once: each as it would be alone."""
    if unit == into:
        return list(map(float, values))
    with _lock:
        try:
            return _convert(values, unit, into)
        except NoConversion:
            if not {unit, into} & PER_MINUTE:
                raise
            return _convert(values, *(TURNS_PER_MINUTE if u in PER_MINUTE else u for u in (unit, into)))


def _convert(values: Sequence[float], unit: str, into: str) -> list[float]:
    import numpy as np
    import pint

    source, target = _unit(unit), _unit(into)
    try:
        with np.errstate(all="ignore"):  # what overflows becomes infinite, and is refused as such
            found = _registry().Quantity(np.array(values, dtype=float), source).to(target).magnitude
    except (pint.PintError, ArithmeticError):
        raise NoConversion(f"{unit} cannot be converted into that") from None
    return [float(value) for value in found]


@lru_cache(maxsize=1024)
def _unit(text: str) -> Any:
    try:
        return _registry().parse_units(pint_spelling(text))
    except Exception:  # of many kinds: pint's own, AttributeError, whatever its parser meets
        raise NoConversion(f"there is no unit called {text[:UNIT_LENGTH]}") from None


def pint_spelling(text: str) -> str:
    """FMI's N.m, m/s2, W/(m2.K), 1/min as pint reads it: N*m, m/s**2, W/(m**2*K), 1/min. ValueError if it is no unit
    by Modelica's grammar, so that no arithmetic of a stranger's reaches pint."""
    text = text.strip()
    if not 0 < len(text) <= UNIT_LENGTH:
        raise ValueError("no unit, or too long")
    text = text.translate(SIGNS)
    said, at = [], 0
    while at < len(text):
        token = TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"no unit at {text[at:]!r}")
        at = token.end()
        name, exponent, operator, _ = token.groups()
        if name:
            said.append(NAMES.get(name, name) + (f"**{exponent}" if exponent else ""))
        else:
            said.append("*" if operator == "." else operator or "1")
        if len(said) > 1 and not re.search(r"[*/()]\Z", said[-2]) and not re.match(r"[*/()]", said[-1]):
            raise ValueError("two units side by side")
    return "".join(said)


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint

    registry: Any = pint.UnitRegistry(on_redefinition="ignore")
    registry.define("radian = [angle] = rad")
    registry.define("turn = 2 * π * radian = _ = revolution = cycle = circle = rev")
    registry.define("@alias ohm = Ohm")
    registry._build_cache()  # or rpm would be remembered as it was before
    return registry
