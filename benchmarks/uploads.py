"""Uploads: how fast every bad archive and description is refused, and how long the event loop is held by it.

    .venv/bin/python -m benchmarks.uploads [--rounds 5] [--only bad|late|large] [--each]

Each file goes through the intake, and through POST /fmus of a gateway in a process of its own (timed from the last byte
that was sent), whose ticker tells how long its event loop was held meanwhile; beside it, so that the machine's part is
seen, what the loop waited when nothing was asked of it. Then those with a fault behind 19,000 variables that are right,
and some large FMUs without any. Issue 4: refused within 50 ms, aim 5; the loop never held longer than 20 ms.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

from bad_uploads import CASES  # noqa: E402
from large_uploads import LARGE  # noqa: E402
from late_uploads import LATE_CASES  # noqa: E402

from benchmarks.loop import Ticker  # noqa: E402
from benchmarks.servers import free_port  # noqa: E402
from gateway.simulation import intake  # noqa: E402

READY_SECONDS = 60


@dataclass
class Seen:
    """Of one file: what was said, the milliseconds of each round, and the longest hold of the loop in each."""

    code: str
    size: int
    intake: list[float] = field(default_factory=list)
    post: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    said: set[str] = field(default_factory=set)


def serve(folder: str, port: int, pipe: Connection) -> None:
    """A gateway until the pipe ends; each message is answered with the longest hold since the one before, in ms."""
    import uvicorn
    import uvloop

    from gateway.app import create_app
    from gateway.serving import settle
    from gateway.settings import Settings

    settings = Settings(
        port=port,
        stripe_enabled=False,
        uploads_enabled=True,
        uploads_per_day=0,
        uploads_total_mb=100_000,
        keys_per_minute=0,
        fmu_gateway_db_path=f"{folder}/gateway.sqlite3",
    )
    app = create_app(settings)
    how: dict[str, Any] = {"log_level": "warning", "access_log": False, "http": "httptools", "lifespan": "off"}
    server = uvicorn.Server(uvicorn.Config(app, port=port, **how))

    async def answer(ticker: Ticker) -> None:
        while True:
            try:
                await asyncio.to_thread(pipe.recv)
            except EOFError:
                server.should_exit = True
                return
            worst, ticker.worst = ticker.worst, 0.0
            pipe.send(worst * 1e3)

    async def main() -> None:
        ticker = Ticker()
        answering = asyncio.create_task(answer(ticker))
        async with app.router.lifespan_context(app):
            settle()
            await server.serve()
        await answering
        ticker.task.cancel()

    uvloop.run(main())


class Client:
    """An account that uploads."""

    def __init__(self, port: int, pipe: Connection) -> None:
        self._pipe = pipe
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS)
        self._key = json.loads(self._ask("POST", "/keys", b"")[1])["api_key"]

    def _ask(self, method: str, path: str, body: bytes, **headers: str) -> tuple[int, bytes, float]:
        """Status, body, and the milliseconds that both took after the last byte was sent."""
        self._http.request(method, path, body, headers)
        begun = time.perf_counter()
        answer = self._http.getresponse()
        return answer.status, answer.read(), (time.perf_counter() - begun) * 1e3

    def held(self) -> float:
        """Since it was last asked, ms."""
        self._pipe.send(None)
        return float(self._pipe.recv())

    def upload(self, raw: bytes) -> tuple[str, float]:
        """The code that it is refused with, and the milliseconds until then, from the last byte on."""
        status, answer, took = self._ask("POST", "/fmus", raw, **{"X-API-Key": self._key})
        said = json.loads(answer)
        return str(said.get("code", status)), took


@contextmanager
def gateway() -> Iterator[Client]:
    spawning, port = multiprocessing.get_context("spawn"), free_port()
    ours, theirs = spawning.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = spawning.Process(target=serve, args=(folder, port, theirs))
        process.start()
        theirs.close()
        try:
            end = time.monotonic() + READY_SECONDS
            while True:
                try:
                    client = Client(port, ours)
                    break
                except ConnectionRefusedError:
                    if time.monotonic() > end or not process.is_alive():
                        raise
                    time.sleep(0.1)
            yield client
        finally:
            ours.close()
            process.join()


def through_intake(raw: bytes, folder: Path) -> float:
    """Milliseconds."""
    file = folder / "x.fmu"
    file.write_bytes(raw)
    begun = time.perf_counter()
    try:
        intake.unpack(file, folder / "out")
    except intake.Refused:
        return (time.perf_counter() - begun) * 1e3
    raise RuntimeError("nothing was wrong with it")


def measure(cases: Iterable[tuple[str, Callable[[], bytes]]], rounds: int, client: Client, folder: Path) -> list[Seen]:
    seen = []
    for code, make in cases:
        raw = make()
        one = Seen(code, len(raw))
        seen.append(one)
        for turn in range(rounds):
            if code != "taken":
                one.intake.append(through_intake(raw, folder))
            client.held()
            said, took = client.upload(raw if code != "taken" else make(turn))  # type: ignore[call-arg]
            one.held.append(client.held())
            one.post.append(took)
            one.said.add(said)
    return seen


def show(seen: list[Seen], *, each: bool) -> None:
    print(f"{'code':24} {'files':>5} {'intake, ms':>17} {'POST /fmus, ms':>17} {'loop held, ms':>17}")
    print(f"{'':24} {'':5} {'median    worst':>17} {'median    worst':>17} {'best r.   worst':>17}")
    groups: dict[str, list[Seen]] = {}
    for i, one in enumerate(seen):
        groups.setdefault(f"{i} {one.code} {one.size >> 10} KiB" if each else one.code, []).append(one)
    for name, group in groups.items():
        columns = ""
        for times in ("intake", "post"):
            all_times = [t for one in group for t in getattr(one, times)] or [0.0]
            columns += f" {statistics.median(all_times):8.1f} {max(all_times):8.1f}"
        held = max(min(one.held) for one in group), max(max(one.held) for one in group)
        said = {answer for one in group for answer in one.said if answer != one.code}
        print(f"{name:24.24} {len(group):5} {columns} {held[0]:8.1f} {held[1]:8.1f}  {' '.join(sorted(said))}")


def main(rounds: int, only: str | None, *, each: bool) -> None:
    warnings.simplefilter("ignore")  # the archives have names twice on purpose
    with tempfile.TemporaryDirectory() as place, gateway() as client:
        client.held()
        time.sleep(2)
        print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores; with nothing to do held {client.held():.1f} ms")
        for cases, part in ((CASES, "bad"), (LATE_CASES, "late")):
            if only not in {None, part}:
                continue
            bad = measure(cases, rounds, client, Path(place))
            show(bad, each=each)
            slowest = max(bad, key=lambda one: statistics.median(one.post))
            print(f"slowest by its median: {slowest.code}, {statistics.median(slowest.post):.1f} ms")
            print()
        if only in {None, "large"}:
            large = measure([("taken", make) for make in LARGE.values()], rounds, client, Path(place))
            for name, one in zip(LARGE, large, strict=True):
                one.code = name
            show(large, each=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("bad", "late", "large"))
    parser.add_argument("--each", action="store_true", help="a line for each file, not for each code")
    chosen = parser.parse_args()
    main(chosen.rounds, chosen.only, each=chosen.each)
