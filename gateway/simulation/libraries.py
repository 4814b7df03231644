"""Libraries: which shared libraries a model's binary asks for that are not here. The file is read, never loaded.

Source: System V ABI, chapters 4 (object files) and 5 (dynamic linking); man 8 ld.so for where libraries are looked for.
"""

import os
import platform
import struct
from collections.abc import Iterator
from pathlib import Path

HEADER_SIZE, PROGRAM_SIZE, DYNAMIC_SIZE = 64, 56, 16  # bytes, of 64-bit ELF
PT_LOAD, PT_DYNAMIC = 1, 2
DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH = 1, 5, 15, 29
MAX_PROGRAM_HEADERS, MAX_NEEDED = 256, 1_000  # beyond them the file is no library that anybody built
MAX_FILE = 256 << 20  # bytes
MACHINE = platform.machine()
PLACES = tuple(Path(p) for p in ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib"))
SUFFIXES = ("", f"{MACHINE}-linux-gnu", f"{MACHINE}-linux-musl")
CACHE = Path("/etc/ld.so.cache")


def missing(binary: Path) -> list[str]:
    """The names that `binary`, or a library beside it that it asks for, needs and that ld.so would not find."""
    cache = CACHE.read_bytes() if CACHE.exists() else b""
    absent: dict[str, None] = {}
    seen, queue = {binary}, [binary]
    while queue:
        file = queue.pop()
        needed, folders = _needs(file)
        for name in needed:
            own = next((folder / name for folder in folders if (folder / name).is_file()), None)
            if own is not None:
                if own not in seen:
                    seen.add(own)
                    queue.append(own)
            elif not _is_installed(name, cache):
                absent[name] = None
    return sorted(absent)


def _is_installed(name: str, cache: bytes) -> bool:
    if b"\0" + name.encode() + b"\0" in cache:
        return True
    return any((place / suffix / name).is_file() for place in PLACES for suffix in SUFFIXES)


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

    needed = [text(value) for tag, value in entries if tag == DT_NEEDED]
    paths = [part for tag, value in entries if tag in (DT_RPATH, DT_RUNPATH) for part in text(value).split(":")]
    origin = str(file.parent)
    folders = [Path(p.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)) for p in paths if p]
    # What stands in the file must lead to no question about the rest of this machine: only the FMU's own folder counts.
    inside = [folder for folder in map(_plain, folders) if folder.is_relative_to(file.parent)]
    return [name for name in needed[:MAX_NEEDED] if name and "/" not in name and name.isprintable()], inside


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


def _offset(raw: bytes, address: int) -> int:
    """Where in the file stands what is loaded at `address`."""
    for kind, offset, begin, length in _programs(raw):
        if kind == PT_LOAD and begin <= address < begin + length:
            return offset + address - begin
    raise ValueError("an address that is not loaded")
