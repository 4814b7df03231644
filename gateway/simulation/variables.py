"""Variables: the ModelVariables of a description, checked for markup.py before anybody reads them for good.

Beside the names: what FMPy would take for something else, could not read, or no request could be checked by. There is
one pass for each check: of 20,000 variables that takes half the time of all checks for one after the other.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gateway.errors import UPLOAD_REFUSALS

MAX_VARIABLES = 20_000  # and aliases
MAX_NAME = 1_000  # characters of a variable's name
FEW = 1_000  # names
MAX_REFERENCE = 2**32 - 1  # FMI's value references have 32 bits: a larger one would be another variable's
Dimension = tuple[str | None, str | None]  # its size, or the value reference of the variable that has it
SIZE = re.compile(r'"(\d+)"')  # in the text of a plain dimension
MAX_DIGITS = len(str(MAX_REFERENCE))
SIZE_DIGITS = 20  # of a dimension, a UInt64: thousands of larger ones would take minutes to multiply
CAUSALITIES = {
    *("parameter", "calculatedParameter", "structuralParameter", "input", "output", "local", "independent"),
    None,  # which is local
}
VARIABILITIES = {"constant", "fixed", "tunable", "discrete", "continuous", None}
# How FMPy and description.py read a start value, as the type has it.
NUMBERS: dict[str, Callable[[str], float]] = {"Real": float, "Integer": int, "Enumeration": int}
NUMBERS |= {"Float32": float, "Float64": float}
NUMBERS |= {f"{sign}Int{bits}": int for sign in ("", "U") for bits in (8, 16, 32, 64)}
FMI2_TYPES = {"Real", "Integer", "Boolean", "String", "Enumeration"}
FMI3_TYPES = (NUMBERS.keys() - FMI2_TYPES) | {"Boolean", "String", "Binary", "Enumeration", "Clock"}


class Refused(Exception):
    """The FMU cannot be taken: a code of UPLOAD_REFUSALS, and what exactly it is this time."""

    def __init__(self, code: str, text: str) -> None:
        assert code in UPLOAD_REFUSALS, code
        super().__init__(text)
        self.code = code


class Plain(NamedTuple):
    """The variables that plain.py found nothing wrong with; which names and value references they have, it leaves to be
    compared. Their types, and the text of their dimensions, only in FMI 3.0, where variables may share a value
    reference."""

    is_fmi2: bool = False
    names: Sequence[str] = ()
    references: Sequence[str] = ()
    types: Sequence[str] = ()
    sizes: Sequence[str | None] = ()


def _twice(names: Sequence[str]) -> str | None:
    """The first that was there before. A few at a time: 15 MB of names in one go let nobody in for 20 ms."""
    seen: set[str] = set()
    for start in range(0, len(names), FEW):
        seen.update(names[start : start + FEW])
    if len(seen) < len(names):
        seen.clear()
        for name in names:
            if name in seen:
                return name
            seen.add(name)
    return None


class Variables:
    """Told each element of ModelVariables and TypeDefinitions while they are read; then asked. `plain` are the
    variables that it is not told."""

    def __init__(self, plain: Plain) -> None:
        self.is_fmi2 = False
        self._plain = plain
        self._attributes: list[Mapping[str, str]] = []
        self._types: list[str] = []
        self._numbers: list[Mapping[str, str]] = []  # the attributes of the elements that have type and start
        self._aliases: list[Mapping[str, str]] = []  # FMPy makes variables of them
        self._dimensions: dict[int, list[Dimension]] = {}  # of the arrays
        self._definitions: list[Mapping[str, str]] = []  # with bounds, of types
        self._defined = ""

    def tell(self, depth: int, tag: str, attributes: Mapping[str, str]) -> None:
        """An element of ModelVariables: at depth 3 a variable, at depth 4 what it has inside."""
        if depth == 3:
            if self.is_fmi2:
                self._give_type("", {})  # to the one before, if it had none
            else:
                self._types.append(tag)
            self._attributes.append(attributes)
        elif self.is_fmi2:
            if tag in FMI2_TYPES:
                self._give_type(tag, attributes)
        elif tag == "Dimension":
            dimensions = self._dimensions.setdefault(len(self._attributes) - 1, [])
            dimensions.append((attributes.get("start"), attributes.get("valueReference")))
        elif tag == "Alias":
            self._aliases.append(attributes)

    def _give_type(self, kind: str, attributes: Mapping[str, str]) -> None:
        if len(self._types) < len(self._attributes):
            self._types.append(kind)
            self._numbers.append(attributes)

    def define(self, depth: int, tag: str, attributes: Mapping[str, str]) -> None:
        """An element of TypeDefinitions: a type, or what is inside of the last one: in FMI 2.0 its name stands on the
        one, its bounds on the other."""
        if depth == 3:
            self._defined = attributes.get("name", "")
        if attributes.keys() & {"min", "max"}:
            self._definitions.append({**attributes, "name": self._defined})

    def check(self) -> None:
        if self.is_fmi2:
            self._give_type("", {})
        if len(self._plain.names) + len(self._attributes) + len(self._aliases) > MAX_VARIABLES:
            raise Refused("too_many_variables", f"It has more than {MAX_VARIABLES} variables.")
        self._check_names()
        self._check_references()
        for attributes in self._attributes:
            if attributes.get("causality") not in CAUSALITIES:
                said = attributes["causality"][:30]
                raise _invalid(attributes, f"has the causality {said!r}, which FMI does not know")
        for attributes in self._attributes:
            if attributes.get("variability") not in VARIABILITIES:
                said = attributes["variability"][:30]
                raise _invalid(attributes, f"has the variability {said!r}, which FMI does not know")
        if self._plain.names and self._plain.is_fmi2 != self.is_fmi2:
            raise _invalid({"name": self._plain.names[0]}, "has no type of this FMI version's")
        types = FMI2_TYPES if self.is_fmi2 else FMI3_TYPES
        for kind, attributes in zip(self._types, self._attributes, strict=True):
            if kind not in types:  # FMPy would take that of the variable before it
                raise _invalid(attributes, "has no type of FMI's")
        self._check_numbers(self._numbers if self.is_fmi2 else self._attributes)
        self._check_layouts()

    def _check_names(self) -> None:
        everyone = [*self._attributes, *self._aliases]
        names = [attributes.get("name", "") for attributes in everyone]
        name = next((name for name in names if not 0 < len(name) <= MAX_NAME or not name.isprintable()), None)
        if name is not None:
            text = f"The variable name {name[:60]!r} is empty, too long or not printable."
            raise Refused("bad_variable_name", text)
        if any(everyone[i].get("causality") != "independent" for i, name in enumerate(names) if name == "time"):
            text = "A variable is called time, which is the name of the first column of every result."
            raise Refused("bad_variable_name", text)
        if (twice := _twice([*self._plain.names, *names])) is not None:
            raise Refused("duplicate_variable", f"The variable name {twice[:60]!r} is there twice.")

    def _check_references(self) -> None:
        for attributes in self._attributes:
            digits = attributes.get("valueReference", "")
            right = digits.isdecimal() and len(digits) <= MAX_DIGITS
            if not right or (len(digits) == MAX_DIGITS and int(digits) > MAX_REFERENCE):
                raise _invalid(attributes, f"has no value reference from 0 to {MAX_REFERENCE}")

    def _check_numbers(self, numbers: Sequence[Mapping[str, str]]) -> None:
        for i in [i for i, said in enumerate(numbers) if "start" in said]:
            start, number = numbers[i]["start"], NUMBERS.get(self._types[i])
            if number is None:
                continue
            for value in start.split() if i in self._dimensions else (start,):
                if not _is(number, value):
                    text = f"has the start value {value[:30]!r}, which is no {self._types[i]}"
                    raise _invalid(self._attributes[i], text)
        for side in ("min", "max"):
            for i in [i for i, said in enumerate(numbers) if not _is_bound(said.get(side))]:
                raise _invalid(self._attributes[i], f"has the {side} {numbers[i][side][:30]!r}, which is no number")
            for said in self._definitions:
                if not _is_bound(said.get(side)):
                    text = f"has the {side} {said[side][:30]!r}, which is no number"
                    raise _invalid(said, text, "type")

    def _check_layouts(self) -> None:
        """In FMI 3.0 sizes and states are found by value reference."""
        for i, dimensions in self._dimensions.items():
            for size, _ in dimensions:
                if size is not None and (len(size) > SIZE_DIGITS or not _is(int, size)):
                    raise _invalid(self._attributes[i], f"has a dimension of {size[:30]!r}")
        if self.is_fmi2:
            return
        own = [str(int(attributes["valueReference"])) for attributes in self._attributes]  # "03" is 3
        references = [*self._plain.references, *own]
        if len(set(references)) == len(references):
            return
        repeated = {reference for reference, count in Counter(references).items() if count > 1}
        types = [*self._plain.types, *self._types]
        layouts: dict[str, tuple[str, tuple[Dimension, ...]]] = {}
        for i in [i for i, reference in enumerate(references) if reference in repeated]:
            layout = types[i], self._dimensions_of(i)
            if layouts.setdefault(references[i], layout) != layout:
                names = [*self._plain.names, *(attributes["name"] for attributes in self._attributes)]
                raise _invalid({"name": names[i]}, "has the value reference of a variable of another type or size")

    def _dimensions_of(self, i: int) -> tuple[Dimension, ...]:
        """Of the variable there, counted from the first plain one."""
        if i < len(self._plain.sizes):
            return tuple((size, None) for size in SIZE.findall(self._plain.sizes[i] or ""))
        return tuple(self._dimensions.get(i - len(self._plain.sizes), ()))


def _invalid(attributes: Mapping[str, str], text: str, what: str = "variable") -> Refused:
    return Refused("invalid_fmu", f"The {what} {attributes.get('name', '')[:60]!r} {text}.")


def _is_bound(text: str | None) -> bool:
    return not text or _is(float, text)


def _is(number: Callable[[str], float], text: str) -> bool:
    try:
        number(text)
    except ValueError:
        return False
    return True
