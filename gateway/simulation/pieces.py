"""Pieces: the bytes of a description, looked through before anything parses them.

To look and count is much faster than to parse, so what is too large for a parser, or declares what no FMU has a use
for, never meets one.
"""

import codecs
import re
from collections.abc import Callable
from typing import IO

from gateway.simulation.variables import FMI3_TYPES, MAX_VARIABLES, Refused

MAX_DESCRIPTION = 16 << 20  # bytes of modelDescription.xml
MAX_ELEMENTS = 100_000  # of it: FMPy makes a tree of them, which takes 14 ms to free. 20,000 variables have 40,000
MAX_ATTRIBUTES = 10_000  # of one element, which is parsed in one go: 900,000 take 310 ms. FMI has some 20
MAX_TEXT = (
    2 << 20
)  # bytes from one "<" to the next: FMPy splits a list of so many in 9 ms, and lets nobody in meanwhile
PIECE = 256 << 10  # bytes that are looked at in one go, which takes 2 ms
FMI3_VARIABLE = re.compile(b"<(?:%s)[ \\n\\r\\t]" % "|".join(sorted(FMI3_TYPES)).encode())
ENCODINGS = ("utf-8", "utf-16", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252")  # a DOCTYPE is seen in these
DECLARATION = b"<?xml"
DECLARED_ENCODING = re.compile(rb"""encoding\s*=\s*["']([A-Za-z0-9._-]+)""")
ATTRIBUTE = re.compile(rb"""=\s*["']""")
BYTE_ORDER_MARKS = codecs.BOM_UTF8 + codecs.BOM_UTF16
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"<\0?\0", b"\0<\0?")  # how it begins where libxml2 reads it
FORBIDDEN = (b"<!DOCTYPE", b"<!ENTITY")
OVERLAP = max(map(len, FORBIDDEN)) * 2  # bytes; twice for UTF-16


def look_through(file: IO[bytes], name: str) -> list[bytes]:
    """All of the file, in pieces, after nothing was seen in it that is refused. `name` is what to call it."""
    pieces: list[bytes] = []
    size, before = 0, b""
    counts = _Counts(name)
    while piece := file.read(PIECE):
        size += len(piece)
        if size > MAX_DESCRIPTION:
            raise Refused("description_too_large", f"{name} is larger than {MAX_DESCRIPTION >> 20} MiB.")
        plain = (before + piece).replace(b"\0", b"")  # UTF-16 as well
        if b"!" in plain and any(word in plain for word in FORBIDDEN):  # a single character is found sooner
            raise document_type(name)
        if not pieces:
            _check_begin(piece, name)
            narrow = _narrower(piece)
        new = narrow(piece)
        if b"\0" in new:  # also of UTF-32, in which nothing could be counted
            raise Refused("broken_description", f"{name} is neither UTF-8 nor UTF-16: it has characters that are none.")
        counts.add(new)
        pieces.append(piece)
        before = piece[-OVERLAP:]
    return pieces


def too_many_elements(name: str) -> Refused:
    return Refused("description_too_large", f"{name} has more than {MAX_ELEMENTS} elements.")


def document_type(name: str) -> Refused:
    return Refused("document_type", f"{name} declares a document type, which an FMU has no use for.")


class _Counts:
    """How much there was in the pieces so far; Refused once it is too much."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._elements = self._attributes = self._fmi2_variables = self._fmi3_variables = self._since = 0
        self._unended: list[bytes] = []  # pieces whose ends of elements were not counted yet
        self._uncounted: list[bytes] = []  # those whose variables were not

    def add(self, piece: bytes) -> None:
        self._count_elements(piece)
        self._count_attributes(piece)
        self._count_variables(piece)
        self._measure_text(piece)

    def _count_elements(self, piece: bytes) -> None:
        self._elements += piece.count(b"<")
        self._unended.append(piece)
        if self._elements > MAX_ELEMENTS:  # before, it does not matter that their ends are among them
            self._elements -= sum(each.count(b"</") for each in self._unended)
            self._unended.clear()
        if self._elements > MAX_ELEMENTS:
            raise too_many_elements(self._name)

    def _count_attributes(self, piece: bytes) -> None:
        """Of the element with which the piece ends; of its first one, some may have been in the pieces before."""
        if _are_short(piece):
            self._attributes = 0
            return
        for place, tag in enumerate(piece.split(b"<")):
            if place:
                self._attributes = 0
            if len(tag) > MAX_ATTRIBUTES:
                self._attributes += len(ATTRIBUTE.findall(tag))
            if self._attributes > MAX_ATTRIBUTES:
                text = f"{self._name} has more than {MAX_ATTRIBUTES} attributes in one element."
                raise Refused("description_too_large", text)

    def _count_variables(self, piece: bytes) -> None:
        self._uncounted.append(piece)
        if self._elements > MAX_VARIABLES:  # before, there are no more variables
            self._fmi2_variables += sum(each.count(b"<ScalarVariable") for each in self._uncounted)
            if not self._fmi2_variables:  # else some of these are what a variable has inside
                self._fmi3_variables += sum(len(FMI3_VARIABLE.findall(each)) for each in self._uncounted)
            self._uncounted.clear()
        if (self._fmi2_variables or self._fmi3_variables) > MAX_VARIABLES:
            raise Refused("too_many_variables", f"It has more than {MAX_VARIABLES} variables.")

    def _measure_text(self, piece: bytes) -> None:
        """From one "<" to the next there is one tag with its attributes, and the text behind it."""
        first = piece.find(b"<")
        if self._since + (len(piece) if first < 0 else first) > MAX_TEXT:
            text = f"{self._name} has an element with more than {MAX_TEXT >> 20} MiB of attributes and text."
            raise Refused("description_too_large", text)
        self._since = self._since + len(piece) if first < 0 else len(piece) - piece.rfind(b"<")


def _narrower(begin: bytes) -> Callable[[bytes], bytes]:
    """What makes pieces of a file that begins so countable: UTF-8 of UTF-16, where "<į" would look like "</"."""
    if not begin.startswith(UTF16):
        return lambda piece: piece
    little = begin.startswith((codecs.BOM_UTF16_LE, b"<\0"))
    decoder = codecs.getincrementaldecoder("utf-16-le" if little else "utf-16-be")("replace")
    return lambda piece: decoder.decode(piece).encode()


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
