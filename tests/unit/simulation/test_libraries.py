"""What an FMU's libraries ask for is found without loading any, and however they ask, the search soon ends."""

import struct
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.simulation import libraries
from gateway.simulation.libraries import missing

_counted: list[Counter[str]] = []
_hooked: list[bool] = []  # a hook stays for as long as Python runs


@contextmanager
def looks() -> Iterator[Counter[str]]:
    """How often each file is opened and each folder listed in the block."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if _counted and event in ("open", "os.scandir"):
            _counted[-1][str(arguments[0])] += 1

    if not _hooked:
        sys.addaudithook(hook)
        _hooked.append(True)
    _counted.append(Counter())
    try:
        yield _counted[-1]
    finally:
        _counted.pop()


def library(path: Path, *needed: str, folders: str = "$ORIGIN") -> Path:
    """A shared library without code: loaded whole at address 0, with a dynamic section that asks for others."""
    strings, offsets = b"\0", []
    for text in (*needed, folders):
        offsets.append(len(strings))
        strings += text.encode() + b"\0"
    at = 64 + 2 * 56
    entries = [(1, offset) for offset in offsets[:-1]] + [(29, offsets[-1])]
    text_at = at + 16 * (len(entries) + 2)
    entries += [(5, text_at), (0, 0)]
    size = text_at + len(strings)
    raw = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    raw += struct.pack("<2L6Q", 1, 5, 0, 0, 0, size, size, 4096)
    raw += struct.pack("<2L6Q", 2, 4, at, at, at, 16 * len(entries), 16 * len(entries), 8)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(raw + b"".join(struct.pack("<2Q", *entry) for entry in entries) + strings)
    return path


def test_what_stands_beside_a_library_is_found_and_asked_in_turn(tmp_path):
    mine = library(tmp_path / "m.so", "libc.so.6", "one.so", folders="/nowhere:$ORIGIN/more")
    library(tmp_path / "more" / "one.so", "two.so", "gone.so")
    library(tmp_path / "more" / "two.so", "lost.so")
    assert missing([mine]) == ["gone.so", "lost.so"]


def test_a_folder_outside_the_model_is_not_looked_into(tmp_path):
    library(tmp_path / "secret.so")
    mine = library(tmp_path / "m" / "m.so", "secret.so", folders=f"$ORIGIN/..:{tmp_path}")
    assert missing([mine]) == ["secret.so"]


def test_no_library_is_read_twice_and_no_folder_listed_twice_however_many_ask_for_it(tmp_path):
    names = [f"l{i}.so" for i in range(30)]
    files = [library(tmp_path / name, *names, "gone.so") for name in names]
    with looks() as seen:
        assert missing(files) == ["gone.so"]
    assert {seen[str(path)] for path in (*files, tmp_path)} == {1}


@pytest.mark.parametrize("listed", [1, libraries.MOST_FILES + 50])
def test_of_very_many_libraries_some_are_read(tmp_path, listed):
    count = libraries.MOST_FILES + 50
    files = [library(tmp_path / f"l{i}.so", f"l{i + 1}.so") for i in range(count)]
    with looks() as seen:
        assert missing(files[:listed]) == []
    assert sum(seen[str(path)] for path in files) == libraries.MOST_FILES


def test_of_very_many_names_some_are_looked_for(tmp_path):
    count = libraries.MOST_NAMES // libraries.MAX_NEEDED + 5
    names = [[f"gone{i}-{j}.so" for j in range(libraries.MAX_NEEDED + 50)] for i in range(count)]
    files = [library(tmp_path / f"l{i}.so", *names[i]) for i in range(count)]
    assert len(missing(files)) == libraries.MOST_NAMES


@pytest.mark.parametrize("name", ["x" * 300, "é" * 200, "a/b.so", "a\nb.so"])
def test_a_name_that_no_file_can_have_is_left_to_the_loader(tmp_path, name):
    assert missing([library(tmp_path / "m.so", name, "gone.so")]) == ["gone.so"]


def test_a_file_that_makes_no_sense_asks_for_nothing(tmp_path):
    whole = library(tmp_path / "m.so", "gone.so").read_bytes()
    for size in range(0, len(whole) - 20, 7):
        (tmp_path / "m.so").write_bytes(whole[:size])
        missing([tmp_path / "m.so"])
    assert missing([tmp_path / "none.so"]) == []
