"""Markup: a modelDescription.xml checked while it is read, so that no tree of a stranger's elements is ever made here.

A tree is freed in one go, and lxml holds Python's lock meanwhile: 40 ms for 300,000 elements. What is checked is what
could harm whoever reads the description next, and what would make a run wrong without a word; everything else FMPy's
validate_fmu lists in the report. FMI 2.0.4, 2.2; FMI 3.0.1, 2.4.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import IO

from lxml import etree

from gateway.domain.solvers import MAX_TOLERANCE
from gateway.domain.times import same
from gateway.simulation.pieces import MAX_ELEMENTS, PIECE, document_type, look_through, too_many_elements
from gateway.simulation.plain import sift
from gateway.simulation.variables import Plain, Refused, Variables

MAX_DEPTH = 32  # of its elements
MAX_WORDS = 2_000  # different names of elements and attributes: lxml keeps each for ever. FMI has some 200
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")  # FMPy would load "../../x" otherwise
VERSION = re.compile(r"2\.0\Z|3\.0([.-].*)?\Z")  # as FMPy has it
INTERFACES = ("CoSimulation", "ModelExchange")


class _NoXml(Refused):
    """It cannot be parsed, whatever it says."""


def check_description(file: IO[bytes], name: str) -> tuple[str, set[str]]:
    """The FMI version and the model identifiers. Refused if anything is wrong. `name` is what to call the file.

    What is not plain is parsed and checked; of all of it, only that it is XML. That comes second, since nothing limits
    its names: it meets those that the first has met, and plain ones, and ends no later where the first has ended."""
    pieces = look_through(file, name)
    raw = b"".join(pieces)
    rest, plain = sift(raw)
    outline = _Outline(name, plain)
    try:
        _parse((rest[i : i + PIECE] for i in range(0, len(rest), PIECE)), name, outline)
    except _NoXml:
        _parse(pieces, name, _Nobody())  # says in which line
        raise
    else:
        if rest is not raw:
            _parse(pieces, name, _Nobody())
        outline.check_whole()
    finally:
        outline.forget()
    return outline.version, outline.identifiers


def check_markup(file: IO[bytes], name: str) -> None:
    """That it is XML which can be read without harm, whatever it says."""
    _parse(look_through(file, name), name, _Elements(name))


def _parse(pieces: Iterable[bytes], name: str, target: "_Nobody") -> None:
    options = {"resolve_entities": False, "no_network": True, "load_dtd": False}
    parser = etree.XMLParser(target=target, **options)
    try:
        for piece in pieces:
            parser.feed(piece)
        parser.close()
    except etree.XMLSyntaxError as error:
        raise _NoXml("broken_description", f"{name} is no XML that can be read: {error}"[:200]) from None


class _Nobody:
    """Told nothing while lxml reads: that it is XML at all takes a tenth of the time then."""

    def close(self) -> None:
        """lxml calls this behind a refusal, too, and would forget it for one from here."""


class _Elements(_Nobody):
    """What lxml tells while it reads: nothing is kept of it."""

    deepest = 0  # of the elements that `tell` is told

    def __init__(self, name: str) -> None:
        self._name = name
        self._depth = self._elements = 0
        self._words: set[str] = set()

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Very often called: everything that costs time is in here."""
        self._depth = depth = self._depth + 1
        self._elements += 1  # once more, as lxml counts them, whatever _pieces took for one
        words = self._words
        words.add(tag)
        words.update(attributes)
        if self._elements > MAX_ELEMENTS or len(words) > MAX_WORDS or depth > MAX_DEPTH:
            raise self._too_much()
        if depth <= self.deepest:
            self.tell(depth, tag, attributes)

    def end(self, tag: str) -> None:
        self._depth -= 1

    def tell(self, depth: int, tag: str, attributes: Mapping[str, str]) -> None:
        """An element: its depth, 1 for the root; its name and its attributes."""

    def _too_much(self) -> Refused:
        if self._elements > MAX_ELEMENTS:
            return too_many_elements(self._name)
        if len(self._words) > MAX_WORDS:
            text = f"{self._name} has more than {MAX_WORDS} different names of elements and attributes."
            return Refused("description_too_large", text)
        return Refused("description_too_deep", f"{self._name} is nested deeper than {MAX_DEPTH} elements.")

    def doctype(self, *_: str | None) -> None:
        raise document_type(self._name)


