"""Bad uploads: archives, descriptions and binaries of every kind that is refused without running them.

Longer than other files: the table reads better whole.
"""

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gateway.simulation import intake, markup, pieces
from gateway.simulation.variables import MAX_VARIABLES

GOOD = Path(__file__).parents[1] / "gateway" / "simulation" / "shipped" / "msl" / "BouncingBall.fmu"
GOOD2 = GOOD.with_name("DCMotor.fmu")
Files = dict[str, bytes]
Member = tuple[zipfile.ZipInfo, bytes]


def entries() -> Files:
    with zipfile.ZipFile(GOOD) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def pack(files: Files, *more: Member, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for info, content in more:
            archive.writestr(info, content)
    return raw.getvalue()


def with_file(name: str, content: bytes = b"") -> bytes:
    return pack(entries() | {name: content})


def member(name: str = "resources/x", kind: int = stat.S_IFREG, compression: int = zipfile.ZIP_DEFLATED) -> Member:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o644) << 16
    info.compress_type = compression
    return info, b"x"


def nameless() -> Member:
    info, content = member()
    info.filename = ""
    return info, content


def patched(at: str, offset: int, value: bytes, raw: bytes | None = None) -> bytes:
    """The good archive with bytes of its end record ("end") or first index entry ("index") overwritten."""
    raw = raw or GOOD.read_bytes()
    begin = (raw.rindex(b"PK\5\6") if at == "end" else raw.index(b"PK\1\2")) + offset
    return raw[:begin] + value + raw[begin + len(value) :]


def with_zip64_locator() -> bytes:
    raw = GOOD.read_bytes()
    end = raw.rindex(b"PK\5\6")
    return raw[:end] + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1) + raw[end:]


def hidden_crowd() -> bytes:
    """An end record that promises one file over an index of many."""
    raw = pack({f"resources/{i}": b"" for i in range(intake.MAX_ENTRIES + 1)})
    return patched("end", 8, struct.pack("<2H", 1, 1), raw)


def damaged() -> bytes:
    raw = bytearray(with_file("resources/x", b"abcdefgh" * 10))
    with zipfile.ZipFile(io.BytesIO(bytes(raw))) as archive:
        at = archive.getinfo("resources/x").header_offset + 30 + len("resources/x")
    raw[at] ^= 0xFF
    return bytes(raw)


def described(*changes: str) -> bytes:
    """With each old text of the description replaced by the new one after it."""
    files = entries()
    text = files[intake.DESCRIPTION].decode()
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in text
        text = text.replace(old, new, 1)
    return pack(files | {intake.DESCRIPTION: text.encode()})


def described2(old: str, new: str) -> bytes:
    """The same of an FMI 2.0 one."""
    with zipfile.ZipFile(GOOD2) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    text = files[intake.DESCRIPTION].decode()
    assert old in text
    return pack(files | {intake.DESCRIPTION: text.replace(old, new, 1).encode()})


def described_as(content: bytes) -> bytes:
    return pack(entries() | {intake.DESCRIPTION: content}, compression=zipfile.ZIP_STORED)


def hidden() -> bytes:
    """A bad description that looks as if it were a comment, and a good one in CDATA that looks as if it were none."""
    good = entries()[intake.DESCRIPTION].decode().partition("?>")[2]
    bad, _, _ = good.replace(IDENTIFIER, 'modelIdentifier="../../x"').rpartition("</fmiModelDescription>")
    text = f"<?xml-stylesheet <!-- ?>{bad}<![CDATA[ --> ?>{good.strip()}<!-- ]]></fmiModelDescription>"
    return described_as(text.encode())


def library(change: Callable[[bytes], bytes]) -> bytes:
    return pack({name: change(raw) if name.endswith(".so") else raw for name, raw in entries().items()})


def variables(count: int, last: str = "") -> str:
    many = "".join(f'<Float64 name="n{i}" valueReference="{100 + i}"/>' for i in range(count))
    return f"{many}{last}</ModelVariables>"


def with_types(types: str) -> tuple[str, str]:
    return "<ModelVariables>", f"<TypeDefinitions>{types}</TypeDefinitions><ModelVariables>"


def attributes(count: int, length: int = 1) -> str:
    return " ".join(f'a{i}="{"x" * length}"' for i in range(count))


def many_attributes(encoding: str) -> bytes:
    return with_file(BUILD, f"<x {attributes(40_000)}/>".encode(encoding))


def utf16(text: str) -> bytes:
    return f'<?xml version="1.0" encoding="utf-16"?>{text}'.encode("utf-16")


