"""A run's process, seen from the gateway: waiting for it, giving it its job, taking its answer, ending it."""

import asyncio
import contextlib
import math
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from numpy.typing import NDArray

from gateway.simulation import frame, progress
from gateway.simulation.forkservers import readable

UCRED = struct.Struct("3i")  # pid, uid, gid
CPU_CLOCK = 2  # CPUCLOCK_SCHED: with a process id above it, the clock of that process (man 3 clock_getcpuclockid)
REPORT_SECONDS = 5.0  # in which a zygote forks, and says how a killed run ended; one that does not is broken


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run's process ended: os.wait's status, None if there never was one; its CPU seconds, its largest resident
    memory in bytes."""

    status: int | None
    cpu: float
    rss: int

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> "Ended":
        """Any of many errors if a model's constructor says it: nothing of it may surprise anybody later."""
        if said["status"] is not None:
            os.waitstatus_to_exitcode(said["status"])
        cpu, rss = float(said["cpu"]), int(said["rss"])
        if not 0 <= cpu < 1e6 or rss < 0:
            raise ValueError("no use of a process")
        return cls(said["status"], cpu, rss)


class RunProcess:
    """One confined, single-use child of a zygote, which ends it. `lose_zygote` is for one that does not report."""

    def __init__(self, lose_zygote: Callable[[], None]) -> None:
        self._lose_zygote, self._loop = lose_zygote, asyncio.get_running_loop()
        self._handle: int | None = None
        self._pid = 0
        self.ended: asyncio.Future[Ended | None] = self._loop.create_future()
        self.ending: asyncio.Task[Ended | None] | None = None
        self.gone: asyncio.Future[None] = self._loop.create_future()  # by the kernel's word, before its zygote's
        self.delivered = False  # its result is here; it only waits to be ended
        self.progress = progress.create()  # a descriptor; see reached()
        try:
            self._stream, self.other_end = socket.socketpair()
        except OSError:
            os.close(self.progress)
            raise
        self._stream.setblocking(False)
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)  # before the child can write

    async def begin(self) -> None:
        """Waits for its first byte, with which the kernel says its process id, so that nobody can lie about it.
        OSError if none comes, TimeoutError if nothing does."""
        async with asyncio.timeout(REPORT_SECONDS):
            await readable(self._stream.fileno())
        hello, ancillary, _, _ = self._stream.recvmsg(1, socket.CMSG_SPACE(UCRED.size))
        if hello != frame.HELLO:
            raise ConnectionResetError("no process came of it")
        self._pid = UCRED.unpack(ancillary[0][2])[0]
        self._handle = os.pidfd_open(self._pid)

    def waits(self) -> bool:
        """Whether it is there and said nothing since its first byte."""
        try:
            self._stream.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    async def answer(
        self, job: dict[str, Any], dtypes: Sequence[str], most_rows: int
    ) -> dict[str, Any] | list[NDArray[Any]]:
        """The columns or the header of a failure. frame.BadFrame or OSError if it did not do as it must."""
        # By orjson, 20 times as fast: input signals may be a megabyte, and in a thread json holds all others as well.
        await self._loop.sock_sendall(self._stream, frame.pack(orjson.dumps(job)))
        return await frame.receive(self._loop, self._stream, dtypes, most_rows)

    def reached(self) -> float:
        """Model time in seconds, as the process says it: any number, NaN if it says none or is gone."""
        return progress.read(self.progress) if self.progress >= 0 else math.nan

    def cpu_seconds(self) -> float:
        """What it used of the processors until now, as the kernel counts it: no word of the zygote's, which a library's
        constructor may have taught to lie. 0 of one that did not wait to be ended, and is gone already."""
        assert self._handle is not None
        try:
            used = time.clock_gettime(~self._pid << 3 | CPU_CLOCK)
            signal.pidfd_send_signal(self._handle, 0)  # it is there still: nobody else got its number meanwhile
        except OSError:
            return 0.0
        return used

    def kill(self) -> None:
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    async def end(self) -> Ended | None:
        """Kills it if it still runs, waits until it is gone and its zygote says how; None if that went with it. What
        ended by itself keeps its status: the stream closes after that is set."""
        self.kill()
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                if self._handle is not None:
                    await readable(self._handle)
                    self.gone.set_result(None)
                return await asyncio.shield(self.ended)
        except TimeoutError:
            self._lose_zygote()
            return None
        finally:
            self.close()

    def close(self) -> None:
        """Nothing of it stays, whatever happened before."""
        if not self.ended.done():
            self.kill()
        self._stream.close()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        if self.progress >= 0:
            os.close(self.progress)
            self.progress = -1
        if not self.gone.done():
            self.gone.set_result(None)
