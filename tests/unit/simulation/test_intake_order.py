"""Of two faults the one is told that comes first in docs/operations.md, wherever in the file they stand."""

import io
import stat
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
from bad_uploads import ENTITY, IDENTIFIER, Files, described, entries, library, pack, variables, with_types

from gateway.simulation import intake, pieces
from gateway.simulation.intake import Refused
from gateway.simulation.variables import MAX_VARIABLES

ARCHIVE = [
    *("too_many_files", "unsafe_path", "path_too_long", "special_file", "duplicate_file", "encrypted_file"),
    *("unknown_compression", "unpacked_too_large", "compression_ratio"),
]
VARIABLES, DEFAULT = "</ModelVariables>", 'stopTime="3.0"'
VERSION = ('fmiVersion="3.0"', 'fmiVersion="1.0"')
MANY = (VARIABLES, variables(MAX_VARIABLES))
BAD_IDENTIFIER = (IDENTIFIER, 'modelIdentifier="a/b"')
TOOL = (IDENTIFIER, f'{IDENTIFIER} needsExecutionTool="true"')
NEVER = (DEFAULT, 'stopTime="nan"')
NO_INTERFACE = ("<CoSimulation", "<Other", "<ModelExchange", "<Another")
REFERENCE = ('valueReference="1"', 'valueReference="-1"')
UTF7 = ('encoding="UTF-8"', 'encoding="utf-7"')


def told(raw: bytes, folder: Path) -> str:
    file = folder / "x.fmu"
    file.write_bytes(raw)
    with pytest.raises(Refused) as raised:
        intake.unpack(file, folder / "out")
    return raised.value.code


def add_fault(archive: zipfile.ZipFile, code: str) -> None:
    """A file, or several, of which that is wrong. What is written of it at the end is its entry in the index."""
    names = {"unsafe_path": "../x", "path_too_long": "a/" * 121 + "x"}
    info = zipfile.ZipInfo(names.get(code, f"resources/{code}"))
    info.compress_type = zipfile.ZIP_BZIP2 if code == "unknown_compression" else zipfile.ZIP_DEFLATED
    info.external_attr = ((stat.S_IFLNK if code == "special_file" else stat.S_IFREG) | 0o644) << 16
    archive.writestr(info, bytes(8 << 20) if code == "compression_ratio" else b"x")
    if code == "duplicate_file":
        archive.writestr(f"resources/{code}", b"x")
    if code == "encrypted_file":
        info.flag_bits |= 1
    if code == "unpacked_too_large":
        info.compress_size, info.file_size = 64 << 20, intake.MAX_UNPACKED + 1
    if code == "too_many_files":
        for i in range(intake.MAX_ENTRIES):
            archive.writestr(f"resources/{i}", b"")


def with_faults(*codes: str, files: Files) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for code in codes:
            add_fault(archive, code)
        for name, content in files.items():
            archive.writestr(name, content)
    return raw.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("first", "second"), list(pairwise(ARCHIVE)))
def test_of_two_faults_of_an_archive_the_first_of_the_list_is_told(tmp_path: Path, first: str, second: str) -> None:
    assert told(with_faults(second, first, files=entries()), tmp_path) == first
    assert told(with_faults(first, second, files=entries()), tmp_path) == first
    assert told(with_faults(second, files=entries()), tmp_path) == second


def test_the_archive_comes_before_the_description(tmp_path: Path) -> None:
    without = {name: raw for name, raw in entries().items() if name != intake.DESCRIPTION}
    assert told(with_faults("compression_ratio", files=without), tmp_path) == "compression_ratio"


def big(raw: bytes) -> bytes:
    """With a description of more bytes than there may be."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return pack(
        files | {intake.DESCRIPTION: files[intake.DESCRIPTION] + b" " * pieces.MAX_DESCRIPTION},
        compression=zipfile.ZIP_STORED,
    )


DOCTYPE = ("<fmiModelDescription", ENTITY)


@pytest.mark.parametrize(
    ("first", "changes"),
    [
        ("document_type", (*UTF7, *DOCTYPE)),
        ("broken_description", (*UTF7, *MANY)),  # its encoding
        ("too_many_variables", (*VERSION, *MANY)),
        ("unknown_fmi_version", (*BAD_IDENTIFIER, *VERSION)),
        ("bad_model_identifier", (*TOOL, *BAD_IDENTIFIER)),
        ("needs_tool", (*NEVER, *TOOL)),
        ("bad_experiment", ('name="v"', 'name=""', *NEVER)),
        (
            "bad_variable_name",
            ('name="v" valueReference="3"', 'name="h" valueReference="3"', 'name="h"', 'name="time"'),
        ),
        ("bad_variable_name", (*with_types('<Float64Type name="T" min="low"/>'), 'name="v"', 'name=""')),
        ("unknown_fmi_version", (*VERSION, 'name="v"', 'name="h"')),
        ("broken_description", ('name="v"', 'name="v" name="w"', REFERENCE[0], REFERENCE[1])),
        ("duplicate_variable", (VARIABLES, f'<Float64 name="h" valueReference="-1"/>{VARIABLES}')),
        ("invalid_fmu", (*NO_INTERFACE, *REFERENCE)),
        ("no_interface", NO_INTERFACE),
        ("no_binary", (IDENTIFIER, 'modelIdentifier="Other"')),
    ],
)
def test_of_two_faults_of_a_description_the_first_of_the_list_is_told(
    tmp_path: Path, first: str, changes: tuple[str, ...]
) -> None:
    assert told(described(*changes), tmp_path) == first


def test_its_size_comes_before_all_that_it_says(tmp_path: Path) -> None:
    assert told(big(described(*DOCTYPE)), tmp_path) == "description_too_large"


def test_the_description_comes_before_the_binary(tmp_path: Path) -> None:
    raw = library(lambda _: b"text")
    assert told(raw, tmp_path) == "bad_binary"
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files[intake.DESCRIPTION] = (
        files[intake.DESCRIPTION].replace(b"<CoSimulation", b"<Other").replace(b"<ModelExchange", b"<Another")
    )
    assert told(pack(files), tmp_path) == "no_interface"


def test_the_file_for_building_comes_before_the_description(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(described(*VERSION))) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert told(pack(files | {intake.BUILD_DESCRIPTION: b"<open>"}), tmp_path) == "broken_description"
