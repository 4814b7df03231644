"""Intake: what an FMU file must look like before anything of it is used. No native code is loaded here.

Archive, then description, then binary, each before the next is touched. Faults are sentences for the modeller.
"""

import math
import platform
import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path
from typing import Any

from lxml import etree

MAX_ENTRIES = 2_000
MAX_UNPACKED = 256 << 20  # bytes
MAX_RATIO = 200  # of one file above 1 MiB; real FMUs stay below 30
MAX_PATH = 240  # characters
MAX_DESCRIPTION = 16 << 20  # bytes of modelDescription.xml
MAX_DEPTH = 32  # of its elements
MAX_VARIABLES = 20_000
MAX_NAME = 1_000  # characters of a variable's name
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")  # FMPy would load "../../x" otherwise
VERSION = re.compile(r"(2\.0|3\.0)([.-].*)?\Z")
INTERFACES = ("CoSimulation", "ModelExchange")
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
STORED, DEFLATED = 0, 8
DESCRIPTION = "modelDescription.xml"


class Refused(Exception):
    """The FMU cannot be taken; the text says why and what to do."""


def unpack(file: Path, directory: Path) -> None:
    """`file` unpacked into the new folder `directory`, whole or not at all. Refused if anything about it is wrong."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = _check_archive(archive)
            _check_binary(archive, _check_description(_description(archive)))
            temporary = directory.with_name(f"{directory.name}.part")
            shutil.rmtree(temporary, ignore_errors=True)
            try:
                _extract(archive, entries, temporary)
                temporary.rename(directory)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise Refused(f"It is no zip archive that can be read: {error}.") from None


def _check_archive(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise Refused(f"It has {len(entries)} files; at most {MAX_ENTRIES} are taken.")
    seen: set[str] = set()
    for entry in entries:
        name = entry.orig_filename
        if name.startswith("/") or "\\" in name or ":" in name or "\0" in name or ".." in name.split("/"):
            raise Refused(f"The path {name[:80]!r} leads out of the archive.")
        if len(name) > MAX_PATH:
            raise Refused(f"The path {name[:60]!r}… is longer than {MAX_PATH} characters.")
        if not entry.is_dir() and name in seen:  # real tools repeat folders
            raise Refused(f"{name!r} is there twice.")
        seen.add(name)
        if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise Refused(f"{name!r} is a link or a special file.")
        if entry.header_offset < 0:
            raise Refused("It is no zip archive that can be read: its beginning is missing.")
        if entry.flag_bits & 1 or entry.compress_type not in {STORED, DEFLATED}:
            raise Refused(f"{name!r} is encrypted or packed in a way other than deflate.")
        if entry.file_size > 1 << 20 and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
            raise Refused(f"{name!r} would unpack to {entry.file_size // max(1, entry.compress_size)} times its size.")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise Refused(f"It would unpack to more than {MAX_UNPACKED >> 20} MiB.")
    return entries


def _description(archive: zipfile.ZipFile) -> Any:
    """The root element. Parsed without entities, network and document type."""
    try:
        with archive.open(DESCRIPTION) as file:
            raw = file.read(MAX_DESCRIPTION + 1)
    except KeyError:
        raise Refused(f"There is no {DESCRIPTION} at its top: it is no FMU.") from None
    if len(raw) > MAX_DESCRIPTION:
        raise Refused(f"{DESCRIPTION} is larger than {MAX_DESCRIPTION >> 20} MiB.")
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw or "<!DOCTYPE".encode("utf-16-le") in raw:
        raise Refused(f"{DESCRIPTION} declares a document type, which an FMU has no use for.")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        root = etree.fromstring(raw, parser)
    except etree.XMLSyntaxError as error:
        raise Refused(f"{DESCRIPTION} is no XML that can be read: {error}"[:200]) from None
    if root.getroottree().docinfo.doctype:
        raise Refused(f"{DESCRIPTION} declares a document type, which an FMU has no use for.")
    return root


def _check_description(root: Any) -> dict[str, str]:
    """Interface → path of its library in the archive."""
    version = root.get("fmiVersion") or ""
    if root.tag != "fmiModelDescription" or not VERSION.match(version):
        raise Refused(f"It is FMI {version[:20] or '?'}; versions 2.0 and 3.0 are taken.")
    if _depth(root) > MAX_DEPTH:
        raise Refused(f"{DESCRIPTION} is nested deeper than {MAX_DEPTH} elements.")
    _check_variables(root.find("ModelVariables"))
    _check_experiment(root.find("DefaultExperiment"))
    libraries = {}
    for interface in INTERFACES:
        element = root.find(interface)
        if element is None:
            continue
        identifier = element.get("modelIdentifier") or ""
        if not IDENTIFIER.match(identifier):
            raise Refused(f"The model identifier {identifier[:60]!r} is no C identifier.")
        if element.get("needsExecutionTool") in {"true", "1"}:
            raise Refused("It needs the tool that made it to run: export it as a stand-alone FMU.")
        libraries[interface] = f"{binary_folder(version)}/{identifier}.so"
    if not libraries:
        raise Refused("It offers neither co-simulation nor model exchange.")
    return libraries


def _check_variables(variables: Any) -> None:
    if variables is None or len(variables) > MAX_VARIABLES:
        raise Refused(f"It has no variables, or more than {MAX_VARIABLES}.")
    names: set[str] = set()
    for variable in variables:
        name = variable.get("name") or ""
        if not name or len(name) > MAX_NAME or not name.isprintable() or name in names:
            raise Refused(f"The variable name {name[:60]!r} is empty, too long, not printable or there twice.")
        if name == "time" and variable.get("causality") != "independent":
            raise Refused("A variable is called time, which is the name of the first column of every result.")
        names.add(name)


def _check_experiment(experiment: Any) -> None:
    for key, text in () if experiment is None else experiment.attrib.items():
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (key in {"stepSize", "tolerance"} and value <= 0):
            raise Refused(f"The default experiment's {key} is {text[:30]!r}.")


def _depth(root: Any) -> int:
    deepest = depth = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        deepest = max(deepest, depth)
    return deepest


def binary_folder(version: str) -> str:
    """Where this machine's library stands. FMI 2.0 has a name for x86-64 only: elsewhere it borrows FMI 3.0's."""
    machine = platform.machine()
    return "binaries/linux64" if version.startswith("2.") and machine == "x86_64" else f"binaries/{machine}-linux"


def _check_binary(archive: zipfile.ZipFile, libraries: dict[str, str]) -> None:
    names = set(archive.namelist())
    for library in set(libraries.values()):
        if library not in names:
            have = sorted(
                {name.split("/")[1] for name in names if name.startswith("binaries/") and name.count("/") > 1}
            )
            raise Refused(f"It has no {library}, only binaries for: {', '.join(have)[:100] or 'nothing'}.")
        with archive.open(library) as file:
            head = file.read(64)
        machine = ELF_MACHINES.get(platform.machine())
        shared_64_bit = len(head) == 64 and head[:6] == b"\x7fELF\x02\x01" and head[16:18] == b"\x03\x00"
        if not shared_64_bit or int.from_bytes(head[18:20], "little") != machine:
            raise Refused(f"{library} is no 64-bit shared library for {platform.machine()}.")


def _extract(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], directory: Path) -> None:
    """Never more bytes than the archive's index says, whatever the data is."""
    directory.mkdir(parents=True)
    for entry in entries:
        target = directory / entry.filename
        if entry.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, target.open("xb") as file:
            left = entry.file_size
            while left and (part := source.read(min(left, 1 << 20))):
                file.write(part)
                left -= len(part)
            if left or source.read(1):
                raise Refused(f"{entry.filename!r} is not as long as the archive says.")
    for path in (directory, *directory.rglob("*")):  # a run belongs to another user than the gateway if that is root
        path.chmod(0o755 if path.is_dir() else 0o644)
