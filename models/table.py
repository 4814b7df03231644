"""Read a model's TOML file and turn it into variables.h and variables.c, the table as the C code sees it.

One table per model is the only source of names, units, limits and start values: C code and XML cannot disagree.
"""

import tomllib
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STRING_BYTES = 64  # room for one String variable, its final NUL included

# Name → SI base unit exponents; "factor" where the unit is not coherent, "shown" for display units (factor, offset).
UNITS: dict[str, dict[str, Any]] = {
    "1": {}, "s": {"s": 1}, "m": {"m": 1}, "m/s": {"m": 1, "s": -1}, "m/s2": {"m": 1, "s": -2}, "m2": {"m": 2},
    "rad": {"rad": 1}, "rad/s": {"rad": 1, "s": -1}, "rad/s2": {"rad": 1, "s": -2}, "kg.m2": {"kg": 1, "m": 2},
    "N.m": {"kg": 1, "m": 2, "s": -2}, "N.m/rad": {"kg": 1, "m": 2, "s": -2, "rad": -1},
    "N.m.s/rad": {"kg": 1, "m": 2, "s": -1, "rad": -1}, "N.m/A": {"kg": 1, "m": 2, "s": -2, "A": -1},
    "V": {"kg": 1, "m": 2, "s": -3, "A": -1}, "V/s": {"kg": 1, "m": 2, "s": -4, "A": -1}, "A": {"A": 1},
    "A/s": {"A": 1, "s": -1}, "A.h": {"A": 1, "s": 1, "factor": 3600.0}, "1/s": {"s": -1},
    "Ohm": {"kg": 1, "m": 2, "s": -3, "A": -2}, "S": {"kg": -1, "m": -2, "s": 3, "A": 2},
    "F": {"kg": -1, "m": -2, "s": 4, "A": 2}, "H": {"kg": 1, "m": 2, "s": -2, "A": -2},
    "K": {"K": 1, "shown": {"degC": (1.0, -273.15)}}, "K/s": {"K": 1, "s": -1}, "W": {"kg": 1, "m": 2, "s": -3},
    "W/K": {"kg": 1, "m": 2, "s": -3, "K": -1}, "W/m2": {"kg": 1, "s": -3}, "J/K": {"kg": 1, "m": 2, "s": -2, "K": -1},
    "J": {"kg": 1, "m": 2, "s": -2, "shown": {"kW.h": (1 / 3.6e6, 0.0)}},
}  # fmt: skip

C_TYPES = {
    "Float64": "double", "Float32": "float", "Boolean": "bool", "String": "char", "Enumeration": "int64_t",
    **{f"{sign}Int{bits}": f"{sign.lower()}int{bits}_t" for sign in ("", "U") for bits in (8, 16, 32, 64)},
}  # fmt: skip


@dataclass(frozen=True)
class Variable:
    """One row of the table. `start` is None where the model calculates it; `der` names the derivative of a state."""

    name: str
    description: str
    type: str = "Float64"
    causality: str = "local"
    variability: str = ""
    start: Any = None
    min: float | None = None
    max: float | None = None
    nominal: float = 1.0
    unit: str = ""
    display_unit: str = ""
    size: int = 0  # of a 1-D array; 0 is a scalar
    items: tuple[str, ...] = ()  # of an enumeration, numbered from 1
    of: str = ""  # the state that this is the derivative of
    indicator: bool = False  # an event is where it crosses zero

    @property
    def field(self) -> str:
        """Its name in C: der(h) is der_h."""
        return self.name.replace("(", "_").replace(")", "")

    @property
    def settable(self) -> str:
        if self.causality == "input" or self.variability == "tunable":
            return "ALWAYS"
        return "NEVER" if self.start is None or self.causality == "independent" else "AT_START"

    @property
    def initial(self) -> str:
        return "calculated" if self.start is None else "exact"


