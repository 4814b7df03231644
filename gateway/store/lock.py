"""One owner: a gateway process owns its database by a lock on a file beside it, gone with the process."""

import fcntl
import os
from pathlib import Path


class DatabaseOwned(Exception):
    """Another gateway process owns this database."""


def own(database: Path) -> int:
    """Lock `<database>.lock` until the returned descriptor is closed. DatabaseOwned says who holds it."""
    path = database.with_name(database.name + ".lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise DatabaseOwned(
            f"{database} is in use by the gateway with process id {holder}; stop that one first."
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
