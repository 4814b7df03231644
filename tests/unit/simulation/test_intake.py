"""Bad archives, descriptions and binaries are refused with a sentence, and nothing of them stays on the disk."""

import io
import stat
import zipfile
from pathlib import Path

import pytest

from gateway.simulation import intake
from gateway.simulation.intake import Refused

ROOT = Path(__file__).parents[3]
GOOD = ROOT / "gateway" / "simulation" / "shipped" / "msl" / "BouncingBall.fmu"


def entries() -> dict[str, bytes]:
    with zipfile.ZipFile(GOOD) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def description(old: str, new: str) -> dict[str, bytes]:
    files = entries()
    text = files[intake.DESCRIPTION].decode()
    assert old in text
    return files | {intake.DESCRIPTION: text.replace(old, new, 1).encode()}


def library(change) -> dict[str, bytes]:
    files = entries()
    return files | {name: change(raw) for name, raw in files.items() if name.endswith(".so")}


def pack(tmp_path: Path, files: dict[str, bytes], *more: tuple[zipfile.ZipInfo, bytes]) -> Path:
    path = tmp_path / "x.fmu"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
        for info, raw in more:
            archive.writestr(info, raw)
    return path


def refusal(tmp_path: Path, file: Path) -> str:
    with pytest.raises(Refused) as raised:
        intake.unpack(file, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.fmu"]
    return str(raised.value)


def test_a_good_one_is_unpacked_whole(tmp_path):
    intake.unpack(GOOD, tmp_path / "out")
    found = {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert found == entries()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a\\b", "C:x", "a/" * 121])
def test_paths_that_lead_elsewhere_are_refused(tmp_path, name):
    assert "path" in refusal(tmp_path, pack(tmp_path, entries() | {name: b""}))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_special_files_are_refused(tmp_path, kind):
    info = zipfile.ZipInfo("resources/link")
    info.external_attr = (kind | 0o777) << 16
    assert "link" in refusal(tmp_path, pack(tmp_path, entries(), (info, b"/etc/passwd")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_file_twice_is_refused(tmp_path):
    file = pack(tmp_path, entries(), (zipfile.ZipInfo(intake.DESCRIPTION), b"<x/>"))
    assert "twice" in refusal(tmp_path, file)


def test_what_would_unpack_to_very_much_is_refused(tmp_path):
    assert "times its size" in refusal(tmp_path, pack(tmp_path, entries() | {"resources/bomb": bytes(8 << 20)}))


def test_too_many_files_are_refused(tmp_path):
    many = {f"resources/{i}": b"" for i in range(intake.MAX_ENTRIES)}
    assert "files" in refusal(tmp_path, pack(tmp_path, entries() | many))


def test_another_compression_is_refused(tmp_path):
    info = zipfile.ZipInfo("resources/x")
    info.compress_type = zipfile.ZIP_BZIP2
    assert "deflate" in refusal(tmp_path, pack(tmp_path, entries(), (info, b"x")))


def test_data_that_does_not_match_its_checksum_is_refused(tmp_path):
    file = pack(tmp_path, entries() | {"resources/x": b"abcdefgh" * 10})
    raw = bytearray(file.read_bytes())
    with zipfile.ZipFile(io.BytesIO(bytes(raw))) as archive:
        at = archive.getinfo("resources/x").header_offset + 30 + len("resources/x")
    raw[at] ^= 0xFF
    file.write_bytes(bytes(raw))
    refusal(tmp_path, file)


@pytest.mark.parametrize("raw", [b"", b"PK", b"no zip", GOOD.read_bytes()[:-30], GOOD.read_bytes()[100:]])
def test_what_is_no_archive_is_refused(tmp_path, raw):
    (tmp_path / "x.fmu").write_bytes(raw)
    refusal(tmp_path, tmp_path / "x.fmu")


ENTITY = '<!DOCTYPE x [<!ENTITY a "aaaa">]><fmiModelDescription'


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<fmiModelDescription", ENTITY, "document type"),
        ('fmiVersion="3.0"', 'fmiVersion="1.0"', "versions 2.0 and 3.0"),
        ('fmiVersion="3.0"', 'fmiVersion="3.9"', "versions 2.0 and 3.0"),
        ("</fmiModelDescription>", "", "no XML"),
        ("<fmiModelDescription", "<somethingElse", "no XML"),
        ('modelIdentifier="BouncingBall"', 'modelIdentifier="../../x"', "C identifier"),
        ('modelIdentifier="BouncingBall"', 'modelIdentifier="Other"', "has no binaries/"),
        ('modelIdentifier="BouncingBall"', 'modelIdentifier="BouncingBall" needsExecutionTool="true"', "stand-alone"),
        ('name="v"', 'name="h"', "twice"),
        ('name="v"', 'name=""', "empty"),
        ('name="v"', 'name="a&#10;b"', "printable"),
        ('name="v"', 'name="time"', "time"),
        ('stopTime="3.0"', 'stopTime="nan"', "stopTime"),
        ('stopTime="3.0"', 'stopTime="x"', "stopTime"),
        ('stepSize="0.01"', 'stepSize="0"', "stepSize"),
        ("<ModelVariables>", "<Nothing/><ModelVariables>" + "<Clock>" * 40 + "</Clock>" * 40, "nested"),
    ],
)
def test_descriptions_that_cannot_be_right_are_refused(tmp_path, old, new, says):
    assert says in refusal(tmp_path, pack(tmp_path, description(old, new)))


def test_an_archive_without_description_is_no_fmu(tmp_path):
    files = entries()
    del files[intake.DESCRIPTION]
    assert "no FMU" in refusal(tmp_path, pack(tmp_path, files))


def test_a_description_in_another_encoding_hides_no_document_type(tmp_path):
    text = '<?xml version="1.0" encoding="utf-16"?>' + ENTITY + "/>"
    assert "document type" in refusal(tmp_path, pack(tmp_path, entries() | {intake.DESCRIPTION: text.encode("utf-16")}))


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: b"a text file of 38 bytes, not a library",
        lambda raw: raw[:4] + b"\x01" + raw[5:],  # 32 bits
        lambda raw: raw[:5] + b"\x02" + raw[6:],  # big-endian
        lambda raw: raw[:16] + b"\x02" + raw[17:],  # an executable
        lambda raw: raw[:18] + b"\x08" + raw[19:],  # another machine
        lambda raw: b"",
    ],
)
def test_a_library_for_another_machine_or_none_is_refused(tmp_path, change):
    assert "64-bit shared library" in refusal(tmp_path, pack(tmp_path, library(change)))
