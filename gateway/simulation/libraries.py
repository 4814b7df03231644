"""Libraries: which shared libraries a model's binary asks for that are not here. The file is read, never loaded.

Source: System V ABI, chapters 4 (object files) and 5 (dynamic linking); man 8 ld.so for where libraries are looked for.
"""

import os
import platform
import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

HEADER_SIZE, PROGRAM_SIZE, DYNAMIC_SIZE = 64, 56, 16  # bytes, of 64-bit ELF
PT_LOAD, PT_DYNAMIC = 1, 2
DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH = 1, 5, 15, 29
MAX_PROGRAM_HEADERS, MAX_NEEDED, MAX_FOLDERS = 256, 1_000, 16  # beyond them the file is no library that anybody built
# Of one FMU: a whole Python in it has 200 files that ask for 2,000 names. What comes after is for the loader to say.
MOST_FILES, MOST_NAMES = 500, 10_000
MAX_FILE, MAX_NAME = 256 << 20, 255  # bytes; a longer name is no file's
MACHINE = platform.machine()
PLACES = tuple(Path(p) for p in ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib"))
SUFFIXES = ("", f"{MACHINE}-linux-gnu", f"{MACHINE}-linux-musl")
CACHE = Path("/etc/ld.so.cache")


def missing(binaries: Iterable[Path]) -> list[str]:
    """The names that `binaries`, or libraries beside them that they ask for, need and that ld.so would not find."""
    walk = _Walk()
    absent: set[str] = set()
    queue = list(islice(binaries, MOST_FILES))
    seen, names = set(queue), 0
    for file in queue:  # it grows meanwhile
        needed, folders = _needs(file)
        names += len(needed)
        if names > MOST_NAMES:
            break
        for name in needed:
            own = next((folder / name for folder in folders if name in walk.files_in(folder)), None)
            if own is None and not walk.is_installed(name):
                absent.add(name)
            elif own is not None and own not in seen and len(seen) < MOST_FILES:
                seen.add(own)
                queue.append(own)
    return sorted(absent)


class _Walk:
    """What was asked of the disk is asked once, however many libraries want to know it."""

    def __init__(self) -> None:
        self._files: dict[Path, frozenset[str]] = {}
        self._cached = frozenset(CACHE.read_bytes().split(b"\0") if CACHE.exists() else ())
        self._places = [place / suffix for place in PLACES for suffix in SUFFIXES]

    def is_installed(self, name: str) -> bool:
        return name.encode() in self._cached or any(name in self.files_in(place) for place in self._places)

    def files_in(self, folder: Path) -> frozenset[str]:
        if folder not in self._files:
            try:
                with os.scandir(folder) as entries:
                    self._files[folder] = frozenset(entry.name for entry in entries if entry.is_file())
            except OSError:
                self._files[folder] = frozenset()
        return self._files[folder]


def _needs(file: Path) -> tuple[list[str], list[Path]]:
    """Names of DT_NEEDED, and the folders of DT_RPATH and DT_RUNPATH. ([], []) where the file makes no sense: loading
    it will then say so."""
    try:
        if file.stat().st_size > MAX_FILE:
            return [], []
        raw = file.read_bytes()
        entries = list(_dynamic(raw))
        strings = next(_offset(raw, value) for tag, value in entries if tag == DT_STRTAB)
    except (OSError, struct.error, StopIteration, ValueError):
        return [], []

    def text(at: int) -> str:
        end = raw.find(b"\0", strings + at, strings + at + 4096)
        return raw[strings + at : max(end, strings + at)].decode(errors="replace")

    needed = [text(value) for value in islice((value for tag, value in entries if tag == DT_NEEDED), MAX_NEEDED)]
    parts = (part for tag, value in entries if tag in (DT_RPATH, DT_RUNPATH) for part in text(value).split(":"))
    paths = islice(parts, MAX_FOLDERS)
    origin = str(file.parent)
    folders = [Path(p.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)) for p in paths if p]
    # What stands in the file must lead to no question about the rest of this machine: only the FMU's own folder counts.
    inside = [folder for folder in map(_plain, folders) if folder.is_relative_to(file.parent)]
    return [name for name in needed if _is_name(name)], inside


def _is_name(text: str) -> bool:
    return 0 < len(text.encode()) <= MAX_NAME and "/" not in text and text.isprintable()


def _plain(path: Path) -> Path:
    return Path(os.path.normpath(path))


def _programs(raw: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(type, offset in the file, address, size in the file) of each program header."""
    begin, size, count = *struct.unpack_from("<Q", raw, 32), *struct.unpack_from("<2H", raw, 54)
    if size != PROGRAM_SIZE or count > MAX_PROGRAM_HEADERS:
        raise ValueError("no program headers")
    for i in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<2L4Q", raw, begin + i * size)
        yield kind, offset, address, length


def _dynamic(raw: bytes) -> Iterator[tuple[int, int]]:
    """(tag, value) of the dynamic section."""
    for kind, offset, _, length in _programs(raw):
        if kind == PT_DYNAMIC:
            for at in range(offset, offset + min(length, 1 << 16), DYNAMIC_SIZE):
                tag, value = struct.unpack_from("<2Q", raw, at)
                if tag == 0:
                    return
                yield tag, value
            return  # a library has one


def _offset(raw: bytes, address: int) -> int:
    """Where in the file stands what is loaded at `address`."""
    for kind, offset, begin, length in _programs(raw):
        if kind == PT_LOAD and begin <= address < begin + length:
            return offset + address - begin
    raise ValueError("an address that is not loaded")
