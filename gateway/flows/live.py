"""Live: the runs of this process that are not over. How far each is, and stopping one."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.domain.runs import RunPlan, RunState
from gateway.errors import RunCancelled, RunFinished
from gateway.simulation.places import Place
from gateway.simulation.results import Stored
from gateway.store.records import Run

if TYPE_CHECKING:  # which holds them
    from gateway.flows.services import Services


@dataclass
class LiveRun:
    """One run from before its row is there until its outcome is written."""

    plan: RunPlan
    who: str  # whose released seconds it counts as, should it fail: an account, or the address of who has none
    place: Place | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)  # its row is there, its value held
    over: asyncio.Event = field(default_factory=asyncio.Event)  # its outcome is written
    cancelled: bool = False
    succeeded: Run | None = None  # its row then
    stored: Stored | None = None  # and its result
    _running: "asyncio.Task[Any] | None" = None

    def progress(self) -> dict[str, Any]:
        """{"ahead": n} while it waits for a place, then {"model_time", "fraction"}; None each while unknown."""
        if self.place is None or not self.place.running:
            return {"status": "queued", "ahead": self.place.ahead if self.place else 0}
        start, stop, said = self.plan.start_time, self.plan.stop_time, self.place.reached()
        reached = said if start <= said <= stop else None  # whatever the model's process says
        fraction = None if reached is None else (reached - start) / (stop - start)
        return {"status": "running", "model_time": reached, "fraction": fraction}

    def seconds(self) -> float:
        """For how long its process has been there."""
        begun = self.place.begun if self.place is not None else None
        return 0.0 if begun is None else time.perf_counter() - begun

    def cancel(self) -> None:
        """Its process is killed, wherever it is; no effect once the result is there."""
        if not self.cancelled:
            self.cancelled = True
            if self._running is not None:
                self._running.cancel()

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Around what `cancel` may interrupt. Raises RunCancelled then; another cancellation stays what it is."""
        if self.cancelled:
            raise RunCancelled()
        self._running = asyncio.current_task()
        assert self._running is not None
        try:
            yield
        except asyncio.CancelledError:
            if not self.cancelled:
                raise
            self._running.uncancel()
            error = RunCancelled()
            error.cpu_seconds = self.seconds()  # at most: a run has one thread
            raise error from None
        finally:
            self._running = None


async def cancel_run(services: "Services", run: Run) -> Run:
    """Stop it and release what was held; the run as it ended. RunFinished where there is a result, now or before."""
    live = services.running.get(run.id)
    if live is not None:
        live.cancel()
        await live.over.wait()
    ended = services.store.run(run.id) or run
    if ended.state is RunState.SUCCEEDED:
        raise RunFinished()
    return ended
