"""Intake: what an FMU file must look like before anything of it is used. No native code is loaded here.

Archive, then description, then binary, each before the next is touched; what costs least comes first. Faults are
sentences for the modeller. The formats: PKWARE's APPNOTE.TXT, 4.3; FMI 2.0.4, 2.2; FMI 3.0.1, 2.4 and 2.5.
"""

import ctypes
import errno
import fcntl
import os
import platform
import shutil
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gateway.simulation.markup import check_description, check_markup
from gateway.simulation.pieces import MAX_DESCRIPTION
from gateway.simulation.variables import Refused

__all__ = ["Refused", "binary_folder", "platforms", "unpack"]

MAX_ENTRIES = 2_000
MAX_UNPACKED = 256 << 20  # bytes
MAX_RATIO = 200  # of one file above 1 MiB; real FMUs stay below 30
MAX_PATH = 240  # bytes
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
LOCK_SECONDS, LOCK_POLL = 30.0, 0.02  # to unpack 256 MiB takes a second or two; a stopped process, for ever
STORED, DEFLATED = 0, 8
UTF8_NAME = 0x800  # of an entry's flags
DESCRIPTION = "modelDescription.xml"
BUILD_DESCRIPTION = "sources/buildDescription.xml"  # FMPy reads it, too
END_RECORD, END_RECORD_SIZE, MAX_COMMENT = b"PK\5\6", 22, 65_535
ZIP64_LOCATOR, ZIP64_LOCATOR_SIZE = b"PK\6\7", 20
INDEX_ENTRY, INDEX_ENTRY_SIZE = b"PK\1\2", 46


_libc = ctypes.CDLL(None, use_errno=True)


def unpack(file: Path, directory: Path) -> None:
    """`file` unpacked into the folder `directory`, whole or not at all. Refused if anything about it is wrong.

    Who comes while somebody else unpacks there waits, and finds it done: a folder is for one file only."""
    try:
        _check_index(file)
        with zipfile.ZipFile(file) as archive:
            entries = _check_archive(archive)
            _check_binary(archive, *_check_descriptions(archive))
            with _alone_in(directory.parent):
                if not directory.is_dir():
                    _extract_whole(archive, entries, directory)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, struct.error) as error:
        raise Refused("not_an_archive", f"It is no zip archive that can be read: {str(error)[:200]}.") from None


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Against every other thread and process (doctor works beside a gateway), until this one is done or dead. OSError
    if another one is neither."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + LOCK_SECONDS
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "another process keeps its folder locked") from None
                time.sleep(LOCK_POLL)
        yield
    finally:
        os.close(handle)


def _check_index(file: Path) -> None:
    """How many files the end record promises and the index really lists, before zipfile makes objects of them. The end
    record is looked for exactly where zipfile will find it."""
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - END_RECORD_SIZE - MAX_COMMENT))
        tail = stream.read()
        at = len(tail) - END_RECORD_SIZE
        if at < 0 or tail[at : at + 4] != END_RECORD or tail[-2:] != b"\0\0":
            at = tail.rfind(END_RECORD)
        if at < 0 or len(tail) - at < END_RECORD_SIZE:
            raise Refused("not_an_archive", "It is no zip archive: its end is missing.")
        if tail[max(0, at - ZIP64_LOCATOR_SIZE) :].startswith(ZIP64_LOCATOR):
            raise Refused("not_an_archive", "It is a zip64 archive, which only files of gigabytes need.")
        _, _, _, _, promised, index_size, _, _ = struct.unpack_from("<4s4H2LH", tail, at)
        if promised > MAX_ENTRIES:
            raise Refused("too_many_files", f"It has {promised} files; at most {MAX_ENTRIES} are taken.")
        begin = size - len(tail) + at - index_size
        if begin < 0:
            raise Refused("not_an_archive", "It is no zip archive that can be read: its beginning is missing.")
        stream.seek(begin)
        found = place = 0
        while place < index_size:
            stream.seek(begin + place)
            entry = stream.read(INDEX_ENTRY_SIZE)
            if len(entry) < INDEX_ENTRY_SIZE or not entry.startswith(INDEX_ENTRY):
                raise Refused("not_an_archive", "It is no zip archive that can be read: its index is broken.")
            place += INDEX_ENTRY_SIZE + sum(struct.unpack_from("<3H", entry, 28))
            found += 1
            if found > MAX_ENTRIES:
                raise Refused("too_many_files", f"It has more than {MAX_ENTRIES} files.")


