"""Result: the columns of one run, their file, and the four forms in which a buyer takes them away."""

import hashlib
import os
import re
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.simulation.description import no_collection

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
MEDIA_TYPES = (JSON, CSV, ARROW, PARQUET)

# Values encoded at a time: one or two milliseconds, in which no other thread (the event loop) may have a turn.
CHUNK = 16_384
PIECE = 1 << 18  # bytes of an answer that are sent at a time, and of JSON after which the others have a turn
ROWS_AT_ONCE = 1 << 17  # of a column: one MiB is written while all other threads wait
LENGTH = struct.Struct("<I")
KINDS = "fiub"  # numpy's letters for the types of columns
RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")


@dataclass(frozen=True)
class Result:
    """Equally long 1-D arrays, one per column, "time" (seconds, float64) first; an array variable x of the model gives
    x[1], x[2] … or x[1,1] …, row by row. `reached_time` is less than the stop time where the model ended early."""

    columns: tuple[str, ...]
    arrays: tuple[NDArray[Any], ...]
    reached_time: float

    @property
    def rows(self) -> int:
        return len(self.arrays[0])

    @cached_property
    def sha256(self) -> str:
        """For every column in order: the length of its name (UTF-8) as 4 little-endian bytes, the name, the length of
        its data as 8, the data: the values one after the other, little-endian, booleans as one byte."""
        digest = hashlib.sha256()
        for name, array in zip(self.columns, self.arrays, strict=True):
            raw = _little_endian(array)
            digest.update(LENGTH.pack(len(name.encode())) + name.encode() + struct.pack("<Q", raw.nbytes))
            digest.update(raw.data.cast("B"))
        return digest.hexdigest()

    @cached_property
    def non_finite(self) -> dict[str, int]:
        """How many NaN and infinite values a column has; only columns that have any."""
        counts = {}
        for name, array in zip(self.columns, self.arrays, strict=True):
            if array.dtype.kind == "f" and (count := int(array.size - np.isfinite(array).sum())):
                counts[name] = count
        return counts

    def first(self, columns: int) -> "Result":
        return Result(self.columns[:columns], self.arrays[:columns], self.reached_time)


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


@dataclass(frozen=True, slots=True)
class Stored:
    """What a result file holds. `cpu_ms` and `wall_ms` are the run's, for who captures it without having seen it run; 0
    where nobody wrote them down."""

    header: dict[str, Any]
    result: Result
    cpu_ms: int = 0
    wall_ms: int = 0


class ResultFiles:
    """One file per run: a length (4 bytes, little-endian), a JSON header, the raw columns. Whole or not there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._new: set[Path] = set()  # folders of which it is not known that a power cut would leave them

    def write(self, run_id: str, stored: Stored) -> None:
        """Returns when the file would survive a power cut. OSError if it could not be written; then none is left."""
        path, result = self._path(run_id), stored.result
        arrays = [_little_endian(array) for array in result.arrays]
        columns = [[name, array.dtype.str] for name, array in zip(result.columns, arrays, strict=True)]
        layout = {"columns": columns, "rows": result.rows, "reached_time": result.reached_time}
        took = {"cpu_ms": stored.cpu_ms, "wall_ms": stored.wall_ms}
        head = orjson.dumps({"header": stored.header, "layout": layout, "took": took})
        temporary = path.with_suffix(f".{threading.get_ident()}.part")  # two may store the same at once
        try:
            with self._create(temporary) as file:
                file.write(LENGTH.pack(len(head)) + head)
                for array in arrays:
                    file.write(array.data.cast("B"))
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        try:
            self._sync()
        except BaseException:
            path.unlink(missing_ok=True)  # else its run, told to be not charged, could be captured with it
            raise

    def read(self, run_id: str) -> Stored | None:
        """None if there is no complete file of ours by that name."""
        try:
            with no_collection(), self._path(run_id).open("rb") as file:
                (length,) = LENGTH.unpack(file.read(LENGTH.size))
                head = orjson.loads(file.read(length))
                layout = head["layout"]
                rows = layout["rows"]
                dtypes = [np.dtype(dtype) for _, dtype in layout["columns"]]
                size = LENGTH.size + length + sum(rows * dtype.itemsize for dtype in dtypes)
                if size != os.fstat(file.fileno()).st_size or any(dtype.kind not in KINDS for dtype in dtypes):
                    return None
                arrays = tuple(np.empty(rows, dtype) for dtype in dtypes)
                for array in arrays:
                    file.readinto(array.data)
            names = tuple(name for name, _ in layout["columns"])
            return Stored(head["header"], Result(names, arrays, layout["reached_time"]), **head.get("took", {}))
        except (FileNotFoundError, struct.error, ValueError, KeyError, TypeError):
            return None

    def delete(self, run_id: str) -> None:
        self._path(run_id).unlink(missing_ok=True)

    def ids(self) -> list[str]:
        """Of every complete file."""
        return sorted(path.stem for path in self.directory.glob("*.run"))

    def clear(self) -> None:
        """Remove what interrupted writes left behind. Before the first write: a file in the middle of one looks the
        same."""
        for abandoned in self.directory.glob("*.part"):
            abandoned.unlink(missing_ok=True)

    def _path(self, run_id: str) -> Path:
        if not RUN_ID.match(run_id):
            raise FileNotFoundError(f"{run_id!r} cannot name a file")
        return self.directory / f"{run_id}.run"

    def _create(self, path: Path) -> BinaryIO:
        try:
            return path.open("wb")
        except FileNotFoundError:
            # Named before it is made: others may find it at once, and answer before us.
            self._new |= {folder for folder in (self.directory, *self.directory.parents) if not folder.exists()}
            self.directory.mkdir(parents=True, exist_ok=True)  # others may store their first result at once
            return path.open("wb")

    def _sync(self) -> None:
        """The names of the files here, and of the folders that were made for them."""
        made = frozenset(self._new)
        for folder in (self.directory, *(each.parent for each in made)):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._new -= made


class Encoded(NamedTuple):
    """So many bytes, and they, once, in pieces: none of a long result is ever one string."""

    length: int
    pieces: Iterator[bytes]


def encode(media_type: str, body: Mapping[str, Any], result: Result) -> Encoded:
    """The result as one of MEDIA_TYPES; KeyError for another. `body` is what JSON says before `data`; Arrow and Parquet
    carry it as metadata "fmu_gateway", CSV has no place for it. Slow for many rows: call it in a thread."""
    if media_type == JSON:
        pieces = deque(_joined(_json(body, result)))
        return Encoded(sum(map(len, pieces)), _taken(pieces))
    encoder = {CSV: _csv, ARROW: _arrow, PARQUET: _parquet}[media_type]
    with no_collection():
        table = _table({} if media_type == CSV else body, result)
    return _encoded(encoder, table)


def _taken(pieces: deque[bytes]) -> Iterator[bytes]:
    while pieces:
        yield pieces.popleft()


def _joined(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A buffer that grew would be copied now and then, 30 MB in one go, while all others wait."""
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
            time.sleep(0)  # else another thread would wait for five milliseconds before it interrupts this one
    yield b"".join(waiting)


