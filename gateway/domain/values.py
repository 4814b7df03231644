"""Values: what a request gives for a variable, checked against its type, its limits and its unit."""

import math
import sys
from typing import Any

from gateway.domain import units
from gateway.domain.models import Variable, did_you_mean
from gateway.errors import InvalidRequest

INTEGERS = {
    f"{sign}Int{bits}": (0 if sign else -(2 ** (bits - 1)), 2**bits - 1 if sign else 2 ** (bits - 1) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
FLOAT32_END = 2.0**128 - 2.0**103  # from here on, half an ulp above its largest number, rounding makes it infinite


def scalar(value: Any, variable: Variable, field: str) -> float | int | bool | str:
    """One value, or one element of an array, as the variable's type and in its unit. InvalidRequest names `field`."""
    if isinstance(value, str | dict) and variable.type.startswith("Float"):
        value = _in_unit(value, variable, field)
    checked = _typed(value, variable, field)
    if isinstance(checked, int | float):
        if variable.min is not None and checked < variable.min:
            raise InvalidRequest(f"{value} is below the minimum of {variable.name}, {variable.min:g}.", field=field)
        if variable.max is not None and checked > variable.max:
            raise InvalidRequest(f"{value} is above the maximum of {variable.name}, {variable.max:g}.", field=field)
    return checked


def _in_unit(value: Any, variable: Variable, field: str) -> Any:
    """A number with a unit as the number in the variable's unit; anything else as it came."""
    given = units.quantity(value)
    return value if given is None else all_in_unit([given[0]], given[1], variable, field)[0]


def all_in_unit(values: list[float], unit: str, variable: Variable, field: str) -> list[float]:
    """`values` `unit` in the variable's unit."""
    if variable.unit is None or not variable.type.startswith("Float"):
        raise InvalidRequest(f"{variable.name} has no unit: leave it out.", field=field)
    try:
        return units.convert_all(values, unit.strip(), into=variable.unit)
    except units.NoConversion as error:
        raise InvalidRequest(f"{variable.name} is in {variable.unit}; {error}.", field=field) from None


def numbers(values: list[Any], variable: Variable, field: str) -> list[float]:
    """`values` that come with one unit for all of them. InvalidRequest if one is no number."""
    for place, value in enumerate(values, start=1):
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise InvalidRequest(f"{variable.name}: value {place} of {len(values)} is no number.", field=field)
    return list(map(float, values))


def _typed(value: Any, variable: Variable, field: str) -> float | int | bool | str:
    """`value` as the variable's type; JSON's 1 is a float where a float is wanted, 1.0 an integer where it is whole."""
    kind = variable.type
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and isinstance(value, int) and abs(value) > 2**64:
        raise InvalidRequest(f"{variable.name}: the number is too large.", field=field)
    if kind.startswith("Float") and number:
        if not math.isfinite(value):
            raise InvalidRequest(f"{variable.name} must be finite.", field=field)
        if kind == "Float32" and abs(value) >= FLOAT32_END:
            raise InvalidRequest(f"{value:g} does not fit into {variable.name}'s type, Float32.", field=field)
        return float(value)
    if kind in INTEGERS and number and math.isfinite(value) and value == int(value):
        low, high = INTEGERS[kind]
        if not low <= value <= high:
            raise InvalidRequest(f"{value} does not fit into {variable.name}'s type, {kind}.", field=field)
        return int(value)
    if kind == "Boolean" and (isinstance(value, bool) or (number and value in (0, 1))):
        return bool(value)
    if kind == "String" and isinstance(value, str) and len(value) <= 10_000 and "\0" not in value:
        return value
    if kind == "Enumeration":
        return _enumeration(value, variable, field)
    raise InvalidRequest(f"{variable.name} takes a value of type {kind}.", field=field)


def _enumeration(value: Any, variable: Variable, field: str) -> int:
    if isinstance(value, str) and value in variable.items:
        return variable.items[value]
    known = set(variable.items.values())
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    if whole and (int(value) in known or not known):
        return int(value)
    near = did_you_mean(value, variable.items) if isinstance(value, str) else None
    names = ", ".join(list(variable.items)[:20])
    raise InvalidRequest(f"{variable.name} is one of: {names}.", field=field, did_you_mean=near)
