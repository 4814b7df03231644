"""Sends POSTs over and over on keep-alive connections: with wrk where it is installed, else from Python.

As a command (`python benchmarks/load.py URL FILE SECONDS CONNECTIONS`, a body on each line of FILE) it is the Python
one, in a process of its own like wrk, printing a Load as JSON.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
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


# Every request is formatted before the first is sent, so that many bodies are no more work to send than one.
WRK = """
local requests, at = {{}}, 0
wrk.method, wrk.headers["content-type"] = "POST", "application/json"
function init()
  for body in io.lines("{file}") do requests[#requests + 1] = wrk.format(nil, nil, nil, body) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"""


def drive(url: str, bodies: Sequence[bytes], *, seconds: float, connections: int) -> Load:
    """Load `url` for `seconds` with the bodies, each one line, in turns. RuntimeError if any answer was not a 402."""
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        file = Path(folder) / "bodies"
        file.write_bytes(b"\n".join(bodies))
        if shutil.which("wrk"):
            return _wrk(url, file, seconds=seconds, connections=connections)
        command = [sys.executable, __file__, url, str(file), str(seconds), str(connections)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Load(**json.loads(done.stdout))


def _wrk(url: str, file: Path, *, seconds: float, connections: int) -> Load:
    script = file.with_name("script.lua")
    script.write_text(WRK.format(file=file))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script), url]
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

    def __init__(self, requests: Iterator[bytes], until: float, done: asyncio.Future[None]) -> None:
        self.requests, self.until, self.done = requests, until, done
        self.answers = 0
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: Any) -> None:  # uvloop's transports are not asyncio's by class
        self.transport = transport
        transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self.parser.get_status_code() != 402:
            return self.fail(f"answered {self.parser.get_status_code()}, not 402")
        self.answers += 1
        if time.perf_counter() < self.until:
            self.transport.write(next(self.requests))
        elif not self.done.done():
            self.done.set_result(None)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(f"connection lost: {exc}")

    def fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))


async def _python(url: str, bodies: Sequence[bytes], seconds: float, connections: int) -> Load:
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    requests = cycle([f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies])
    loop = asyncio.get_running_loop()
    started, cpu = time.perf_counter(), time.process_time()
    opened = []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        _, protocol = await loop.create_connection(
            partial(_Connection, requests, started + seconds, done),
            str(parts.hostname),
            parts.port or 80,
        )
        opened.append(protocol)
    await asyncio.gather(*(connection.done for connection in opened))
    took = time.perf_counter() - started
    return Load(sum(connection.answers for connection in opened), took, (time.process_time() - cpu) / took)


if __name__ == "__main__":
    url, file, seconds, connections = sys.argv[1:]
    bodies = Path(file).read_bytes().splitlines()
    print(json.dumps(vars(uvloop.run(_python(url, bodies, float(seconds), int(connections))))))
