"""Markup: a modelDescription.xml checked while it is read, so that no tree of a stranger's elements is ever made here.

A tree is freed in one go, and lxml holds Python's lock meanwhile: 40 ms for 300,000 elements. What is checked is what
could harm whoever reads the description next, and what would make a run wrong without a word; everything else FMPy's
validate_fmu lists in the report. FMI 2.0.4, 2.2; FMI 3.0.1, 2.4.
"""

import codecs
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO

from lxml import etree

from gateway.domain.solvers import MAX_TOLERANCE
from gateway.simulation.plain import sift
from gateway.simulation.variables import FMI3_TYPES, MAX_VARIABLES, Plain, Refused, Variables

MAX_DESCRIPTION = 16 << 20  # bytes of modelDescription.xml
MAX_ELEMENTS = 100_000  # of it: FMPy makes a tree of them, which takes 14 ms to free. 20,000 variables have 40,000
MAX_DEPTH = 32  # of its elements
MAX_ATTRIBUTES = 10_000  # of one element, which is parsed in one go: 900,000 take 310 ms. FMI has some 20
MAX_WORDS = 2_000  # different names of elements and attributes: lxml keeps each for ever. FMI has some 200
PIECE = 256 << 10  # bytes that are looked at in one go, which takes 2 ms
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")  # FMPy would load "../../x" otherwise
VERSION = re.compile(r"(2\.0|3\.0)([.-].*)?\Z")
INTERFACES = ("CoSimulation", "ModelExchange")
FMI3_VARIABLE = re.compile(b"<(?:%s)[ \\n\\r\\t]" % "|".join(sorted(FMI3_TYPES)).encode())
ENCODINGS = ("utf-8", "utf-16", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252")  # a DOCTYPE is seen in these
DECLARATION = b"<?xml"
DECLARED_ENCODING = re.compile(rb"""encoding\s*=\s*["']([A-Za-z0-9._-]+)""")
ATTRIBUTE = re.compile(rb"""=\s*["']""")
BYTE_ORDER_MARKS = codecs.BOM_UTF8 + codecs.BOM_UTF16
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"<\0?\0", b"\0<\0?")  # how it begins where libxml2 reads it
FORBIDDEN = (b"<!DOCTYPE", b"<!ENTITY")
OVERLAP = max(map(len, FORBIDDEN)) * 2  # bytes; twice for UTF-16


class _NoXml(Refused):
    """It cannot be parsed, whatever it says."""


def check_description(file: IO[bytes], name: str) -> tuple[str, set[str]]:
    """The FMI version and the model identifiers. Refused if anything is wrong. `name` is what to call the file.

    What is not plain is parsed and checked; of all of it, only that it is XML. That comes second, since nothing limits
    its names: it meets those that the first has met, and plain ones, and ends no later where the first has ended."""
    pieces = list(_pieces(file, name))
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
    _parse(_pieces(file, name), name, _Elements(name))


def _parse(pieces: Iterable[bytes], name: str, target: "_Nobody") -> None:
    options = {"resolve_entities": False, "no_network": True, "load_dtd": False}
    parser = etree.XMLParser(target=target, **options)
    try:
        for piece in pieces:
            parser.feed(piece)
        parser.close()
    except etree.XMLSyntaxError as error:
        raise _NoXml("broken_description", f"{name} is no XML that can be read: {error}"[:200]) from None


def _pieces(file: IO[bytes], name: str) -> Iterator[bytes]:
    """All of the file, after nothing forbidden was seen in any of it. Counting is much faster than parsing."""
    pieces: list[bytes] = []
    unended: list[bytes] = []  # whose ends were not counted yet
    uncounted: list[bytes] = []  # whose variables were not
    size = elements = attributes = fmi2_variables = fmi3_variables = 0
    before = b""
    while piece := file.read(PIECE):
        size += len(piece)
        if size > MAX_DESCRIPTION:
            raise Refused("description_too_large", f"{name} is larger than {MAX_DESCRIPTION >> 20} MiB.")
        plain = (before + piece).replace(b"\0", b"")  # UTF-16 as well
        if b"!" in plain and any(word in plain for word in FORBIDDEN):  # a single character is found at once
            raise _document_type(name)
        if not pieces:
            _check_begin(piece, name)
            narrow = _narrower(piece)
        new = narrow(piece)
        if b"\0" in new:  # also of UTF-32, in which nothing could be counted
            raise Refused("broken_description", f"{name} is neither UTF-8 nor UTF-16: it has characters that are none.")
        elements += new.count(b"<")
        unended.append(new)
        if elements > MAX_ELEMENTS:  # before, it does not matter that their ends are among them
            elements -= sum(each.count(b"</") for each in unended)
            unended.clear()
        if elements > MAX_ELEMENTS:
            raise _too_many_elements(name)
        attributes = _count_attributes(new, attributes, name)
        uncounted.append(new)
        if elements > MAX_VARIABLES:  # before, there are no more variables
            fmi2_variables += sum(each.count(b"<ScalarVariable") for each in uncounted)
            if not fmi2_variables:  # else some of these are what a variable has inside
                fmi3_variables += sum(len(FMI3_VARIABLE.findall(each)) for each in uncounted)
            uncounted.clear()
        if (fmi2_variables or fmi3_variables) > MAX_VARIABLES:
            raise Refused("too_many_variables", f"It has more than {MAX_VARIABLES} variables.")
        pieces.append(piece)
        before = piece[-OVERLAP:]
    yield from pieces


