"""Passage: the folders above a model, which the user of its runs must pass, and what to do where that cannot.

A gateway of root runs every model as a user that owns nothing. With CAP_DAC_READ_SEARCH and landlock that one passes
every mode (sandbox.drop_privileges). Docker's root has no such capability, and some kernels no landlock.
"""

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.simulation import sandbox

PASSED = 0o711  # not listed by others, as little as a model needs


def temporary_folder(prefix: str) -> "tempfile.TemporaryDirectory[str]":
    """To unpack models in. It is for its owner alone, but where a run's user would have to pass it."""
    folder = tempfile.TemporaryDirectory(prefix=prefix)
    if os.geteuid() == 0 and not (sandbox.may_read_everything() and sandbox.has_landlock()):
        os.chmod(folder.name, PASSED)
    return folder


def closed(folder: str | Path) -> list[Path]:
    """Which of `folder` and those above it not everybody may pass, the topmost first."""
    path = Path(folder).resolve()
    return [each for each in (*reversed(path.parents), path) if not _everybody_passes(each)]


def _everybody_passes(folder: Path) -> bool:
    try:
        return bool(folder.stat().st_mode & 0o001)
    except OSError:
        return True  # it is not there yet


def way_out(folders: Sequence[Path], missing: Sequence[str]) -> str:
    """`missing` is what the sandbox lacks."""
    names = " ".join(map(str, folders))
    capability = "" if _lacks("landlock", missing) else ", or give the gateway CAP_DAC_READ_SEARCH"
    return f"chmod o+x {names}{capability}"


def fault(places: Iterable[Path], missing: Sequence[str]) -> str | None:
    """In the gateway: why no model in these folders can run and the way out, or None if they can."""
    everywhere = sandbox.may_read_everything() and not _lacks("landlock", missing)
    if os.geteuid() != 0 or everywhere or _lacks("privileges", missing):  # it stays who it is
        return None
    folders = list(dict.fromkeys(folder for place in places for folder in closed(place)))
    return f"the user of a run may not pass there: {way_out(folders, missing)}" if folders else None


def unreadable(directory: str, folders: Sequence[Path], missing: Sequence[str]) -> str | None:
    """In a zygote, confined: why it cannot read its model's directory and the way out, or None if it can. `folders` is
    what was closed above it."""
    try:
        os.scandir(directory).close()
    except PermissionError:
        unpacked = f"remove {directory}, it is unpacked again"  # by another user once, for himself
        way = way_out(folders, missing) if folders else unpacked
        return f"the user of a run may not read its folder: {way}"
    return None


def _lacks(layer: str, missing: Sequence[str]) -> bool:
    return any(sentence.startswith(f"{layer}:") for sentence in missing)
