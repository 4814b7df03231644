"""Description: a modelDescription.xml, as FMPy reads it, turned into a Model; and a Model as JSON and back."""

import contextlib
import gc
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from gateway.domain.models import Experiment, Model, Variable

FMI2_TYPES = {"Real": "Float64", "Integer": "Int32"}
DEFAULT_SPAN = 1.0  # s; FMPy's, where a description names no stop time
MAX_NAME, MAX_DESCRIPTION = 200, 2_000  # characters that are shown of a model's own
VARIABLE_FIELDS = tuple(each.name for each in fields(Variable))
MAX_ELEMENTS = 100_000  # of all arrays together: a short description may ask for any number of them


def read(directory: Path, fmu_id: str, sha256: str) -> Model:
    """The FMU unpacked in `directory`. ValueError with a sentence if its description makes no sense."""
    try:
        with no_collection():
            return _read(directory, fmu_id, sha256)
    except Exception as error:  # FMPy raises whatever its parsing met
        raise ValueError(f"Its description cannot be read: {error}"[:300]) from None


def _read(directory: Path, fmu_id: str, sha256: str) -> Model:
    from fmpy import read_model_description  # 0.3 s, and not needed where the workspace has it all

    found = read_model_description(str(directory), validate=False)
    is_fmi2 = found.fmiVersion == "2.0"
    _check_arrays(found)
    texts = _text_starts(directory) if any(v.type == "String" and v.shape for v in found.modelVariables) else {}
    return Model(
        fmu_id=fmu_id,
        sha256=sha256,
        name=_printable(found.modelName or fmu_id)[:MAX_NAME],
        description=_printable(found.description or "")[:MAX_DESCRIPTION],
        fmi_version="2.0" if is_fmi2 else "3.0",
        kinds=_kinds(found),
        experiment=_experiment(found),
        variables={v.name: _variable(v, texts) for v in found.modelVariables},
    )