def _json(body: Mapping[str, Any], result: Result) -> Iterator[bytes]:
    """NaN and infinities become null."""
    yield orjson.dumps(dict(body))[:-1] + (b',"data":{' if body else b'"data":{')
    for index, (name, array) in enumerate(zip(result.columns, result.arrays, strict=True)):
        yield (b"," if index else b"") + orjson.dumps(name) + b":["
        for start in range(0, len(array), CHUNK):
            chunk = orjson.dumps(np.ascontiguousarray(array[start : start + CHUNK]), option=orjson.OPT_SERIALIZE_NUMPY)
            yield (b"," if start else b"") + chunk[1:-1]
        yield b"]"
    yield b"}}"


def prepare() -> None:
    """Import what the encoders need: loading these libraries holds all other threads for 50 ms, so soon after a start
    instead of when somebody asks."""
    import pyarrow.csv
    import pyarrow.ipc
    import pyarrow.parquet  # noqa: F401


def _table(body: Mapping[str, Any], result: Result) -> Any:
    """By a struct: Table.from_arrays lets no other thread run for 20 ms where there are 19,000 columns."""
    import pyarrow as pa

    arrays = [pa.array(_little_endian(array)) for array in result.arrays]
    fields = [pa.field(name, array.type) for name, array in zip(result.columns, arrays, strict=True)]
    rows = pa.Array.from_buffers(pa.struct(fields), result.rows, [None], children=arrays)
    batch = pa.RecordBatch.from_struct_array(rows)
    return pa.Table.from_batches([batch]).replace_schema_metadata({"fmu_gateway": orjson.dumps(dict(body))})


def _encoded(encoder: Callable[[Any, Any], None], table: Any) -> Encoded:
    """By way of a file in memory, which grows, and is written, without Python's lock."""
    from pyarrow import OSFile

    memory = os.fdopen(os.memfd_create("result"), "rb")
    with OSFile(f"/proc/self/fd/{memory.fileno()}", "wb") as out:
        encoder(table, out)
    return Encoded(os.fstat(memory.fileno()).st_size, _read(memory))


def _read(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece


def _csv(table: Any, out: Any) -> None:
    """Quoted header, then the shortest decimals that read back as the same numbers; nan, inf, true, false."""
    from pyarrow import csv

    csv.write_csv(table, out)


def _arrow(table: Any, out: Any) -> None:
    from pyarrow import ipc

    with ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table, max_chunksize=ROWS_AT_ONCE)


def _parquet(table: Any, out: Any) -> None:
    from pyarrow import parquet

    # Numbers that hardly ever repeat: a dictionary of them takes three times as long and makes the file larger.
    parquet.write_table(table, out, compression="zstd", row_group_size=ROWS_AT_ONCE, use_dictionary=False)
