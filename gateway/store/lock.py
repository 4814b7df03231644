"""One owner: a gateway process owns its database by two locks, gone with the process.

One is on a file beside the database, which says who holds it and is asked first, so that who is refused never touches
the database. But it may be removed, or have another name where the database has one. So the other is on the database
itself, at a byte that SQLite does not use: an open file description's, since SQLite's own locks on the file are the
process's and would be gone with the first descriptor of it that anybody closes.
"""

import contextlib
import fcntl
import os
import struct
from pathlib import Path

BYTE = 1 << 62  # far behind everything that SQLite reads, writes or locks
EXCLUSIVE = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, BYTE, 1, 0)  # struct flock of 64-bit Linux


class DatabaseOwned(Exception):
    """Another gateway process owns this database."""


def own(database: Path) -> contextlib.ExitStack:
    """Owned until what is returned is closed, after the last connection. Makes the database if there is none.
    DatabaseOwned says who holds it."""
    database = database.resolve()
    beside = database.with_name(database.name + ".lock")
    with contextlib.ExitStack() as opened:
        named = _open(opened, beside, 0o600)
        try:
            fcntl.flock(named, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(named, 32).decode("ascii", "replace").strip() or "unknown"
            raise DatabaseOwned(
                f"{database} is in use by the gateway with process id {holder}; stop that one first."
            ) from None
        itself = _open(opened, database, 0o644)
        try:
            fcntl.fcntl(itself, fcntl.F_OFD_SETLK, EXCLUSIVE)
        except (BlockingIOError, PermissionError):
            raise DatabaseOwned(
                f"{database} is in use by another gateway, under another name or without its {beside.name}; "
                "stop that one first."
            ) from None
        os.ftruncate(named, 0)
        os.write(named, f"{os.getpid()}\n".encode())
        return opened.pop_all()


def _open(opened: contextlib.ExitStack, path: Path, mode: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    opened.callback(os.close, descriptor)
    return descriptor
