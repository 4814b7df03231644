"""Model: an FMU that is for sale, as its modelDescription.xml describes it (FMI 2.0, 2.2; FMI 3.0, 2.4)."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

# Above these a did_you_mean search would take longer than a refusal may: at most 6 ms, in Chinese; 1 ms in ASCII.
DID_YOU_MEAN_NAMES = 2000
DID_YOU_MEAN_CHARACTERS = 150_000  # of all names together
DID_YOU_MEAN_WORD = 200  # characters of what was written
DID_YOU_MEAN_NEAR = 50  # per cent of all characters of both that they have in common, in the same order


@dataclass(frozen=True, slots=True)
class Variable:
    """One scalar or array variable. `type` is FMI 3.0's name for it; FMI 2.0's Real, Integer map to Float64, Int32."""

    name: str
    type: str  # Float64, Float32, Int8 … UInt64, Boolean, String, Enumeration, Binary, Clock
    causality: str  # parameter, calculatedParameter, structuralParameter, input, output, local, independent
    variability: str  # constant, fixed, tunable, discrete, continuous
    unit: str | None = None
    start: float | int | bool | str | tuple[float | int | bool | str, ...] | None = None
    min: float | None = None
    max: float | None = None
    description: str = ""
    dimensions: tuple[int, ...] = ()  # sizes; () is a scalar
    items: Mapping[str, int] = field(default_factory=dict)  # of an enumeration: name → value

    @property
    def settable(self) -> bool:
        """Whether a caller may give it a start value."""
        if self.variability == "constant":
            return False
        return self.causality in {"parameter", "structuralParameter", "input"} or (
            self.causality in {"local", "output"} and self.start is not None
        )

    @property
    def held(self) -> bool:
        """Whether a signal of it keeps each value until the next one; continuous ones are linear in between."""
        return not (self.type.startswith("Float") and self.variability == "continuous")

    @property
    def recordable(self) -> bool:
        """Whether it can be a column of the result: FMPy records neither strings, binaries nor clocks."""
        return self.type not in {"String", "Binary", "Clock"} and self.causality != "independent"


@dataclass(frozen=True, slots=True)
class Experiment:
    """What a run uses where the request is silent; seconds. `step` is the interval of the result rows."""

    start_time: float
    stop_time: float
    step: float
    tolerance: float | None = None


@dataclass(frozen=True)
class Model:
    """One FMU. `fmu_id` is `collection:Name`, or the sha256 of a private upload, which only `account_id` sees."""

    fmu_id: str
    sha256: str
    name: str
    description: str
    fmi_version: str  # "2.0" or "3.0"
    kinds: tuple[str, ...]  # of "co_simulation", "model_exchange"; the first where a request leaves it open
    experiment: Experiment
    variables: Mapping[str, Variable]
    account_id: str | None = None

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The columns of a result whose request names none: every recordable output."""
        return tuple(v.name for v in self.variables.values() if v.causality == "output" and v.recordable)

    @cached_property
    def _output_columns(self) -> int:
        return sum(math.prod(self.variables[name].dimensions) for name in self.outputs)

    def column_count(self, names: Collection[str]) -> int:
        """How many columns these variables make: an array makes one for each element."""
        if names is self.outputs:  # as almost every request has it
            return self._output_columns
        return sum(math.prod(self.variables[name].dimensions) for name in names)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        return tuple(v.name for v in self.variables.values() if v.causality == "input")


def did_you_mean(word: str, names: Iterable[Any]) -> str | None:
    """The nearest of `names` to `word`, or None: nothing is near, or there are too many or too long ones to search."""
    from rapidfuzz import fuzz, process  # takes 7 ms to load, which the processes of runs need not spend

    pool = [str(name) for name in islice(names, DID_YOU_MEAN_NAMES + 1)]
    if len(pool) > DID_YOU_MEAN_NAMES or sum(map(len, pool)) > DID_YOU_MEAN_CHARACTERS:
        return None
    folded = {name.lower(): name for name in reversed(pool)}
    asked = word[:DID_YOU_MEAN_WORD].lower()
    near = process.extractOne(asked, folded.keys(), scorer=fuzz.ratio, score_cutoff=DID_YOU_MEAN_NEAR)
    return folded[near[0]] if near else None