def _narrower(begin: bytes) -> Callable[[bytes], bytes]:
    """What makes pieces of a file that begins so countable: UTF-8 of UTF-16, where "<į" would look like "</"."""
    if not begin.startswith(UTF16):
        return lambda piece: piece
    little = begin.startswith((codecs.BOM_UTF16_LE, b"<\0"))
    decoder = codecs.getincrementaldecoder("utf-16-le" if little else "utf-16-be")("replace")
    return lambda piece: decoder.decode(piece).encode()


def _count_attributes(piece: bytes, before: int, name: str) -> int:
    """How many the element has with which the piece ends; `before` are those of its first one in the pieces before."""
    if _are_short(piece):
        return 0
    count = before
    for place, tag in enumerate(piece.split(b"<")):
        if place:
            count = 0
        if len(tag) > MAX_ATTRIBUTES:
            count += len(ATTRIBUTE.findall(tag))
        if count > MAX_ATTRIBUTES:
            raise Refused("description_too_large", f"{name} has more than {MAX_ATTRIBUTES} attributes in one element.")
    return count


def _are_short(piece: bytes) -> bool:
    """Whether no element has MAX_ATTRIBUTES bytes in it, and so as many attributes: 26 looks, where there are 4,000."""
    place, end = 0, len(piece)
    while end - place >= MAX_ATTRIBUTES:
        after = piece.rfind(b"<", place, place + MAX_ATTRIBUTES)
        if after <= place:
            return False
        place = after
    return place > 0


def _check_begin(piece: bytes, name: str) -> None:
    begin = piece.replace(b"\0", b"").lstrip(BYTE_ORDER_MARKS)
    if begin.lstrip()[:1] not in {b"<", b""}:  # as in EBCDIC, in which nothing could be counted
        raise Refused("broken_description", f"{name} does not begin as XML in UTF-8 does, or in UTF-16.")
    declaration, end, _ = begin.partition(b"?>")
    if not declaration.startswith(DECLARATION):
        return
    if not end:
        raise Refused("broken_description", f"{name} has an XML declaration without an end.")
    for encoding in DECLARED_ENCODING.findall(declaration):
        if encoding.decode().lower() not in ENCODINGS:
            raise Refused("broken_description", f"{name} is encoded in {encoding.decode()[:30]}; use UTF-8.")


def _too_many_elements(name: str) -> Refused:
    return Refused("description_too_large", f"{name} has more than {MAX_ELEMENTS} elements.")


def _document_type(name: str) -> Refused:
    return Refused("document_type", f"{name} declares a document type, which an FMU has no use for.")


class _Nobody:
    """Told nothing while lxml reads: that it is XML at all takes a tenth of the time then."""

    def close(self) -> None:
        """lxml calls this behind a refusal, too, and would forget it for one from here."""


class _Elements(_Nobody):
    """What lxml tells while it reads: nothing is kept of it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._depth = self._elements = 0
        self._words: set[str] = set()

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        self._elements += 1  # once more, as lxml counts them, whatever _pieces took for one
        if self._elements > MAX_ELEMENTS:
            raise _too_many_elements(self._name)
        self._words.add(tag)
        self._words.update(attributes)
        if len(self._words) > MAX_WORDS:
            text = f"{self._name} has more than {MAX_WORDS} different names of elements and attributes."
            raise Refused("description_too_large", text)
        if self._depth > MAX_DEPTH:
            raise Refused("description_too_deep", f"{self._name} is nested deeper than {MAX_DEPTH} elements.")

    def end(self, tag: str) -> None:
        self._depth -= 1

    def doctype(self, *_: str | None) -> None:
        raise _document_type(self._name)


class _Outline(_Elements):
    """The same of a model description, and what it says."""

    def __init__(self, name: str, plain: Plain) -> None:
        super().__init__(name)
        self.version = self._section = ""
        self.identifiers: set[str] = set()
        self._sections: set[str] = set()
        self._variables = Variables(plain)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        super().start(tag, attributes)
        if self._section == "ModelVariables" and self._depth > 2:  # first: nearly all of them
            if self._depth == 3:
                self._variables.begin(tag, attributes)
            elif self._depth == 4:
                self._variables.child(tag, attributes)
        elif self._section == "TypeDefinitions" and self._depth > 2:
            if self._depth < 5:
                self._variables.define(attributes, inside=self._depth == 4)
        elif self._depth == 1:
            self._root(tag, attributes)
        elif self._depth == 2:
            self._section = tag
            self._sections.add(tag)
            if tag in INTERFACES:
                self._interface(attributes)
            elif tag == "DefaultExperiment":
                _check_experiment(attributes)

    def end(self, tag: str) -> None:
        super().end(tag)
        if self._depth == 2 and self._section == "ModelVariables":
            self._variables.end()

    def check_whole(self) -> None:
        self._variables.check()
        if not self.identifiers:
            raise Refused("no_interface", "It offers neither co-simulation nor model exchange.")
        if "ModelVariables" not in self._sections:
            raise Refused("broken_description", f"{self._name} has no ModelVariables.")

    def forget(self) -> None:
        """The variables. A parser and its target hold each other until a search for garbage, which would free those of
        many descriptions in one go: 20 to 40 ms for every other thread."""
        del self._variables

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
        self.identifiers.add(identifier)


def _check_experiment(attributes: Mapping[str, str]) -> None:
    given = {}
    for key, text in attributes.items():
        try:
            given[key] = float(text)
        except ValueError:
            given[key] = math.nan
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
    if step is not None and start + step == start:
        raise Refused("bad_experiment", f"The default experiment's stepSize {step:g} vanishes beside {start:g} s.")
