"""Every kind of bad archive, description and binary is refused with its own code, and nothing of it stays."""

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import UPLOAD_REFUSALS
from gateway.simulation import description, intake
from gateway.simulation.intake import Refused

ROOT = Path(__file__).parents[3]
GOOD = ROOT / "gateway" / "simulation" / "shipped" / "msl" / "BouncingBall.fmu"
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


def described_as(content: bytes) -> bytes:
    return pack(entries() | {intake.DESCRIPTION: content}, compression=zipfile.ZIP_STORED)


def library(change: Callable[[bytes], bytes]) -> bytes:
    return pack({name: change(raw) if name.endswith(".so") else raw for name, raw in entries().items()})


def variables(count: int) -> str:
    return "".join(f'<Float64 name="n{i}" valueReference="{100 + i}"/>' for i in range(count)) + "</ModelVariables>"


ENTITY = '<!DOCTYPE x [<!ENTITY a "aaaa">]><fmiModelDescription'
EXTERNAL = '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><fmiModelDescription'
IDENTIFIER = 'modelIdentifier="BouncingBall"'
DEEP = "<Annotations>" + "<Clock>" * 40 + "</Clock>" * 40 + "</Annotations><ModelVariables>"
BUILD = "sources/buildDescription.xml"
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
        lambda: described_as(b"<x>" + bytes(range(32, 60)) * (intake.MAX_DESCRIPTION // 28 + 1)),
        lambda: described_as(b"<x>" + b"<y/>" * (2 * intake.MAX_ELEMENTS)),
    ],
    "document_type": [
        lambda: described("<fmiModelDescription", ENTITY),
        lambda: described("<fmiModelDescription", EXTERNAL),
        lambda: described_as(f'<?xml version="1.0" encoding="utf-16"?>{ENTITY}/>'.encode("utf-16")),
        lambda: described_as(f'<?xml version="1.0" encoding="utf-16"?>{ENTITY}/>'.encode("utf-16-be")),
        lambda: with_file(BUILD, f"{ENTITY}/>".encode()),
    ],
    "broken_description": [
        lambda: described("</fmiModelDescription>", ""),
        lambda: described("<fmiModelDescription", "<somethingElse"),
        lambda: described_as(b'<?xml version="1.0"?><html/>'),
        lambda: described_as(b""),
        lambda: described("<ModelVariables>", "<Variables>", "</ModelVariables>", "</Variables>"),
        lambda: described_as(b'<?xml version="1.0" encoding="utf-7"?>' + b"+ADwAIQ-DOCTYPE x+AD4-<x/>"),
        lambda: with_file(BUILD, b"<open>"),
    ],
    "description_too_deep": [lambda: described("<ModelVariables>", DEEP)],
    "unknown_fmi_version": [
        lambda new=f'fmiVersion="{version}"': described('fmiVersion="3.0"', new)  # type: ignore[misc]
        for version in ("1.0", "3.9", "2", "", "x" * 99)
    ],
    "bad_model_identifier": [
        lambda: described(IDENTIFIER, 'modelIdentifier="../../x"'),
        lambda: described(IDENTIFIER, 'modelIdentifier="a/b"'),
        lambda: described(IDENTIFIER, 'modelIdentifier="1x"'),
        lambda: described(IDENTIFIER, 'modelIdentifier=""'),
        lambda: described(IDENTIFIER, f'modelIdentifier="{"x" * 200}"'),
    ],
    "needs_tool": [lambda: described(IDENTIFIER, f'{IDENTIFIER} needsExecutionTool="true"')],
    "no_interface": [lambda: described("<CoSimulation", "<Other", "<ModelExchange", "<ScheduledExecution")],
    "too_many_variables": [lambda: described("</ModelVariables>", variables(intake.MAX_VARIABLES))],
    "bad_variable_name": [
        lambda: described('name="v"', 'name=""'),
        lambda: described('name="v"', 'name="a&#10;b"'),
        lambda: described('name="v"', f'name="{"x" * 1001}"'),
        lambda: described('name="v"', 'name="time"'),
    ],
    "duplicate_variable": [lambda: described('name="v"', 'name="h"')],
    "bad_experiment": [
        lambda: described('stopTime="3.0"', 'stopTime="nan"'),
        lambda: described('stopTime="3.0"', 'stopTime="inf"'),
        lambda: described('stopTime="3.0"', 'stopTime="1e999"'),
        lambda: described('stopTime="3.0"', 'stopTime="x"'),
        lambda: described('stopTime="3.0"', 'stopTime="-1"'),
        lambda: described('stepSize="0.01"', 'stepSize="0"'),
        lambda: described('startTime="0.0"', 'startTime="1"', 'stepSize="0.01"', 'stepSize="1e-300"'),
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
# These take a run, FMPy, or the store to find out: tests/integration/gateway/test_uploads.py.
LATER = {"upload_invalid", "missing_libraries", "invalid_fmu"} | {c for c in UPLOAD_REFUSALS if c.startswith("trial_")}


def test_every_code_that_intake_can_give_has_its_bad_files() -> None:
    assert CORPUS.keys() == UPLOAD_REFUSALS.keys() - LATER


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("code", "make"), CASES, ids=[code for code, _ in CASES])
def test_what_is_bad_is_refused_with_its_code_and_leaves_nothing(
    tmp_path: Path, code: str, make: Callable[[], bytes]
) -> None:
    file = tmp_path / "inside" / "x.fmu"
    file.parent.mkdir()
    file.write_bytes(make())
    with pytest.raises(Refused) as raised:
        intake.unpack(file, file.parent / "out")
    assert raised.value.code == code, raised.value
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["inside", "x.fmu"]
    assert 10 < len(str(raised.value)) < 400


def test_a_good_one_is_unpacked_whole(tmp_path: Path) -> None:
    intake.unpack(GOOD, tmp_path / "out")
    found = {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert found == entries()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("comment", [b"", b"packed by a tool", b"x" * 65_535])
def test_a_comment_at_the_end_of_the_archive_is_no_fault(tmp_path: Path, comment: bytes) -> None:
    raw = GOOD.read_bytes()
    (tmp_path / "x.fmu").write_bytes(raw[:-2] + struct.pack("<H", len(comment)) + comment)
    intake.unpack(tmp_path / "x.fmu", tmp_path / "out")


def test_an_array_of_any_number_of_elements_is_not_made(tmp_path: Path) -> None:
    array = '<Float64 name="w" valueReference="90" start="0"><Dimension start="1000000000000"/></Float64>'
    huge = described("</ModelVariables>", array + "</ModelVariables>")
    (tmp_path / "x.fmu").write_bytes(huge)
    intake.unpack(tmp_path / "x.fmu", tmp_path / "out")
    with pytest.raises(ValueError, match="elements"):
        description.read(tmp_path / "out", "a:b", "0" * 64)