@dataclass(frozen=True)
class Description:
    """One TOML file, derivatives and time filled in."""

    name: str
    fmi: str
    kinds: tuple[str, ...]
    token: str
    description: str
    about: str
    experiment: dict[str, float]
    source: str
    variables: tuple[Variable, ...] = field(default=())

    @property
    def states(self) -> list[tuple[int, int]]:
        """(index of a state, index of its derivative), in the table's order."""
        index = {v.name: i for i, v in enumerate(self.variables)}
        return [(index[v.of], i) for i, v in enumerate(self.variables) if v.of]

    @property
    def indicators(self) -> list[int]:
        return [i for i, v in enumerate(self.variables) if v.indicator]


def read(path: Path) -> Description:
    """Read one TOML file. TypeError for a key that is not known, KeyError for one that is missing."""
    text = path.read_text()
    table = tomllib.loads(text)
    rows = [Variable("time", "Simulation time", causality="independent", variability="continuous", unit="s")]
    for name, row in table.pop("variable").items():
        der = row.pop("der", None)
        default = "fixed" if row.get("causality") == "parameter" else "discrete"
        if row.get("type", "Float64") == "Float64" and default == "discrete":
            default = "continuous"
        variable = Variable(name=name, **{"variability": default, **row})
        rows.append(variable)
        if der is not None:
            about = f"Time derivative of {name}"
            rows.append(Variable(f"der({name})", about, variability="continuous", unit=der, of=name))
    return Description(
        name=path.stem,
        # Any change of the table makes another token, so a binary never meets a description it was not built for.
        token="{" + str(uuid.uuid5(uuid.NAMESPACE_URL, path.stem + "\n" + text)) + "}",
        variables=tuple(rows),
        source=table.pop("source", path.stem + ".c"),
        kinds=tuple(table.pop("kinds")),
        **table,
    )


def c_tables(d: Description) -> dict[str, str]:
    """variables.h and variables.c: the table as the C code sees it."""
    fields, starts, rows = [], ["    .time = 0,\n"], []
    for v in d.variables:
        count = STRING_BYTES if v.type == "String" else v.size
        suffix = f"[{count}]" if count else ""
        unit = f", {v.unit}" if v.unit else ""
        fields.append(f"    {C_TYPES[v.type]} {v.field}{suffix}; /* {v.description}{unit} */\n")
        if v.start is not None:
            starts.append(f"    .{v.field} = {c_literal(v.start)},\n")
        kind = "INT64" if v.type == "Enumeration" else v.type.upper()
        low, high = limits(v)
        rows.append(
            f'    {{"{v.name}", {kind}, {v.settable}, offsetof(Values, {v.field}), {count or 1}, '
            f"{'-INFINITY' if low is None else low}, {'INFINITY' if high is None else high}}},\n"
        )
    indicators = "".join(f"offsetof(Values, {d.variables[i].field}), " for i in d.indicators)
    states = [
        f"    {{offsetof(Values, {d.variables[s].field}), offsetof(Values, {d.variables[i].field}), "
        f"{d.variables[s].nominal}}},\n"
        for s, i in d.states
    ]
    origin = f"generated by models/build from {d.name}.toml"
    return {
        "variables.h": f"/* variables.h: {origin}. */\n"
        f'#define MODEL_NAME "{d.name}"\n#define TOKEN "{d.token}"\n#define VARIABLE_COUNT {len(d.variables)}\n'
        f"#define STATES {len(states)}\n#define EVENT_INDICATORS {len(d.indicators)}\n\n"
        f"typedef struct {{\n{''.join(fields)}}} Values;\n",
        "variables.c": f'/* variables.c: {origin}. */\n#include "model.h"\n\n'
        f"const Values START = {{\n{''.join(starts)}}};\n\n"
        f"const Variable VARIABLES[VARIABLE_COUNT] = {{\n{''.join(rows)}}};\n\n"
        f"const State STATE[STATES + 1] = {{\n{''.join(states)}    {{0}},\n}};\n\n"
        f"const size_t INDICATOR[EVENT_INDICATORS + 1] = {{{indicators}0}};\n",
    }


def limits(v: Variable) -> tuple[float | None, float | None]:
    return (1, len(v.items)) if v.items else (v.min, v.max)


def c_literal(value: Any) -> str:
    if isinstance(value, list):
        return "{" + ", ".join(map(c_literal, value)) + "}"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value).lower() if isinstance(value, bool) else repr(value)