class _Outline(_Elements):
    """The same of a model description, and what it says."""

    deepest = 4

    def __init__(self, name: str, plain: Plain) -> None:
        super().__init__(name)
        self.version = ""
        self.identifiers: set[str] = set()
        self._sections: set[str] = set()
        self._variables = Variables(plain)
        self._inside: Callable[[int, str, Mapping[str, str]], None] = _ignore  # of the section

    def tell(self, depth: int, tag: str, attributes: Mapping[str, str]) -> None:
        if depth > 2:
            self._inside(depth, tag, attributes)
        elif depth == 1:
            self._root(tag, attributes)
        else:
            self._section(tag, attributes)

    def _section(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._sections.add(tag)
        listeners = {"ModelVariables": self._variables.tell, "TypeDefinitions": self._variables.define}
        self._inside = listeners.get(tag, _ignore)
        if tag in INTERFACES:
            self._interface(attributes)
        elif tag == "DefaultExperiment":
            _check_experiment(attributes)

    def check_whole(self) -> None:
        self._variables.check()
        if not self.identifiers:
            raise Refused("no_interface", "It offers neither co-simulation nor model exchange.")
        if "ModelVariables" not in self._sections:
            raise Refused("broken_description", f"{self._name} has no ModelVariables.")

    def forget(self) -> None:
        """The variables. A parser and its target hold each other until a search for garbage, which would free those of
        many descriptions in one go: 20 to 40 ms for every other thread."""
        del self._variables, self._inside

    def _root(self, tag: str, attributes: Mapping[str, str]) -> None:
        version = attributes.get("fmiVersion", "")
        if tag != "fmiModelDescription":
            raise Refused("broken_description", f"{self._name} begins with <{tag[:60]}>, so it is none.")
        if not VERSION.match(version):
            raise Refused("unknown_fmi_version", f"It is FMI {version[:20] or '?'}; versions 2.0 and 3.0 are taken.")
        self.version = version
        self._variables.is_fmi2 = version.startswith("2.")

    def _interface(self, attributes: Mapping[str, str]) -> None:
        identifier = attributes.get("modelIdentifier", "")
        if not IDENTIFIER.match(identifier):
            raise Refused("bad_model_identifier", f"The model identifier {identifier[:60]!r} is no C identifier.")
        if attributes.get("needsExecutionTool") in {"true", "1"}:
            raise Refused("needs_tool", "It needs the tool that made it to run: export it as a stand-alone FMU.")
        step = attributes.get("fixedInternalStepSize")
        if step is not None and not 0 < _number(step) < math.inf:
            raise Refused("bad_experiment", f"The fixedInternalStepSize is {step[:30]!r}.")
        self.identifiers.add(identifier)


def _ignore(depth: int, tag: str, attributes: Mapping[str, str]) -> None:
    pass


def _check_experiment(attributes: Mapping[str, str]) -> None:
    given = {}
    for key, text in attributes.items():
        given[key] = _number(text)
        if not math.isfinite(given[key]) or (key in {"stepSize", "tolerance"} and given[key] <= 0):
            raise Refused("bad_experiment", f"The default experiment's {key} is {text[:30]!r}.")
    if given.get("tolerance", 0.0) > MAX_TOLERANCE:
        text = (
            f"The default experiment's tolerance is {given['tolerance']:g}, with which its results would mean nothing"
        )
        raise Refused("bad_experiment", f"{text}; at most {MAX_TOLERANCE:g} is taken.")
    start, stop, step = given.get("startTime", 0.0), given.get("stopTime"), given.get("stepSize")
    if stop is not None and stop <= start:
        raise Refused("bad_experiment", f"The default experiment ends at {stop:g} s and starts at {start:g} s.")
    if stop is not None and not same(start, stop, stop - start) < stop - start < math.inf:
        raise Refused("bad_experiment", f"From {start:g} to {stop:g} s is no time that can be simulated.")
    if step is not None and start + step == start:
        raise Refused("bad_experiment", f"The default experiment's stepSize {step:g} vanishes beside {start:g} s.")


def _number(text: str) -> float:
    """NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
