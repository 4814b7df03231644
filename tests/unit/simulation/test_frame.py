"""A frame is taken whole and as announced, or not at all."""

import asyncio
import json
import os
import socket
import struct
import threading

import numpy as np
import pytest

from gateway.simulation import frame

COLUMNS = [np.arange(3.0), np.array([True, False, True]), np.array([1, 2, 3], "<i4")]
DTYPES = ["<f8", "|b1", "<i4"]


async def answer(raw: bytes, most_rows: int = 10, dtypes=DTYPES):
    """What the gateway makes of these bytes and the end of the stream."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.sendall(raw)
        theirs.shutdown(socket.SHUT_WR)
        return await frame.receive(asyncio.get_running_loop(), ours, dtypes, most_rows)


def written(header, columns=()) -> bytes:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        frame.write(theirs.fileno(), header, columns)
        theirs.close()
        return ours.recv(1 << 20)


WHOLE = written({"rows": 3}, COLUMNS)


async def test_what_a_child_writes_arrives():
    columns = await answer(WHOLE)
    assert [c.dtype.str for c in columns] == DTYPES
    assert [c.tolist() for c in columns] == [c.tolist() for c in COLUMNS]


async def test_very_many_columns_arrive_in_their_order_and_let_others_have_turns_meanwhile():
    dtypes = [("<f8", "|b1", "<i4", "<i4", "<u8")[i // 7 % 5] for i in range(5 * frame.COLUMNS_AT_ONCE + 3)]
    columns = [np.arange(2, dtype=np.dtype(dtype)) + np.asarray(i, dtype) for i, dtype in enumerate(dtypes)]
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    arrived = await answer(written({"rows": 2}, columns), dtypes=dtypes)
    task.cancel()
    assert [c.dtype.str for c in arrived] == dtypes
    assert [c.tolist() for c in arrived] == [c.tolist() for c in columns]
    assert turns >= 5


async def test_a_failure_arrives_as_its_header():
    assert await answer(written({"error": "no"})) == {"error": "no"}


async def test_anything_shorter_is_refused():
    for size in range(len(WHOLE)):
        with pytest.raises(frame.BadFrame):
            await answer(WHOLE[:size])


async def test_what_comes_after_the_columns_is_not_read():
    whole = await answer(WHOLE)
    more = await answer(WHOLE + WHOLE)
    assert [list(column) for column in more] == [list(column) for column in whole]


@pytest.mark.parametrize(
    "header",
    [
        *(b"", b"[]", b"3", b'"x"', b"{", b"\xff", b"{}", b'{"rows": 11}', b'{"rows": 0}', b'{"rows": -1}'),
        *(b'{"rows": 1e1}', b'{"rows": true}', b'{"rows": "3"}', b'{"rows": null}', b'{"rows": 99999999999999999999}'),
    ],
)
async def test_a_header_that_makes_no_sense_is_refused(header):
    with pytest.raises(frame.BadFrame):
        await answer(struct.pack("<I", len(header)) + header + bytes(1000))


async def test_a_header_without_end_is_refused_before_it_is_read():
    with pytest.raises(frame.BadFrame, match="too long"):
        await answer(struct.pack("<I", 2**32 - 1) + bytes(1000))


async def test_a_byte_that_is_no_boolean_becomes_one():
    header = json.dumps({"rows": 1}).encode()
    raw = struct.pack("<I", len(header)) + header + struct.pack("<dBi", 0.0, 255, 1)[:9] + struct.pack("<i", 1)
    column = (await answer(raw))[1]
    assert column.view("u1").tolist() == [1]


def test_a_job_larger_than_a_socket_takes_at_once_arrives():
    ours, theirs = socket.socketpair()
    job = {"signals": [{"t": [i / 3 for i in range(200_000)]}]}
    with ours, theirs:
        sender = threading.Thread(target=ours.sendall, args=(frame.pack(json.dumps(job).encode()),))
        sender.start()
        assert frame.read_job(theirs.fileno()) == job
        sender.join()


def test_a_gateway_that_went_away_ends_the_waiting_child():
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs, pytest.raises(EOFError):
        frame.read_job(theirs.fileno())


def test_a_result_larger_than_a_socket_takes_at_once_is_written():
    read, write = os.pipe()
    big = [np.arange(100_000.0) for _ in range(5)]
    parts = []
    reader = threading.Thread(target=lambda: parts.extend(iter(lambda: os.read(read, 65536), b"")))
    reader.start()
    frame.write(write, {"rows": 100_000}, big)
    os.close(write)
    reader.join()
    os.close(read)
    assert b"".join(parts).endswith(b"".join(c.tobytes() for c in big))