def _check_archive(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """One pass for each check, so that of two faults the one is told that comes first here, wherever they are."""
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise Refused("too_many_files", f"It has {len(entries)} files; at most {MAX_ENTRIES} are taken.")
    if any(entry.header_offset < 0 for entry in entries):
        raise Refused("not_an_archive", "It is no zip archive that can be read: its beginning is missing.")
    _check_paths(entries)
    _check_packing(entries)
    return entries


def _check_paths(entries: list[zipfile.ZipInfo]) -> None:
    for entry in entries:
        name = entry.filename
        if not name:
            raise Refused("unsafe_path", "A file in it has no name.")
        if name.startswith("/") or "\\" in name or ":" in name or "\0" in name or ".." in name.split("/"):
            raise Refused("unsafe_path", f"The path {name[:80]!r} leads out of the archive.")
        if not _has_one_name(entry):
            raise Refused("unsafe_path", f"The path {entry.orig_filename[:80]!r} has another name beside it.")
    for entry in entries:
        if len(entry.filename.encode()) > MAX_PATH:
            raise Refused("path_too_long", f"The path {entry.filename[:60]!r}… is longer than {MAX_PATH} bytes.")
    for entry in entries:
        if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise Refused("special_file", f"{entry.filename!r} is a link or a special file.")
    seen: set[str] = set()
    for entry in entries:
        if not entry.is_dir() and entry.filename in seen:  # real tools repeat folders
            raise Refused("duplicate_file", f"{entry.filename!r} is there twice.")
        seen.add(entry.filename)


def _check_packing(entries: list[zipfile.ZipInfo]) -> None:
    for entry in entries:
        if entry.flag_bits & 1:
            raise Refused("encrypted_file", f"{entry.filename!r} is encrypted.")
    for entry in entries:
        if entry.compress_type not in {STORED, DEFLATED}:
            raise Refused("unknown_compression", f"{entry.filename!r} is packed in a way other than deflate.")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise Refused("unpacked_too_large", f"It would unpack to more than {MAX_UNPACKED >> 20} MiB.")
    for entry in entries:
        if entry.file_size > 1 << 20 and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
            times = entry.file_size // max(1, entry.compress_size)
            raise Refused("compression_ratio", f"{entry.filename!r} would unpack to {times} times its size.")


def _has_one_name(entry: zipfile.ZipInfo) -> bool:
    """zipfile cuts a name at a zero byte, and since Python 3.12 takes that of the Unicode Path field (0x7075) instead
    of the index's. Info-ZIP writes that field for what is not ASCII: the same bytes, and what they mean is UTF-8."""
    raw = entry.orig_filename.encode("utf-8" if entry.flag_bits & UTF8_NAME else "cp437")
    return entry.filename in {entry.orig_filename, raw.decode(errors="replace")}


def _check_descriptions(archive: zipfile.ZipFile) -> tuple[str, set[str]]:
    """The FMI version and the model identifiers."""
    names = set(archive.namelist())
    if DESCRIPTION not in names:
        raise Refused("no_description", f"There is no {DESCRIPTION} at its top: it is no FMU.")
    for name in {DESCRIPTION, BUILD_DESCRIPTION} & names:
        if archive.getinfo(name).file_size > MAX_DESCRIPTION:
            raise Refused("description_too_large", f"{name} is larger than {MAX_DESCRIPTION >> 20} MiB.")
    if BUILD_DESCRIPTION in names:
        with archive.open(BUILD_DESCRIPTION) as file:
            check_markup(file, BUILD_DESCRIPTION)
    with archive.open(DESCRIPTION) as file:
        return check_description(file, DESCRIPTION)


def binary_folder(version: str) -> str:
    """Where this machine's library stands. FMI 2.0 has a name for x86-64 only: elsewhere it borrows FMI 3.0's."""
    machine = platform.machine()
    return "binaries/linux64" if version.startswith("2.") and machine == "x86_64" else f"binaries/{machine}-linux"


def platforms(names: Iterable[str]) -> list[str]:
    """The platforms that an archive of these paths has binaries for, as FMI names them."""
    return sorted({name.split("/")[1] for name in names if name.startswith("binaries/") and name.count("/") > 1})


def _check_binary(archive: zipfile.ZipFile, version: str, identifiers: set[str]) -> None:
    names = set(archive.namelist())
    for library in sorted(f"{binary_folder(version)}/{identifier}.so" for identifier in identifiers):
        if library not in names:
            have = platforms(names)
            text = f"It has no {library}, only binaries for: {', '.join(have)[:100] or 'nothing'}."
            raise Refused("no_binary", text)
        with archive.open(library) as file:
            head = file.read(64)
        machine = ELF_MACHINES.get(platform.machine())
        shared_64_bit = len(head) == 64 and head[:6] == b"\x7fELF\x02\x01" and head[16:18] == b"\x03\x00"
        if not shared_64_bit or int.from_bytes(head[18:20], "little") != machine:
            raise Refused("bad_binary", f"{library} is no 64-bit shared library for {platform.machine()}.")


def _extract_whole(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], directory: Path) -> None:
    temporary = directory.with_name(f"{directory.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)  # what one that died left
    try:
        _extract(archive, entries, temporary)
        _sync(temporary)
        temporary.rename(directory)
        _sync(directory.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(path: Path) -> None:
    """The file system of the folder, to the disk: after a power cut one that has its name would else hold empty files,
    and pass for unpacked. At once: 2,000 calls of fsync take 30 times as long (man 2 syncfs)."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(handle):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(handle)


def _extract(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], directory: Path) -> None:
    """Never more bytes than the archive's index says, whatever the data is."""
    directory.mkdir(parents=True)
    for entry in entries:
        target = directory / entry.filename
        try:
            if entry.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                _copy(archive, entry, file)
        except (FileExistsError, NotADirectoryError):  # "a" beside "a/b", "a/./b" beside "a/b"
            raise Refused("duplicate_file", f"{entry.filename!r} is there twice, as a file and a folder.") from None
    everybody = 0o055 if os.geteuid() == 0 else 0  # a run belongs to another user than the gateway if that is root
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o700 | everybody if path.is_dir() else 0o600 | everybody & 0o044)


def _copy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, file: BinaryIO) -> None:
    with archive.open(entry) as source:
        left = entry.file_size
        while left and (part := source.read(min(left, 1 << 20))):
            file.write(part)
            left -= len(part)
        if left or source.read(1):
            raise Refused("not_an_archive", f"{entry.filename!r} is not as long as the archive says.")
