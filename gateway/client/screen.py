"""The terminal: data to stdout, messages to stderr, and no byte of a server's text that could move the cursor."""

import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TextIO

# ECMA-48 control sequences (CSI …, OSC … BEL or ST, other escapes), then every single control or bidi character.
_SEQUENCES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]?", re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
_WIDEST = 100  # columns; longer lines read badly


def plain(text: object) -> str:
    """One line of text that only prints: no escapes, control characters, line breaks or direction overrides."""
    return _CONTROLS.sub(" ", _SEQUENCES.sub("", str(text))).rstrip()


def width() -> int:
    return min(shutil.get_terminal_size().columns, _WIDEST)


def bold(text: str, stream: TextIO | None = None) -> str:
    """`text`, emphasised where the stream is a terminal that shows it."""
    stream = stream or sys.stdout
    return f"\x1b[1m{text}\x1b[0m" if stream.isatty() and not os.environ.get("NO_COLOR") else text


def message(text: str) -> None:
    """For the person, on stderr."""
    print(plain(text), file=sys.stderr, flush=True)


def put(text: str = "") -> None:
    """A line of data for the person, on stdout; the caller made every part of it plain."""
    print(text)


def put_json(body: Any) -> None:
    """Data for a program: ASCII only, so even on a terminal nothing in it acts."""
    print(json.dumps(body, indent=2 if sys.stdout.isatty() else None).replace("\x7f", "\\u007f"), flush=True)


def put_table(rows: Sequence[Sequence[object]], head: Sequence[str]) -> None:
    """Columns as wide as their widest cell; the last one is cut at the terminal's edge."""
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    room = max(20, width() - sum(widths[:-1]) - 2 * (len(head) - 1))
    for row in [list(head), *cells]:
        *first, last = row
        padded = "  ".join(cell.ljust(size) for cell, size in zip(first, widths[:-1], strict=True))
        cut = last if len(last) <= room else last[: room - 1] + "…"
        line = f"{padded}  {cut}".rstrip()
        put(bold(line) if row == list(head) else line)


def put_fields(fields: Sequence[tuple[str, object]]) -> None:
    """`name  value` lines; empty values are left out."""
    said = [(name, plain(value)) for name, value in fields if value not in (None, "")]
    size = max((len(name) for name, _ in said), default=0)
    for name, value in said:
        put(f"{name.ljust(size)}  {value}")


class Waiting:
    """A line on stderr that lives while something takes its time. `text(elapsed_seconds)` says what it shows."""

    def __init__(self, text: Callable[[float], str]):
        self._text = text
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._thread = threading.Thread(target=self._draw, daemon=True)
            self._thread.start()
        else:
            message(self._text(0.0))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()

    def _draw(self) -> None:
        began = time.monotonic()
        while not self._over.wait(0.2):
            sys.stderr.write(f"\r\x1b[2K{plain(self._text(time.monotonic() - began))[: width() - 1]}")
            sys.stderr.flush()
