"""Reading a body: no further than it may be long, and no longer than it may take."""

import asyncio
from typing import Any

import pytest
from starlette.types import Receive

from gateway.errors import BodyTooLarge, BodyTooSlow
from gateway.web import receive, requests
from gateway.web.receive import receive_file
from gateway.web.requests import read_body

LIMIT = 10


def coming(*parts: bytes, pauses: bool = False, endless: bool = False) -> Receive:
    """What a server would hand over: these parts, each at once or behind a pause, and then an end, or silence."""
    left = list(parts)

    async def next_part() -> dict[str, Any]:
        if pauses:
            await asyncio.sleep(0.001)
        if not left:
            await asyncio.Event().wait()
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left) or endless}

    return next_part


async def never() -> dict[str, Any]:
    raise AssertionError("the body was asked for")


def announced(length: int | None = None) -> dict[str, Any]:
    headers = [] if length is None else [(b"host", b"x"), (b"content-length", b"%d" % length)]
    return {"type": "http", "headers": headers}


@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("parts", [(b"",), (b"0123456789",), (b"01234", b"", b"56789"), (b"0", b"")])
async def test_a_body_within_the_limit_is_read_whole(parts: tuple[bytes, ...], pauses: bool) -> None:
    assert await read_body(announced(), coming(*parts, pauses=pauses), LIMIT) == b"".join(parts)


async def test_a_length_beyond_the_limit_is_refused_before_anything_is_read() -> None:
    with pytest.raises(BodyTooLarge):
        await read_body(announced(LIMIT + 1), never, LIMIT)
    assert await read_body(announced(LIMIT), coming(b"0123456789"), LIMIT) == b"0123456789"


@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("parts", [(b"0123456789x",), (b"012345", b"6789x")])
async def test_a_body_beyond_the_limit_is_refused_before_its_end(parts: tuple[bytes, ...], pauses: bool) -> None:
    with pytest.raises(BodyTooLarge):
        await read_body(announced(), coming(*parts, pauses=pauses, endless=True), LIMIT)


@pytest.mark.parametrize("parts", [(), (b"01",), (b"", b"0")])
async def test_a_body_that_stays_away_is_waited_for_no_longer_than_it_may_take(
    monkeypatch: pytest.MonkeyPatch, parts: tuple[bytes, ...]
) -> None:
    monkeypatch.setattr(requests, "BODY_SECONDS", 0.02)
    with pytest.raises(BodyTooSlow):
        await read_body(announced(), coming(*parts, endless=True), LIMIT)


async def test_a_body_that_is_there_needs_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "BODY_SECONDS", "not even a number")
    assert await read_body(announced(2), coming(b"{}"), LIMIT) == b"{}"


async def test_whoever_stops_waiting_leaves_the_server_nothing_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []

    async def waiting() -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return {}

    monkeypatch.setattr(requests, "BODY_SECONDS", 0.02)
    with pytest.raises(BodyTooSlow):
        await read_body(announced(), waiting, LIMIT)
    assert ended == [True]
    reading = asyncio.create_task(read_body(announced(), waiting, LIMIT))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert ended == [True, True]


async def test_an_upload_may_take_as_long_as_it_keeps_coming(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(receive, "PATIENCE_SECONDS", 0.02)
    parts = [b"x" * 1000] * 100  # a tenth of a second and more, five times our patience
    options: dict[str, Any] = {"content_type": "", "content_length": "", "limit": 1 << 20, "room": 1 << 20}
    monkeypatch.setattr(receive, "SLOWEST", 1000)  # bytes/s: each part buys another second
    assert await receive_file(coming(*parts, pauses=True), tmp_path / "steady", **options)
    monkeypatch.setattr(receive, "SLOWEST", 1 << 30)
    with pytest.raises(BodyTooSlow):
        await receive_file(coming(*parts, pauses=True), tmp_path / "slow", **options)
