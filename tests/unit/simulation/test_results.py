"""A result survives its file and every form in which it leaves, and a broken file is no result."""

import csv
import hashlib
import io
import struct
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import ipc, parquet

from gateway.simulation.results import ARROW, CSV, JSON, PARQUET, Result, ResultFiles, Stored, encode

RESULT = Result(
    ("time", "x", 'a "b", c', "on", "n"),
    (
        np.array([0.0, 0.1, 0.30000000000000004]),
        np.array([np.nan, np.inf, 1e-300]),
        np.array([1.5, -0.0, 2.0], np.float32),
        np.array([True, False, True]),
        np.array([2**63 - 1, 0, -1], np.int64),
    ),
    0.30000000000000004,
)


def same(a: Result, b: Result) -> bool:
    dtypes = [x.dtype for x in a.arrays] == [x.dtype for x in b.arrays]
    return a.columns == b.columns and dtypes and a.sha256 == b.sha256 and a.reached_time == b.reached_time


def test_the_digest_is_over_lengths_names_and_little_endian_bytes():
    raw = b"".join(
        struct.pack("<I", len(name)) + name + struct.pack("<Q", len(data)) + data
        for name, data in [(b"time", struct.pack("<2d", 0, 1)), ("ä".encode(), struct.pack("<2i", 1, 2))]
    )
    result = Result(("time", "ä"), (np.array([0.0, 1.0]), np.array([1, 2], ">i4")), 1.0)
    assert result.sha256 == hashlib.sha256(raw).hexdigest()


def test_the_digest_sees_a_renamed_column_and_a_moved_border():
    t = np.zeros(2)
    digests = {Result(c, (t, t), 0.0).sha256 for c in [("time", "ab"), ("timea", "b"), ("time", "ac")]}
    assert len(digests) == 3


def test_only_columns_with_any_count_their_non_finite_values():
    assert RESULT.non_finite == {"x": 2}


def test_a_file_gives_back_what_was_written(tmp_path):
    files = ResultFiles(tmp_path / "new")
    files.write("run_1", Stored({"fmu_id": "msl:X", "n": 1}, RESULT))
    stored = files.read("run_1")
    assert stored.header == {"fmu_id": "msl:X", "n": 1}
    assert same(stored.result, RESULT)
    assert (stored.cpu_ms, stored.wall_ms) == (0, 0)
    files.write("run_1", Stored({}, RESULT, cpu_ms=3, wall_ms=7))
    assert (files.read("run_1").cpu_ms, files.read("run_1").wall_ms) == (3, 7)
    assert files.ids() == ["run_1"]
    files.delete("run_1")
    assert files.read("run_1") is None
    files.delete("run_1")


def test_a_file_that_is_cut_short_or_too_long_anywhere_is_no_result(tmp_path):
    files = ResultFiles(tmp_path)
    files.write("r", Stored({}, RESULT))
    whole = (tmp_path / "r.run").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "r.run").write_bytes(whole[:size])
        assert files.read("r") is None, size
    (tmp_path / "r.run").write_bytes(whole + b"\0")
    assert files.read("r") is None


def test_a_result_is_read_that_was_stored_before_it_was_written_down_how_long_it_took(tmp_path):
    files = ResultFiles(tmp_path)
    files.write("r", Stored({"n": 1}, RESULT))
    raw = (tmp_path / "r.run").read_bytes()
    (length,) = struct.unpack("<I", raw[:4])
    head = orjson.loads(raw[4 : 4 + length])
    del head["took"]
    older = orjson.dumps(head)
    (tmp_path / "r.run").write_bytes(struct.pack("<I", len(older)) + older + raw[4 + length :])
    stored = files.read("r")
    assert (stored.header, stored.cpu_ms, stored.wall_ms) == ({"n": 1}, 0, 0)
    assert same(stored.result, RESULT)


