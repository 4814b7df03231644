"""Frames: how a job reaches a run's process and how its result comes back. Bytes cross the border, never pickles.

One stream per run. From the child: the byte 1 when it is confined. To the child: a length (4 bytes, little-endian) and
the job as JSON. From the child: a length, a header as JSON, and if that is {"rows": n} then every column as n raw
little-endian values. The gateway owns the types and the bounds; whatever does not match is no result.
"""

from __future__ import annotations

import itertools
import json
import os
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # a zygote reads this file too and needs no event loop
    import asyncio
    import socket

LENGTH = struct.Struct("<I")
HELLO = b"\1"
MAX_HEADER = 4096  # bytes
AT_ONCE = 1 << 20  # bytes read before others have a turn: less than a millisecond
COLUMNS_AT_ONCE = 200  # the same where they are short


class BadFrame(Exception):
    """What came is not a complete frame of the expected shape."""


def pack(raw: bytes) -> bytes:
    """JSON, with its length before it."""
    return LENGTH.pack(len(raw)) + raw


def read_job(descriptor: int) -> dict[str, Any]:
    """In the child: the next job. EOFError if the gateway went away."""
    job: dict[str, Any] = json.loads(_exactly(descriptor, *LENGTH.unpack(_exactly(descriptor, LENGTH.size))))
    return job


def _exactly(descriptor: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def write(descriptor: int, header: object, columns: Iterable[NDArray[Any]] = ()) -> None:
    """In the child: the whole answer, in as few calls as the socket takes it."""
    left = [memoryview(pack(json.dumps(header).encode())), *(np.ascontiguousarray(c).data.cast("B") for c in columns)]
    while left:
        written = os.writev(descriptor, left[:512])
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]


async def receive(
    loop: asyncio.AbstractEventLoop, stream: socket.socket, dtypes: Sequence[str], most_rows: int
) -> dict[str, Any] | list[NDArray[Any]]:
    """In the gateway: the columns, or the header of a failure; BadFrame for anything else. What follows is not read."""
    import asyncio

    length = np.empty(1, "<u4")
    await _fill(loop, stream, length)
    if length[0] > MAX_HEADER:
        raise BadFrame("the header is too long")
    raw = np.empty(length[0], np.uint8)
    await _fill(loop, stream, raw)
    try:
        header = json.loads(raw.tobytes())
    except (ValueError, RecursionError):
        raise BadFrame("the header is no JSON") from None
    if not isinstance(header, dict):
        raise BadFrame("the header is no object")
    if "error" in header:
        return header
    rows = header.get("rows")
    if type(rows) is not int or not 1 <= rows <= most_rows:
        raise BadFrame("the number of rows is impossible")
    columns: list[NDArray[Any]] = []
    for begin in range(0, len(dtypes), COLUMNS_AT_ONCE):
        if begin:
            await asyncio.sleep(0)
        for dtype, alike in itertools.groupby(dtypes[begin : begin + COLUMNS_AT_ONCE]):
            block = np.empty((len(list(alike)), rows), "|u1" if dtype == "|b1" else dtype)
            await _fill(loop, stream, block)
            columns.extend(block != 0 if dtype == "|b1" else block)  # any other byte than 0 and 1 would be no bool
    return columns


async def _fill(loop: asyncio.AbstractEventLoop, stream: socket.socket, target: NDArray[Any]) -> None:
    import asyncio

    left = target.data.cast("B")
    while left:
        count = await loop.sock_recv_into(stream, left[:AT_ONCE])
        if not count:
            raise BadFrame("it ended too early")
        left = left[count:]
        if left:
            await asyncio.sleep(0)  # while the process writes as fast as we read, nobody else would have a turn
