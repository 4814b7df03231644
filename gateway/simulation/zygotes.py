"""Zygotes, seen from the gateway: starting them, sending them runs, ending both. zygote.py is the other end."""

import asyncio
import contextlib
import functools
import itertools
import json
import socket
from dataclasses import dataclass
from typing import Any

from gateway.simulation import watch
from gateway.simulation.forkservers import Forkserver, Keeper, NoProcess, readable
from gateway.simulation.run_process import Ended, RunProcess

WATCH_SECONDS = 1.0  # between two looks at what a zygote does


class ZygoteDied(Exception):
    """The zygote is gone, or never came up; the text says what it said last."""


@dataclass(frozen=True, slots=True)
class Spare:
    """A run's process that waits for the next run, or is about to."""

    id: int
    process: asyncio.Task[RunProcess]


class Zygote:
    """One running zygote. `missing` is what its confinement lacks."""

    def __init__(self, keeper: Keeper, control: socket.socket) -> None:
        self._keeper, self._control = keeper, control
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._ended: dict[int, asyncio.Future[Ended | None]] = {}
        self._spare: Spare | None = None
        self._open: set[RunProcess] = set()  # runs whose processes are not gone
        self._watching: asyncio.TimerHandle | None = None
        self._watched: watch.Sight | None = None
        self._runs_begun = self._runs_then = 0
        self.missing: tuple[str, ...] = ()
        self.alive = True

    @classmethod
    async def start(
        cls, forkserver: Forkserver, directory: str, kind: str, memory_bytes: int, seconds: float
    ) -> "Zygote":
        """Ready to run. ZygoteDied if the FMU cannot be loaded, NoProcess if that cannot begin, TimeoutError if it does
        not end within `seconds`. Directory "-" only probes the confinement. `memory_bytes` is what loading may add, and
        each run."""
        keeper, control = await forkserver.fork("zygote", directory, kind, memory_bytes)
        zygote = cls(keeper, control)
        try:
            async with asyncio.timeout(seconds):
                ours = await zygote._hear()
                zygote.missing = tuple(_said(ours, "missing"))
                if closed := _said(ours, "closed"):
                    raise NoProcess(closed)
                failed = None if directory == "-" else _said(await zygote._hear(), "failed")
            if failed is not None:
                raise ZygoteDied(str(failed))
            zygote._watched = watch.look(keeper.pid)
            if directory != "-" and (strange := watch.judge(zygote._watched, None, runs=0)):
                raise ZygoteDied(strange)
        except BaseException:
            await zygote.close()
            raise
        zygote._loop.add_reader(control.fileno(), zygote._listen)
        zygote._watching = zygote._loop.call_later(WATCH_SECONDS, zygote._watch)
        if directory != "-":
            zygote.prepare()
        return zygote

    async def _hear(self) -> bytes:
        """What it says next. One whose library starts processes instead dies; a short one, such as to ask for the
        machine's name, is let pass."""
        others = False
        while True:
            try:
                async with asyncio.timeout(watch.LOADING_SECONDS):
                    await readable(self._control.fileno())
                return self._control.recv(65536)
            except TimeoutError:
                before, others = others, watch.has_others(watch.look(self._keeper.pid))
                if before and others:
                    raise ZygoteDied(watch.STARTS_PROCESSES) from None
            except ConnectionError:
                return b""

    def _watch(self) -> None:
        """A library may have left something behind in it that works on: then it ends, and with it what it started."""
        idle = not self.busy and self._runs_begun == self._runs_then
        before, self._watched = self._watched, watch.look(self._keeper.pid)
        self._runs_then = self._runs_begun
        if watch.judge(self._watched, before if idle else None, runs=len(self._ended)):
            self.lose()
        else:
            self._watching = self._loop.call_later(WATCH_SECONDS, self._watch)

    @property
    def busy(self) -> int:
        """How many runs are in it."""
        return len(self._ended.keys() - ({self._spare.id} if self._spare else set()))

    async def open_run(self) -> RunProcess:
        """A run's process: confined, waiting for its job; the spare one if there is one. ZygoteDied or NoProcess if
        that fails; nothing of the model ran then. TimeoutError if it does not answer."""
        spare, self._spare = self._spare, None
        if spare is not None:
            try:
                run = await spare.process
            except asyncio.CancelledError:
                spare.process.add_done_callback(_discard)  # it may have come in this very turn
                raise
            except (ZygoteDied, NoProcess):
                pass  # at that time; now there may be one
            else:
                if run.waits():
                    self._open.add(run)
                    return run
                run.close()
        try:
            run = await self._begun(self._fork())
        except NoProcess:  # one that only waits to be ended may have all the threads that there may be
            if not (leaving := [self.end(run) for run in self._open if run.delivered or run.ending]):
                raise
            await asyncio.wait(leaving)
            run = await self._begun(self._fork())
        self._open.add(run)
        return run

    def end(self, run: RunProcess) -> "asyncio.Future[Ended | None]":
        """Kill a run's process, and fork the next one while it goes: how it ended, even if nobody waits for that."""
        if run.ending is None:
            run.kill()  # before the zygote has anything else to do
            run.ending = self._loop.create_task(run.end())
            run.ending.add_done_callback(lambda _: self._open.discard(run))
            self.prepare()
        return asyncio.shield(run.ending)

    def prepare(self) -> None:
        """Fork the next run's process ahead, while nobody waits for it: that is half of what a short run takes."""
        if self.alive and self._spare is None:
            with contextlib.suppress(ZygoteDied, NoProcess):
                run = self._fork()
                self._spare = Spare(self._runs_begun, self._loop.create_task(self._begun(run)))
                self._spare.process.add_done_callback(functools.partial(_close_failed, run))

    def _fork(self) -> RunProcess:
        try:
            run = RunProcess(self.lose)
        except OSError as error:  # no descriptor is left here
            raise NoProcess(error.strerror) from None
        run_id = self._runs_begun = next(self._ids)
        self._ended[run_id] = run.ended
        try:
            with run.other_end as theirs:
                socket.send_fds(self._control, [json.dumps({"id": run_id}).encode()], [theirs.fileno(), run.progress])
        except OSError as error:  # it does not read any more
            run.close()
            self.lose()
            raise ZygoteDied(str(error)) from None
        return run

    async def _begun(self, run: RunProcess) -> RunProcess:
        with contextlib.ExitStack() as undo:
            undo.callback(run.close)
            try:
                await run.begin()
            except TimeoutError:  # another one of it would not answer either
                self.lose()
                raise
            except OSError as error:  # no process came of it, or one that ended at once
                ended = await run.end()
                if ended is not None and ended.status is None:
                    raise NoProcess("the zygote could not fork") from None
                raise ZygoteDied(str(error)) from None
            undo.pop_all()
        return run

    def _listen(self) -> None:
        while True:
            try:
                message = self._control.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            try:
                said = json.loads(message)
                future = self._ended.pop(said.pop("id"))  # there until it is reported, also of a run that was given up
                ended = Ended.from_json(said)
            except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
                self.lose()  # it ended, or a constructor took it over: a flood of reports ends at the first false one
                return
            if not future.done():
                future.set_result(ended)

    def lose(self) -> None:
        """It died or does not answer: no more runs, and those in it are over."""
        if self.alive:
            self.alive = False
            if self._watching is not None:
                self._watching.cancel()
            self._loop.remove_reader(self._control.fileno())
            self._control.close()
            self._keeper.terminate()
        for future in self._ended.values():
            if not future.done():
                future.set_result(None)
        self._ended.clear()

    async def close(self) -> None:
        """Returns when no process of it is left. To be called once."""
        self.lose()
        await self._keeper.end()
        await asyncio.gather(*(self.end(run) for run in self._open if run.delivered))  # others are somebody's who waits
        if self._spare is not None:
            with contextlib.suppress(ZygoteDied, NoProcess, TimeoutError):
                (await self._spare.process).close()


def _close_failed(run: RunProcess, begun: asyncio.Task[RunProcess]) -> None:
    """Also of a task that was cancelled before its first line, where nothing of its own could have closed it."""
    if begun.cancelled() or begun.exception() is not None:
        run.close()


def _discard(opened: asyncio.Task[RunProcess]) -> None:
    if not opened.cancelled() and opened.exception() is None:
        opened.result().close()


def _said(raw: bytes, what: str) -> Any:
    """What a zygote says before it serves: {"missing": [...], "closed": null} while it is still only ours, then, its
    library loaded, {"failed": null}; or why not. ZygoteDied if it says something else, or nothing."""
    try:
        return json.loads(raw)[what]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ZygoteDied("it said something else than it must" if raw else "it crashed") from None
