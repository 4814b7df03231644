"""Backup: a copy of the database, whole and at one moment, made while the gateway serves."""

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path

from gateway.store.connection import connect


def back_up(database: Path, target: Path) -> None:
    """FileExistsError rather than overwrite anything; OSError or sqlite3.Error if it cannot be read or written. When
    this returns, the copy would survive a power cut. One file: it is restored by copying it back."""
    if target.exists():
        raise FileExistsError(f"{target} is there already; name another file.")
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.") as file:  # mode 0600
        source, copy = connect(database, readonly=True), sqlite3.connect(file.name)
        with contextlib.closing(source), contextlib.closing(copy):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # without it a copy needs its -wal beside it
        with open(file.name, "rb") as written:
            os.fsync(written.fileno())
        os.link(file.name, target)  # whole or not at all, and never over another file
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