@given(st.binary(max_size=200))
def test_a_foreign_file_is_no_result(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("f")
    (folder / "r.run").write_bytes(content)
    assert ResultFiles(folder).read("r") is None


@pytest.mark.parametrize("name", ["../r", "", "a/b", "r\n", "x" * 200, "."])
def test_a_name_that_is_none_of_ours_reads_as_nothing(tmp_path, name):
    assert ResultFiles(tmp_path).read(name) is None


def test_a_write_that_fails_leaves_nothing(tmp_path):
    files = ResultFiles(tmp_path)
    with pytest.raises(TypeError):
        files.write("r", Stored({"bad": object()}, RESULT))
    (tmp_path / "s.run").mkdir()  # the rename will fail
    with pytest.raises(OSError, match=r"s\.run"):
        files.write("s", Stored({}, RESULT))
    assert [p.name for p in tmp_path.iterdir()] == ["s.run"]


def test_what_interrupted_writes_left_is_no_file_and_leaves_only_when_it_is_asked_to(tmp_path):
    files = ResultFiles(tmp_path)
    files.write("whole", Stored({}, RESULT))
    (tmp_path / "r.part").write_bytes(b"half")
    assert files.ids() == ["whole"]
    assert (tmp_path / "r.part").exists()
    files.clear()
    assert [p.name for p in tmp_path.iterdir()] == ["whole.run"]
    ResultFiles(tmp_path / "not there yet").clear()


def whole(media_type: str, body: dict[str, Any], result: Result) -> bytes:
    encoded = encode(media_type, body, result)
    raw = b"".join(encoded.pieces)
    assert len(raw) == encoded.length
    return raw


def test_json_says_the_body_first_and_null_for_what_is_no_number():
    raw = whole(JSON, {"run_id": "r", "columns": list(RESULT.columns)}, RESULT)
    assert raw.startswith(b'{"run_id":"r"')
    assert list(orjson.loads(raw)) == ["run_id", "columns", "data"]
    data = orjson.loads(raw)["data"]
    assert list(data) == list(RESULT.columns)
    assert data["x"] == [None, None, 1e-300]
    assert data["on"] == [True, False, True]
    assert data["n"] == [2**63 - 1, 0, -1]


def test_json_without_a_body_and_with_many_rows_is_whole(monkeypatch):
    monkeypatch.setattr("gateway.simulation.results.CHUNK", 7)
    numbers = np.arange(100) / 3
    result = Result(("time", "x"), (numbers, numbers.astype(np.float32)), float(numbers[-1]))
    data = orjson.loads(whole(JSON, {}, result))["data"]
    assert data["time"] == numbers.tolist()
    assert np.array_equal(np.array(data["x"], np.float32), numbers.astype(np.float32))


def test_csv_has_a_quoted_header_and_numbers_that_read_back_exactly():
    text = whole(CSV, {"ignored": 1}, RESULT).decode()
    assert text.split("\n")[0] == '"time","x","a ""b"", c","on","n"'
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == list(RESULT.columns)
    assert [float(row[0]) for row in rows[1:]] == RESULT.arrays[0].tolist()
    assert [row[1] for row in rows[1:]] == ["nan", "inf", "1e-300"]
    assert [row[3] for row in rows[1:]] == ["true", "false", "true"]
    assert [int(row[4]) for row in rows[1:]] == RESULT.arrays[4].tolist()


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=50))
def test_csv_and_json_lose_no_bit_of_a_number(numbers):
    result = Result(("time",), (np.array(numbers),), 0.0)
    lines = whole(CSV, {}, result).decode().split()[1:]
    assert np.array(lines, float).tobytes() == np.array(numbers).tobytes()
    read = orjson.loads(whole(JSON, {}, result))["data"]["time"]
    finite = [n for n in numbers if np.isfinite(n)]
    assert np.array([r for r in read if r is not None]).tobytes() == np.array(finite).tobytes()


@pytest.mark.parametrize("media_type", [ARROW, PARQUET])
def test_arrow_and_parquet_keep_types_and_carry_the_body(media_type):
    raw = whole(media_type, {"run_id": "r"}, RESULT)
    table = ipc.open_stream(raw).read_all() if media_type == ARROW else parquet.read_table(pa.BufferReader(raw))
    assert tuple(table.column_names) == RESULT.columns
    for column, array in zip(table.columns, RESULT.arrays, strict=True):
        assert column.to_numpy().astype(array.dtype).tobytes() == array.tobytes()
    assert table.schema.field('a "b", c').type == pa.float32()
    assert orjson.loads(table.schema.metadata[b"fmu_gateway"]) == {"run_id": "r"}


def test_another_media_type_is_not_encoded():
    with pytest.raises(KeyError):
        whole("text/html", {}, RESULT)