UTF7 = b"+ADwAIQ-DOCTYPE x+AD4-<x/>"
ENTITY = '<!DOCTYPE x [<!ENTITY a "aaaa">]><fmiModelDescription'
EXTERNAL = '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><fmiModelDescription'
ARRAY = '<Float64 name="w" valueReference="90" start="0"><Dimension start="2"/>'
SAME = '<Float64 name="w" valueReference="{}"><Dimension start="3"/></Float64></ModelVariables>'
H = '<Float64 name="h" valueReference="99"/>'
OTHER = ARRAY.replace('"w"', '"x"').replace('"2"', '"3"')
NO_INTERFACE = ("<CoSimulation", "<Other", "<ModelExchange", "<ScheduledExecution")
IDENTIFIER = 'modelIdentifier="BouncingBall"'
TWO = '<Float64 name="w" valueReference="99" start="0"><Dimension start="2"/>'
DEEP = "<Annotations>" + "<Clock>" * 40 + "</Clock>" * 40 + "</Annotations><ModelVariables>"
BUILD = "sources/buildDescription.xml"
ODD_STEPS = ("0", "-1", "inf", "nan", "x", "")
TEXT = b"a text file of 38 bytes, not a library"

CORPUS: dict[str, list[Callable[[], bytes]]] = {
    "not_an_archive": [
        lambda: b"",
        lambda: b"PK",
        lambda: b"no zip",
        lambda: GOOD.read_bytes()[:-30],
        lambda: GOOD.read_bytes()[100:],
        lambda: patched("index", 0, b"XX\1\2"),
        lambda: patched("end", 12, struct.pack("<L", 1 << 31)),
        with_zip64_locator,
        damaged,
        lambda: patched("index", 24, struct.pack("<L", 1)),  # says that its content is one byte long
    ],
    "too_many_files": [
        lambda: pack(entries() | {f"resources/{i}": b"" for i in range(intake.MAX_ENTRIES)}),
        lambda: patched("end", 8, struct.pack("<2H", 65_535, 65_535)),
        hidden_crowd,
    ],
    "unsafe_path": [
        lambda: with_file("/etc/x"),
        lambda: with_file("../x"),
        lambda: with_file("a/../../x"),
        lambda: with_file("a\\b"),
        lambda: with_file("C:x"),
        lambda: with_file("resources/nul_x").replace(b"nul_x", b"nul\0x"),
        lambda: pack(entries(), nameless()),
    ],
    "path_too_long": [lambda: with_file("a/" * 121), lambda: with_file("é" * 121)],
    "duplicate_file": [
        lambda: pack(entries(), (zipfile.ZipInfo(intake.DESCRIPTION), b"<x/>")),
        lambda: with_file(f"./{intake.DESCRIPTION}", b"<x/>"),
        lambda: pack({"resources/x": b"", **entries(), "resources": b""}),
        lambda: pack({"resources": b"a file", **entries(), "resources/x": b""}),
    ],
    "special_file": [
        lambda kind=kind: pack(entries(), member("resources/link", kind))  # type: ignore[misc]
        for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
    ],
    "encrypted_file": [lambda: patched("index", 8, b"\1\0")],
    "unknown_compression": [
        lambda: pack(entries(), member(compression=zipfile.ZIP_BZIP2)),
        lambda: pack(entries(), member(compression=zipfile.ZIP_LZMA)),
        lambda: patched("index", 10, b"\x63\0"),
    ],
    "compression_ratio": [lambda: with_file("resources/bomb", bytes(8 << 20))],
    "unpacked_too_large": [lambda: patched("index", 20, struct.pack("<2L", 64 << 20, intake.MAX_UNPACKED + 1))],
    "no_description": [
        lambda: pack({name: raw for name, raw in entries().items() if name != intake.DESCRIPTION}),
        lambda: pack({f"BouncingBall/{name}": raw for name, raw in entries().items()}),
    ],
    "description_too_large": [
        lambda: described_as(b"<x>" + bytes(range(32, 60)) * (pieces.MAX_DESCRIPTION // 28 + 1)),
        lambda: described_as(b"<x>" + b"<y/>" * pieces.MAX_ELEMENTS),
        lambda: pack(entries() | {BUILD: bytes(pieces.MAX_DESCRIPTION + 1)}, compression=zipfile.ZIP_STORED),
        lambda: with_file(BUILD, utf16("<x>" + "<į/>" * (pieces.MAX_ELEMENTS + 1) + "</x>")),  # bytes like "</"
        lambda: described("<ModelVariables>", f"<ModelVariables {attributes(pieces.MAX_ATTRIBUTES + 1)}>"),
        lambda: with_file(BUILD, f"<x>{''.join(f'<x{i}/>' for i in range(markup.MAX_WORDS))}</x>".encode()),
        lambda: with_file(BUILD, f"<x {attributes(markup.MAX_WORDS)}/>".encode()),
        lambda: described_as(f"<x a='{'x' * pieces.MAX_TEXT}'/>".encode()),
        lambda: described_as(b"<x>" + b"&amp;" * (pieces.MAX_TEXT // 5 + 1) + b"</x>"),
        # Over several pieces, after one that looks like its end.
        lambda: described("<ModelVariables>", f"<ModelVariables a='>' {attributes(pieces.MAX_ATTRIBUTES + 1, 60)}>"),
    ],
    "document_type": [
        lambda: described("<fmiModelDescription", ENTITY),
        lambda: described("<fmiModelDescription", EXTERNAL),
        lambda: described_as(f'<?xml version="1.0" encoding="utf-16"?>{ENTITY}/>'.encode("utf-16")),
        lambda: described_as(f'<?xml version="1.0" encoding="utf-16"?>{ENTITY}/>'.encode("utf-16-be")),
        lambda: with_file(BUILD, f"{ENTITY}/>".encode()),
        lambda: described_as(b" " * (pieces.PIECE - 5) + f"{ENTITY}/>".encode()),  # from one piece into the next
        lambda: described_as(b"<?xml version='1.0'?>" + b"<!--x-->" * 9 + b"<!DOCTYPE\nfmiModelDescription><x/>"),
    ],
    "broken_description": [
        lambda: described("</fmiModelDescription>", ""),
        lambda: described("<fmiModelDescription", "<somethingElse"),
        lambda: described_as(b'<?xml version="1.0"?><html/>'),
        lambda: described_as(b""),
        lambda: described("<ModelVariables>", "<Variables>", "</ModelVariables>", "</Variables>"),
        lambda: described_as(b'<?xml version="1.0" encoding="utf-7"?>' + UTF7),
        lambda: with_file(BUILD, b"<open>"),
        lambda: described_as(f'<?xml version="1.0"{" " * 120}encoding="utf-7"?>'.encode() + UTF7),
        lambda: described_as(f'<?xml version="1.0"{" " * pieces.PIECE}encoding="utf-7"?>'.encode() + UTF7),
        lambda: with_file(BUILD, "<?xml version='1.0' encoding='cp037'?><x/>".encode("cp037")),
        lambda: with_file(BUILD, f"<x>{'<y/>' * (pieces.MAX_ELEMENTS + 1)}</x>".encode("cp037")),
        *(partial(many_attributes, encoding) for encoding in ("utf-32", "utf-32-le", "utf-32-be")),
        lambda: with_file(BUILD, f"<!--\0--><x {attributes(40_000)}/>".encode()),
    ],
    "description_too_deep": [lambda: described("<ModelVariables>", DEEP)],
    "unknown_fmi_version": [
        lambda new=f'fmiVersion="{version}"': described('fmiVersion="3.0"', new)  # type: ignore[misc]
        for version in ("1.0", "2.0.1", "2.0-RC1", "3.9", "2", "", "x" * 99)
    ],
    "bad_model_identifier": [
        lambda: described(IDENTIFIER, 'modelIdentifier="../../x"'),
        lambda: described(IDENTIFIER, 'modelIdentifier="a/b"'),
        lambda: described(IDENTIFIER, 'modelIdentifier="1x"'),
        lambda: described(IDENTIFIER, 'modelIdentifier=""'),
        lambda: described(IDENTIFIER, f'modelIdentifier="{"x" * 200}"'),
        hidden,
        # FMPy believes the last of several.
        lambda: described("<ModelVariables>", '<CoSimulation modelIdentifier="../../x"/><ModelVariables>'),
    ],
    "needs_tool": [lambda: described(IDENTIFIER, f'{IDENTIFIER} needsExecutionTool="true"')],
    "no_interface": [lambda: described(*NO_INTERFACE)],
    "too_many_variables": [lambda: described("</ModelVariables>", variables(MAX_VARIABLES))],
    "bad_variable_name": [
        lambda: described('name="v"', 'name=""'),
        lambda: described('name="v"', 'name="a&#10;b"'),
        lambda: described('name="v"', f'name="{"x" * 1001}"'),
        lambda: described('name="v"', 'name="time"'),
        lambda: described("</ModelVariables>", f'{ARRAY}<Alias name="time"/></Float64></ModelVariables>'),
    ],
    "duplicate_variable": [
        lambda: described('name="v"', 'name="h"'),
        lambda: described("</ModelVariables>", f'{ARRAY}<Alias name="h"/></Float64></ModelVariables>'),
        lambda: described('name="v"', "hint='name=\"w\"' name = 'h'"),
        lambda: described2('name="tau"', 'name="w"'),
        # Between two comments, of which a search could take the first one for two.
        lambda: described("</ModelVariables>", f"<!--<!-->{H}<!-- --></ModelVariables>"),
    ],
    "invalid_fmu": [
        lambda: described('causality="output"', 'causality="result"'),
        lambda: described('variability="fixed"', 'variability="smooth"'),
        lambda: described("</ModelVariables>", '<Real name="w" valueReference="90"/></ModelVariables>'),
        lambda: described("</ModelVariables>", f"{ARRAY}</Float64>{OTHER}</Float64></ModelVariables>"),
        lambda: described("</ModelVariables>", '<Float64 name="w"/></ModelVariables>'),
        lambda: described("</ModelVariables>", '<Float64 name="w" valueReference="-1"/></ModelVariables>'),
        lambda: described("</ModelVariables>", f'<Float64 name="w" valueReference="{1 << 32}"/></ModelVariables>'),
        lambda: described("</ModelVariables>", f'<Float64 name="w" valueReference="{"9" * 5_000}"/></ModelVariables>'),
        lambda: described("</ModelVariables>", f"{TWO.replace('2', '9' * 4_000)}</Float64></ModelVariables>"),
        # The value reference of another one, whose size it has not; written otherwise, it is the same number.
        *(partial(described, "</ModelVariables>", SAME.format(number)) for number in ("3", "03", "&#x0663;")),
        lambda: described2("<Real", "<Annotations/><Other"),
        lambda: described('start="0.7"', 'start="much"'),
        lambda: described('start="0.7"', 'start="0.7 0.8"'),
        lambda: described('start="0.7"', 'start=""'),
        lambda: described('min="0.0"', 'min="low"'),
        lambda: described('max="1.0"', 'max="high"'),
        lambda: described("</ModelVariables>", f"{TWO.replace('0', '1 x')}</Float64></ModelVariables>"),
        lambda: described("</ModelVariables>", f"{TWO.replace('2', 'two')}</Float64></ModelVariables>"),
        lambda: described("</ModelVariables>", '<Int32 name="w" valueReference="90" start="1.5"/></ModelVariables>'),
        lambda: described2('start="', 'start="x'),
        lambda: described(*with_types('<Float64Type name="T" min="low"/><Int8Type name="U" max="0"/>')),
        lambda: described(*with_types('<Int8Type name="U" max="0"/><Float64Type name="T" max="high"/>')),
        lambda: described2(*with_types('<SimpleType name="T"><Real min="low"/></SimpleType>')),
        lambda: described2(*with_types('<SimpleType name="T"><Integer max="high"/></SimpleType>')),
    ],
    "bad_experiment": [
        lambda: described('stopTime="3.0"', 'stopTime="nan"'),
        lambda: described('stopTime="3.0"', 'stopTime="inf"'),
        lambda: described('stopTime="3.0"', 'stopTime="1e999"'),
        lambda: described('stopTime="3.0"', 'stopTime="x"'),
        lambda: described('stopTime="3.0"', 'stopTime="-1"'),
        lambda: described('stepSize="0.01"', 'stepSize="0"'),
        lambda: described('stepSize="0.01"', 'tolerance="0"'),
        lambda: described('stepSize="0.01"', 'tolerance="0.011"'),
        lambda: described('startTime="0.0"', 'startTime="1"', 'stepSize="0.01"', 'stepSize="1e-300"'),
        lambda: described('stopTime="3.0"', 'stopTime="5e-324"', 'stepSize="0.01"', ""),
        lambda: described('startTime="0.0"', 'startTime="-1.7e308"', 'stopTime="3.0"', 'stopTime="1.7e308"'),
        *(partial(described, IDENTIFIER, f'{IDENTIFIER} fixedInternalStepSize="{step}"') for step in ODD_STEPS),
    ],
    "no_binary": [
        lambda: described(IDENTIFIER, 'modelIdentifier="Other"'),
        lambda: pack({name.replace("-linux/", "-windows/"): raw for name, raw in entries().items()}),
    ],
    "bad_binary": [
        lambda: library(lambda raw: TEXT),
        lambda: library(lambda raw: raw[:4] + b"\x01" + raw[5:]),  # 32 bits
        lambda: library(lambda raw: raw[:5] + b"\x02" + raw[6:]),  # big-endian
        lambda: library(lambda raw: raw[:16] + b"\x02" + raw[17:]),  # an executable
        lambda: library(lambda raw: raw[:18] + b"\x08" + raw[19:]),  # another machine
        lambda: library(lambda raw: b""),
    ],
}  # fmt: skip
CASES = [(code, make) for code, makes in CORPUS.items() for make in makes]
