"""Plain: the variables of a description with which nothing can be wrong, found by a search instead of by parsing.

Nearly all variables of a large description are of that kind. The search takes a tenth of the time in which they are
parsed and checked, so what is wrong with the last of 20,000 is known soon. All that is not plain is left to markup.py.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Iterable

from gateway.simulation.variables import CAUSALITIES, FMI2_TYPES, FMI3_TYPES, MAX_NAME, NUMBERS, VARIABILITIES, Plain

DECLARATION = re.compile(rb"<\?xml[ \t\r\n]")  # <?xml-stylesheet is something else
PART = 32 << 10  # bytes that are searched in one go: 1 ms, or 5 of what is made to be slow
SEARCHED = 5 << 20  # bytes of a description; where it is made to be slow, a search of three times as many takes 50 ms
LOOK = 4 * PART  # if nothing is plain in so much, the rest is not searched
MOSTLY = 0.9  # of the variables' text: with so much left, all of it is parsed once instead of nearly all of it twice


def _any(words: Iterable[str | None]) -> str:
    return "|".join(sorted(filter(None, words)))


def _by_number(types: set[str]) -> list[str]:
    """Those that are floating-point numbers, integers, neither."""
    return [_any(t for t in types if NUMBERS.get(t) is number) for number in (float, int, None)]


def _inside(types: str, value: str) -> str:
    """What stands inside a variable of FMI 2.0."""
    return rf"""(?:{types}) (?:\s++(?:start="{value}"|{BOUNDS}|{ANY}))*+"""


# Each repetition takes what it can for good: where nothing matches, that is known as soon as where something does.
FLOAT = r"[-+]?+\d++(?:\.\d*+)?+(?:[eE][-+]?+\d++)?+"
INTEGER = r"[-+]?+\d{1,20}+"  # Python reads none of more than 4,300 digits
TEXT = r"""[^"<&]*+(?:&(?:amp|lt|gt|quot|apos|\#\d{1,7}+|\#x[0-9a-fA-F]{1,6}+);[^"<&]*+)*+"""
ANY = rf"""(?:description|declaredType|unit|displayUnit|initial|quantity|nominal|derivative|reinit|relativeQuantity
    |unbounded|previous|clocks|intermediateUpdate|canHandleMultipleSetPerTimeInstant)="{TEXT}" """
BOUNDS = rf"""(?:min|max)="{FLOAT}" """
WHO = rf"""name="(?!time")(?P<name>[\x20!\#-%'-;=-~]{{1,{MAX_NAME}}}+)"
    | valueReference="(?P<reference>0|[1-9]\d{{0,8}}|[1-3]\d{{9}})"  # what is larger, as MAX_REFERENCE is, is not plain
    | causality="(?:{_any(CAUSALITIES)})" | variability="(?:{_any(VARIABILITIES)})" """
BOTH = "(?(name)|(?!)) (?(reference)|(?!))"  # are there
TYPED = "|".join(map(_inside, _by_number(FMI2_TYPES), (FLOAT, INTEGER, TEXT)))  # a group for each would cost a fifth
NOTES = rf"""(?:<Annotations\s*+>\s*+
    (?:<(?:Tool|Annotation)(?:\s++(?:name|type)="{TEXT}")*+\s*+(?:/>|>{TEXT}</(?:Tool|Annotation)\s*+>)\s*+)*+
    </Annotations\s*+>\s*+)?+"""
FMI2 = rf"""<ScalarVariable (?:\s++(?:{WHO}|{ANY}))*+ \s*+> {BOTH} \s*+
    <(?:{TYPED}) \s*+/> \s*+ {NOTES} </ScalarVariable\s*+>"""
KIND = "(?P<kind>(?P<float>{})|(?P<integer>{})|{})".format(*_by_number(FMI3_TYPES))
VALUE = rf"""start="(?(float){FLOAT}|(?(integer){INTEGER}|{TEXT}))
    (?P<more>(?:\s++(?(float){FLOAT}|(?(integer){INTEGER}|(?!))))++)?+" """
SIZES = r"""(?P<sizes>(?:<Dimension\s++start="\d{1,20}+"\s*+/>\s*+)++)?+"""
FMI3 = rf"""<{KIND} (?:\s++(?:{WHO}|{ANY}|{VALUE}|{BOUNDS}))*+ \s*+ {BOTH}
    (?:/> (?(more)(?!)) | >\s*+ {NOTES} {SIZES} {NOTES} (?(more)(?(sizes)|(?!))) </(?P=kind)\s*+>)"""
PLAIN2, PLAIN3 = re.compile(FMI2, re.VERBOSE | re.ASCII), re.compile(FMI3, re.VERBOSE | re.ASCII)


def sift(raw: bytes) -> tuple[bytes, Plain]:
    """A description without its plain variables and its comments, and what these variables are. As it is, where a tag
    could be anything else than an element of ModelVariables, or hardly any variable is plain, or it is very long."""
    text = _without_comments(raw) if len(raw) <= SEARCHED else None
    if text is None:
        return raw, Plain()
    begins = raw[:8].lstrip(BOM_UTF8)
    begin = text.find(b"<ModelVariables")
    end = text.rfind(b"</ModelVariables", max(begin, 0))
    if begin < 0 or end < 0 or b"\0" in text or not begins.startswith(b"<"):  # UTF-16; blanks first
        return raw, Plain()
    left, plain = _sift(text, begin, end, is_fmi2=text.find(b'fmiVersion="2', 0, begin) >= 0)
    if len(left) > MOSTLY * (end - begin):
        return raw, Plain()
    rest = b"".join((text[:begin], left, text[end:]))
    # None of these was in what is plain, which has no "<" but at the begin of its tags. Nor behind a comment that was
    # none: it seems to begin in CDATA, or in a processing instruction, of which the XML declaration is none.
    declared = DECLARATION.match(begins) is not None
    if rest.count(b"<![") or rest.count(b"<?") > declared or left.count(b"<Annotation"):
        return raw, Plain()
    if rest.count(b"<ModelVariables") > 1 or rest.count(b"</ModelVariables") > 1:
        return raw, Plain()
    return rest, plain


def _without_comments(raw: bytes) -> bytes | None:
    """None if one seems to begin before another one has ended: in XML no comment has "--" inside, but "<!--<!-->" is
    one."""
    rest, *comments = raw.split(b"<!--")
    if not comments:
        return raw
    if not all(comment.count(b"-->") for comment in comments):
        return None
    return b" ".join((rest, *(comment.partition(b"-->")[2] for comment in comments)))


def _sift(text: bytes, begin: int, end: int, *, is_fmi2: bool) -> tuple[bytes, Plain]:
    pattern = PLAIN2 if is_fmi2 else PLAIN3
    left: list[str] = []
    found: dict[str, list[str]] = {group: [] for group in ("name", "reference", "kind", "sizes")}
    enough = begin + LOOK
    while begin < end and (found["name"] or begin < enough):
        after = _part_end(text, begin, end)
        part = text[begin:after].decode("latin-1")  # a character each byte: what matters is ASCII in all encodings
        pieces = [part] if len(part) > PART else pattern.split(part)
        left += pieces[:: pattern.groups + 1]
        for group in found.keys() & pattern.groupindex.keys():
            found[group] += pieces[pattern.groupindex[group] :: pattern.groups + 1]
        begin = after
    left.append(text[begin:end].decode("latin-1"))
    # Blanks, since "]]" and ">" with nothing between them would be no XML.
    return " ".join(left).encode("latin-1"), Plain(is_fmi2, *found.values())


def _part_end(text: bytes, begin: int, end: int) -> int:
    """Where a variable begins, behind as much as a search may go through in one go, since it lets no other thread run;
    or behind more, to be left."""
    if begin + PART >= end:
        return end
    last = text.rfind(b"valueReference", begin + 1, begin + PART)  # inside a plain one nothing else has it
    after = text.rfind(b"<", begin + 1, max(last, begin))
    if after < 0:
        after = text.find(b"<", begin + PART, end)
    return after if after >= 0 else end
