"""A long result goes out in pieces: whole in every form, and nothing of it stays, whoever reads it and for how long."""

import io
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from harness import FREE, PATIENCE, Gateway, until
from pyarrow import csv, ipc, parquet

from gateway.simulation.results import PIECE
from gateway.web import answers

LONG = {**FREE, "step": 1e-5}
READ = {
    "csv": csv.read_csv,
    "arrow": lambda raw: ipc.open_stream(raw).read_all(),
    "parquet": parquet.read_table,
}


def in_memory() -> list[str]:
    """The files in memory that this process has open for results."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(descriptor))
        except FileNotFoundError:
            continue  # the one that reads this folder
    return [name for name in found if name.startswith("/memfd:result")]


@pytest.fixture
def run(gateway: Gateway) -> tuple[str, dict[str, str], pa.Table]:
    """The address of a long result, what reads it, and its columns as JSON has them."""
    answer = gateway.simulate(LONG)
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["content-length"]) == len(answer.content) > 4 * PIECE
    said = answer.json()
    return f"/runs/{said['run_id']}", {"authorization": f"Bearer {said['run_token']}"}, pa.table(said["data"])


def test_it_is_the_same_in_every_form(gateway: Gateway, run: tuple[str, dict[str, str], pa.Table]) -> None:
    path, headers, columns = run
    assert columns.num_rows == 100_001
    for form, read in READ.items():
        answer = gateway.get(f"{path}/result.{form}", headers=headers)
        assert int(answer.headers["content-length"]) == len(answer.content) > 4 * PIECE
        found = read(io.BytesIO(answer.content))
        assert found.column_names == columns.column_names
        for name in columns.column_names:
            assert np.array_equal(found[name].to_numpy(), columns[name].to_numpy()), (form, name)
        head = gateway.http.head(f"{path}/result.{form}", headers=headers)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == answer.headers["content-length"]
    until(lambda: not in_memory(), "the results to be let go")


@contextmanager
def reading(gateway: Gateway, run: tuple[str, dict[str, str], pa.Table]) -> Iterator[None]:
    """A connection on which the long result has begun to come, and waits to be read."""
    path, headers, _ = run
    address = (gateway.http.base_url.host, gateway.http.base_url.port)
    with socket.create_connection(address, timeout=PATIENCE) as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lines = (f"GET {path}/result.csv HTTP/1.1", "host: x", f"authorization: {headers['authorization']}", "", "")
        reader.sendall("\r\n".join(lines).encode())
        assert reader.recv(12) == b"HTTP/1.1 200"
        yield


def test_who_goes_away_in_the_middle_leaves_nothing(
    gateway: Gateway, run: tuple[str, dict[str, str], pa.Table]
) -> None:
    with reading(gateway, run):
        assert in_memory()  # it waits for us
    until(lambda: not in_memory(), "the result to be let go")


def test_who_does_not_read_is_not_waited_for(
    gateway: Gateway, run: tuple[str, dict[str, str], pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(answers, "SLOWEST", 1 << 40)
    with reading(gateway, run):
        until(lambda: not in_memory(), "the result to be let go")