class _NoCollection:
    """While very many objects are made, and dropped soon: a search for garbage among them would find none, and hold
    every other thread for 50 ms. The first of several threads ends it and the last one lets it go on: each for itself
    could take what another one did for how it was before, and leave it ended for good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._enabled = False

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._enabled = gc.isenabled()
                gc.disable()
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0 and self._enabled:
                    gc.enable()


no_collection = _NoCollection()


def _kinds(found: Any) -> tuple[str, ...]:
    """Without model exchange where that would go wrong, if it can solve itself."""
    co_simulation = ("co_simulation",) if found.coSimulation is not None else ()
    if found.modelExchange is None:
        return co_simulation
    try:
        _check_states(found)
    except ValueError:
        if co_simulation:
            return co_simulation
        raise
    return (*co_simulation, "model_exchange")


def _check_states(found: Any) -> None:
    """FMPy's solver takes the number of states from the ModelStructure; if that means other variables, the numbers of a
    run mean nothing, and if it means none, they are constant. Variables beside the states may have a derivative, too
    (FMI 2.0.5, 2.2.7), so that some of them are missing is left to the model: to what exchange.py asks one of FMI 3.0,
    and to one of FMI 2.0, which is told how many there should be."""
    listed = [unknown.variable for unknown in found.derivatives]
    strange = next((v.name for v in listed if v.derivative is None), None)
    if strange is not None:
        raise ValueError(f"the model structure has {strange!r} as a state's derivative, which it says of nothing")
    states: set[int] = set()
    for variable in listed:
        if variable.derivative.valueReference in states:
            raise ValueError(f"the model structure has the derivative of {variable.derivative.name!r} twice")
        states.add(variable.derivative.valueReference)
    derived = [v for v in found.modelVariables if v.derivative is not None and v.causality != "input"]
    missing = next((v.name for v in derived if v.derivative.causality != "input"), None)
    if not listed and missing is not None:
        raise ValueError(f"the model structure has no states' derivatives, yet {missing!r} is one")


def _check_arrays(found: Any) -> None:
    elements = 0
    for shape in (v.shape for v in found.modelVariables if v.shape):
        count = 1
        for size in shape:  # math.prod of very many large numbers would take minutes, and let nobody in
            count *= size
            if not 0 < count <= MAX_ELEMENTS - elements:
                raise ValueError(f"its arrays have more than {MAX_ELEMENTS} elements, or none")
        elements += count


def _experiment(found: Any) -> Experiment:
    from fmpy.util import auto_interval

    given = found.defaultExperiment
    start = float(given.startTime) if given and given.startTime is not None else 0.0
    stop = float(given.stopTime) if given and given.stopTime is not None else start + DEFAULT_SPAN
    if stop <= start:
        raise ValueError(f"the default experiment ends at {stop:g} s and starts at {start:g} s")
    fixed = found.coSimulation and found.coSimulation.fixedInternalStepSize
    step = (
        float(given.stepSize) if given and given.stepSize is not None else float(fixed or auto_interval(stop - start))
    )
    if not 0 < step < math.inf:
        raise ValueError(f"the default experiment from {start:g} to {stop:g} s has no step")
    tolerance = float(given.tolerance) if given and given.tolerance is not None else None
    return Experiment(start, stop, step, tolerance)


def _text_starts(directory: Path) -> dict[str, tuple[str, ...]]:
    """Of each String of FMI 3.0 by name: it has one element for each start value, of which FMPy keeps the first."""
    from lxml import etree

    tree = etree.parse(directory / "modelDescription.xml", etree.XMLParser(resolve_entities=False, no_network=True))
    starts = {}
    for variable in tree.iterfind("ModelVariables/String"):
        values = tuple(start.get("value", "") for start in variable.iterfind("Start"))
        starts.update({each.get("name"): values for each in (variable, *variable.iterfind("Alias"))})
    return starts


def _variable(found: Any, texts: Mapping[str, tuple[str, ...]]) -> Variable:
    declared = found.declaredType
    kind = FMI2_TYPES.get(found.type, found.type)
    bound = {side: getattr(found, side) or (declared and getattr(declared, side)) or None for side in ("min", "max")}
    unit = found.unit or (declared.unit if declared else None)
    return Variable(
        name=found.name,
        type=kind,
        causality=found.causality,
        variability=found.variability,
        unit=_printable(unit) if unit else None,
        start=_start(found, kind, texts),
        min=_finite(bound["min"]),
        max=_finite(bound["max"]),
        description=_printable(found.description or ""),
        dimensions=tuple(found.shape or ()),
        items={_printable(item.name): int(item.value) for item in declared.items}
        if declared and kind == "Enumeration"
        else {},
    )


def _printable(text: str) -> str:
    """Without what would act on a terminal or a page instead of being read: escapes, line ends, bidi overrides."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _finite(text: Any) -> float | None:
    return value if text is not None and math.isfinite(value := float(text)) else None


def _start(found: Any, kind: str, texts: Mapping[str, tuple[str, ...]]) -> Any:
    """None where there is none, or none that JSON could carry."""
    if found.start is None or kind in {"Binary", "Clock"}:
        return None
    if not found.shape:
        return _value(found.start, kind)
    values = texts[found.name] if kind == "String" else tuple(_value(part, kind) for part in found.start.split())
    return values * math.prod(found.shape) if len(values) == 1 else values  # one start value stands for all elements


def _value(text: str, kind: str) -> float | int | bool | str | None:
    if kind.startswith("Float"):
        return _finite(text)
    if kind == "Boolean":
        return text.strip().lower() in {"true", "1"}  # some tools write True
    return text if kind == "String" else int(text)


def to_json(model: Model) -> dict[str, Any]:
    """As dataclasses.asdict, which copies whatever it meets: 0.3 s where there are 19,000 variables."""
    variables = {name: {each: getattr(v, each) for each in VARIABLE_FIELDS} for name, v in model.variables.items()}
    return {**asdict(replace(model, variables={})), "variables": variables}


def from_json(saved: Mapping[str, Any]) -> Model:
    def variable(fields: Mapping[str, Any]) -> Variable:
        start = tuple(fields["start"]) if isinstance(fields["start"], list) else fields["start"]
        return Variable(**{**fields, "start": start, "dimensions": tuple(fields["dimensions"])})

    variables = {name: variable(fields) for name, fields in saved["variables"].items()}
    experiment = Experiment(**saved["experiment"])
    return Model(**{**saved, "kinds": tuple(saved["kinds"]), "experiment": experiment, "variables": variables})
