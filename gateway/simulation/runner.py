"""Runner: plans in, results out. Every run is a confined, single-use process; a model's code never enters this one."""

import asyncio
import contextlib
import functools
import importlib.metadata
import math
import os
import platform
import re
import signal
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gateway.domain import kpis
from gateway.domain.requests import Limits
from gateway.domain.runs import RunPlan
from gateway.errors import MemoryLimit, ModelCrashed, ModelError, RunFailed, SandboxMissing, SimulationTimeout
from gateway.simulation import frame
from gateway.simulation.forkservers import START_SECONDS, Forkserver, NoProcess
from gateway.simulation.job import Job, job
from gateway.simulation.places import Place, Places
from gateway.simulation.results import Result
from gateway.simulation.run_process import Ended, RunProcess
from gateway.simulation.zygotes import Zygote, ZygoteDied

ZYGOTES = 16  # kept warm, about 40 MB each of which much is shared; the least recently used idle one leaves
INLINE_VALUES, INLINE_COLUMNS = 20_000, 500  # of a result; what is computed of more belongs in a thread
MODEL_TEXT = 200  # printable characters of a model's own words that a buyer sees
# A failure with this much resident is called running out of memory: Python and FMPy, and half of what a run may add.
BASE_MEMORY, MUCH_OF_MEMORY = 32 << 20, 0.5
CORES = os.cpu_count() or 1
AHEAD_SECONDS = 1.0  # much more than a run's process uses before it has its job
FMPY_VERSION = importlib.metadata.version("fmpy")
PLATFORM = f"{platform.machine()}-{platform.system().lower()}"
OUT_OF_MEMORY = re.compile(
    r"out of memory|(memory|alloc\w*)\b.{0,20}\bfail|fail\w*.{0,20}\balloc|bad_alloc|no memory", re.I
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run that succeeded. `result` has the plan's outputs, `kpis` one number (or None) for each label asked for."""

    result: Result
    kpis: Mapping[str, float | None]
    cpu_seconds: float
    wall_seconds: float
    provenance: Mapping[str, Any]


class Runner:
    """Owns the zygotes and the places, and the forkserver unless it is given one. All methods belong to one event
    loop. `tell_missing` is called when the confinement is found to lack something, or more than before."""

    def __init__(
        self,
        *,
        parallel: int,
        queued: int,
        timeout_seconds: float,
        memory_mb: int,
        max_values: int = Limits().values,
        loading_seconds: float = START_SECONDS,
        tell_missing: Callable[["Runner"], None] = lambda runner: None,
        forkserver: Forkserver | None = None,
    ) -> None:
        self.parallel = parallel
        self.forkserver = forkserver or Forkserver()
        self._tell_missing = tell_missing
        self._owns_forkserver = forkserver is None
        self.missing: tuple[str, ...] = ("not probed yet",)
        self._places = Places(parallel, queued)
        self._timeout, self._loading = timeout_seconds, loading_seconds
        self._memory = memory_mb << 20
        self._max_values = max_values
        self._most_zygotes = max(ZYGOTES, parallel)
        self._zygotes: OrderedDict[tuple[str, str], asyncio.Task[Zygote]] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self) -> None:
        """Probe what confinement this machine gives; see `level` and `missing`."""
        try:
            probe = await Zygote.start(self.forkserver, "-", "probe", self._memory, self._loading)
            await probe.close()
            self.missing = probe.missing
        except (ZygoteDied, NoProcess, TimeoutError) as error:
            self.missing = (f"sandbox: {error}",)
        if self.missing:
            self._tell_missing(self)

    async def close(self) -> None:
        """Returns when no process is left. Runs that are not finished fail."""
        self._closed = True
        tasks, self._zygotes = list(self._zygotes.values()), OrderedDict()
        for task in tasks:
            self._retire(task)
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)
        if self._owns_forkserver:
            await self.forkserver.close()

    @property
    def level(self) -> str:
        """How well runs are confined: "full", "no-namespaces", or "none", with which no stranger's model may run."""
        if not self.missing:
            return "full"
        return "no-namespaces" if all(m.startswith("namespaces:") for m in self.missing) else "none"

    def check_confines(self) -> None:
        """SandboxMissing where this machine cannot confine a stranger's model."""
        if self.level == "none":
            raise SandboxMissing(f"This machine cannot confine a stranger's model: {'; '.join(self.missing)}."[:500])

    def reserve(self, paid: bool) -> AbstractContextManager[Place]:
        """A place for one run, to be taken before anything is held. Busy if there is none."""
        return self._places.reserve(paid)

    async def run(self, plan: RunPlan, directory: Path, place: Place) -> Outcome:
        """Waits for the place's turn, then runs. RunFailed with `cpu_seconds` set; NoProcess if it could not begin, or
        ended for no fault of the model. Cancelling it kills the run. One that has delivered ends with its place."""
        await place.turn()
        limits = {"cpu_seconds": math.ceil(self._timeout) + 1, "max_values": self._max_values}
        make = functools.partial(job, plan, memory_bytes=self._memory, **limits)
        few = plan.model.column_count(plan.outputs) <= INLINE_COLUMNS
        task = make() if few else await asyncio.to_thread(make)
        zygote, process = await self._open_run(plan, directory)
        begun = time.perf_counter()
        place.begun, place.reached = begun, process.reached

        def end() -> asyncio.Future[None]:
            zygote.end(process)
            return process.gone

        place.end = end
        with contextlib.ExitStack() as undo:
            undo.callback(end)
            answer = await self._answer(process, task)
            wall = time.perf_counter() - begun
            used = process.cpu_seconds() or wall
            recorded = task.accept(answer) if isinstance(answer, list) else answer
            if not isinstance(recorded, Result):
                ended = await zygote.end(process)
                raise self._failure(recorded, ended, time.perf_counter() - begun)
            process.delivered = True
            undo.pop_all()  # it ends with its place, since that takes as long as a short run
        result = recorded.first(task.answered)

        def finish() -> Mapping[str, float | None]:
            _ = result.sha256, result.non_finite  # they are kept: nobody else has to wait for them
            return kpis.compute(plan.kpis, recorded.columns, recorded.arrays) if plan.kpis else {}

        inline = few and not plan.kpis and result.rows * len(result.columns) <= INLINE_VALUES
        values = finish() if inline else await asyncio.to_thread(finish)
        return Outcome(result, values, used, wall, self.provenance(plan))

    def forget(self, sha256: str) -> None:
        """The model is gone, and with it what its zygotes would read: they end, with what runs in them."""
        for key in [key for key in self._zygotes if key[0] == sha256]:
            self._retire(self._zygotes.pop(key))

    async def _answer(self, process: RunProcess, task: Job) -> dict[str, Any] | list[NDArray[Any]] | Exception:
        """What the process answered, or the exception that it did not."""
        try:
            async with asyncio.timeout(self._timeout):
                return await process.answer(task.told, task.dtypes, task.most_rows)
        except (frame.BadFrame, OSError) as error:  # TimeoutError is an OSError
            return error

    def _failure(self, answer: dict[str, Any] | Exception | str, ended: Ended | None, wall: float) -> RunFailed:
        """What an answer that is no result, and the end of the process, amount to. `answer` is text where its form was
        right and its values were not."""
        failure: RunFailed
        if ended is None and not self.forkserver.alive:
            raise NoProcess("the forkserver ended, and all runs with it")
        if ended is None:
            failure = ModelCrashed("The model took the process that watches over it along.")
        elif isinstance(answer, TimeoutError):
            failure = SimulationTimeout(f"The run did not end within {self._timeout:g} seconds.")
        elif isinstance(answer, Exception):
            failure = self._crash(ended)
        elif isinstance(answer, dict):
            failure = self._own_words(answer, ended)
        else:
            failure = ModelCrashed(f"The result is not one: {answer}.")
        failure.cpu_seconds = max(_cpu(ended, wall), wall) if ended else wall
        return failure

    def _crash(self, ended: Ended) -> RunFailed:
        assert ended.status is not None
        code = os.waitstatus_to_exitcode(ended.status)
        if -code == signal.SIGKILL and ended.cpu >= self._timeout:  # RLIMIT_CPU, a second later
            return SimulationTimeout(f"The run used more than {self._timeout:g} seconds of processor time.")
        if code < 0 and self._much_memory(ended):
            return MemoryLimit()
        if -code == signal.SIGKILL:  # ours: it went on, but not as it must
            return ModelCrashed("The model's process did not deliver a result of the right form.")
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return ModelCrashed(f"The model's code ended its process {how} before there was a result.")

    def _own_words(self, answer: dict[str, Any], ended: Ended) -> RunFailed:
        text = _printable(str(answer["error"]))
        if answer.get("memory") is True or self._much_memory(ended) or OUT_OF_MEMORY.search(text):
            return MemoryLimit()
        return ModelError(text)

    def _much_memory(self, ended: Ended) -> bool:
        return ended.rss > BASE_MEMORY + MUCH_OF_MEMORY * self._memory

    async def _open_run(self, plan: RunPlan, directory: Path) -> tuple[Zygote, RunProcess]:
        """In the model's zygote. One that died since its last run is started again, once; also one that could not load
        the model because the forkserver died."""
        begun = time.perf_counter()
        failure: RunFailed = ModelCrashed()
        for again in (True, False):
            zygote: Zygote | None = None
            try:
                zygote = await self._zygote(plan, directory)
                return zygote, await zygote.open_run()
            except ZygoteDied as error:
                failure = ModelCrashed(f"The model cannot be loaded: {_printable(str(error))}")
                if not again or (zygote is None and self.forkserver.alive):
                    break
            except TimeoutError:
                failure = SimulationTimeout("Loading the model, or beginning a run of it, did not end.")
                break
        failure.cpu_seconds = time.perf_counter() - begun
        raise failure

    async def _zygote(self, plan: RunPlan, directory: Path) -> Zygote:
        if self._closed:
            raise ZygoteDied("the server is stopping")
        key = (plan.model.sha256, plan.kind)
        task = self._zygotes.get(key)
        if task is None or (task.done() and (task.exception() or not task.result().alive)):
            if task is not None:
                self._retire(self._zygotes.pop(key))
            self._make_room()
            start = Zygote.start(self.forkserver, str(directory), key[1], self._memory, self._loading)
            task = asyncio.create_task(start)
            self._zygotes[key] = task
        self._zygotes.move_to_end(key)
        zygote = await asyncio.shield(task)
        if not set(zygote.missing) <= set(self.missing):
            self.missing = tuple(dict.fromkeys((*self.missing, *zygote.missing)))
            self._tell_missing(self)
        return zygote

    def _make_room(self) -> None:
        for key, task in list(self._zygotes.items()):
            if len(self._zygotes) < self._most_zygotes:
                return
            if task.done() and (task.exception() or not task.result().busy):
                self._retire(self._zygotes.pop(key))

    def _retire(self, task: "asyncio.Task[Zygote]") -> None:
        async def close() -> None:
            try:
                zygote = await task
            except (ZygoteDied, NoProcess, TimeoutError):
                return
            await zygote.close()

        closing = asyncio.create_task(close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def provenance(self, plan: RunPlan) -> dict[str, Any]:
        """What beside the request and the model decides the numbers."""
        return {
            "fmi_version": plan.model.fmi_version,
            "fmi_type": plan.kind,
            "solver": plan.effective_solver,
            "step": plan.step,
            "tolerance": plan.effective_tolerance,
            "fmpy_version": FMPY_VERSION,
            "platform": PLATFORM,
        }


def _cpu(ended: Ended, wall: float) -> float:
    """What the zygote says that a run used, in seconds, as far as it can be: a library's constructor may have taught it
    to lie. So a failed run counts for its duration at least, in which its place was nobody else's."""
    return min(ended.cpu, CORES * (wall + AHEAD_SECONDS))


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:MODEL_TEXT]
