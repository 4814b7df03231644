"""Sends one POST over and over on keep-alive connections: with wrk where it is installed, else from Python.

As a command (`python benchmarks/load.py URL BODY SECONDS CONNECTIONS`) it is the Python one, in a process of its own
like wrk, printing a Load as JSON.
"""

import asyncio
import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httptools
import uvloop


@dataclass(frozen=True)
class Load:
    """What one stretch of load did. `busy` is the generator's own share of its core; near 1 it, not the server, was
    the limit."""

    requests: int
    seconds: float
    busy: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def generator() -> str:
    return "wrk" if shutil.which("wrk") else "benchmarks/load.py"


def drive(url: str, body: bytes, *, seconds: float, connections: int) -> Load:
    """Load `url` for `seconds`. Raises RuntimeError if any answer was not a 402."""
    if shutil.which("wrk"):
        return _wrk(url, body, seconds=seconds, connections=connections)
    command = [sys.executable, __file__, url, body.decode(), str(seconds), str(connections)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Load(**json.loads(done.stdout))


def _wrk(url: str, body: bytes, *, seconds: float, connections: int) -> Load:
    script = f"wrk.method = 'POST'\nwrk.headers['content-type'] = 'application/json'\nwrk.body = [[{body.decode()}]]\n"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", file.name, url]
        before = _children_cpu()
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests, took = _found(r"(\d+) requests in ([\d.]+)s", out)
    (refused,) = _found(r"Non-2xx or 3xx responses: (\d+)", out)
    if refused != requests or "Socket errors" in out:
        raise RuntimeError(f"not every answer was a refusal to run unpaid:\n{out}")
    return Load(int(requests), took, (_children_cpu() - before) / took)


def _found(pattern: str, text: str) -> list[float]:
    match = re.search(pattern, text)
    return [float(group) for group in match.groups()] if match else [0.0, 0.0]


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class _Connection(asyncio.Protocol):
    """One keep-alive connection: the next request goes out as soon as the last answer is complete."""

    def __init__(self, request: bytes, until: float, done: asyncio.Future[None]) -> None:
        self.request, self.until, self.done = request, until, done
        self.answers = 0
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: Any) -> None:  # uvloop's transports are not asyncio's by class
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self.parser.get_status_code() != 402:
            return self.fail(f"answered {self.parser.get_status_code()}, not 402")
        self.answers += 1
        if time.perf_counter() < self.until:
            self.transport.write(self.request)
        elif not self.done.done():
            self.done.set_result(None)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(f"connection lost: {exc}")

    def fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))


async def _python(url: str, body: bytes, seconds: float, connections: int) -> Load:
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    loop = asyncio.get_running_loop()
    started, cpu = time.perf_counter(), time.process_time()
    opened = []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        _, protocol = await loop.create_connection(
            lambda done=done: _Connection(request, started + seconds, done),  # type: ignore[misc]
            str(parts.hostname),
            parts.port or 80,
        )
        opened.append(protocol)
    await asyncio.gather(*(connection.done for connection in opened))
    took = time.perf_counter() - started
    return Load(sum(connection.answers for connection in opened), took, (time.process_time() - cpu) / took)


if __name__ == "__main__":
    url, body, seconds, connections = sys.argv[1:]
    print(json.dumps(vars(uvloop.run(_python(url, body.encode(), float(seconds), int(connections))))))
