"""The forkserver, seen from the gateway: starting it, and having it fork zygotes and validators."""

import asyncio
import contextlib
import errno
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parent / "forkserver.py"
# Nothing of the gateway's environment: it holds the secrets. One thread, or namespaces could not be had.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
ROOM = " " * 400  # for the command line of a zygote, which is longer than that of the forkserver
START_SECONDS = 20.0  # importing numpy and FMPy takes 0.3 s, forking milliseconds; the rest is for a slow machine
FAREWELL_SECONDS = 60.0  # milliseconds, longer for a fork bomb without a namespace; after it the keeper goes, too
FIRST_UID, UIDS = 61_000, 4_000  # of zygotes where the gateway is root: one each, nobody else's


class NoProcess(Exception):
    """There can be no new process now, and no model is to blame; the text says why."""


class Keeper:
    """A keeper, and so everything that it keeps. `pid` is for looking, not for signals."""

    def __init__(self, pid: int, handle: int, ended: Callable[[], None]) -> None:
        self.pid, self._handle, self._ended = pid, handle, ended

    def terminate(self) -> None:
        """It kills what is left."""
        send_signal(self._handle, signal.SIGTERM)

    async def end(self) -> None:
        """Returns when no process of it is left. To be called once."""
        self.terminate()
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await readable(self._handle)
        except TimeoutError:
            send_signal(self._handle, signal.SIGKILL)
            await readable(self._handle)
        os.close(self._handle)
        self._ended()


@dataclass(frozen=True, slots=True)
class Running:
    """A forkserver that was started. `handle` is its pidfd."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    handle: int


class Forkserver:
    """One process, started at its first use and again if it died; what it forked dies with it."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._ids = itertools.count(1)
        self._uids = itertools.cycle(range(FIRST_UID, FIRST_UID + UIDS))
        self._uids_in_use: set[int] = set()
        self._running: Running | None = None
        self._closed = False

    def begin(self) -> None:
        """Start it without waiting for the first use, also before there is an event loop: what it imports takes as long
        as what the gateway does. What prevents that is told at the first use, which tries again."""
        with contextlib.suppress(OSError):
            self._start()

    @property
    def alive(self) -> bool:
        return self._running is not None and not select.select([self._running.handle], [], [], 0)[0]

    async def fork(self, role: str, directory: str, kind: str, memory_bytes: int) -> tuple[Keeper, socket.socket]:
        """The keeper of a new "zygote" or "validator", and our end of a socket whose other end it has to itself.
        NoProcess if there can be none."""
        uid = next(uid for uid in self._uids if uid not in self._uids_in_use)
        request = {"role": role, "directory": directory, "kind": kind, "uid": uid, "memory": memory_bytes}
        async with self._turn:
            try:
                try:
                    keeper, end = await self._ask(request)
                except ConnectionError:  # it died since the last time
                    await self._end()
                    keeper, end = await self._ask(request)
            except TimeoutError:
                await self._end()
                raise NoProcess("the forkserver does not answer") from None
            except ConnectionError:
                raise NoProcess(f"the forkserver ended: {await self._end()}") from None
            except OSError as error:
                raise NoProcess(error.strerror or str(error)) from None
        self._uids_in_use.add(uid)
        return keeper, end

    async def close(self) -> None:
        """Returns when it is gone. It is not started again."""
        self._closed = True
        async with self._turn:
            await self._end()

    async def _ask(self, request: dict[str, Any]) -> tuple[Keeper, socket.socket]:
        if self._closed:
            raise NoProcess("the server is stopping")
        running = self._running or self._start()
        request = {"id": next(self._ids), **request}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                socket.send_fds(running.control, [json.dumps(request).encode()], [theirs.fileno()])
            async with asyncio.timeout(START_SECONDS):
                said, handles = await self._answer(running, request["id"])
            if not handles:
                raise OSError(said.get("errno", errno.EMFILE), os.strerror(said.get("errno", errno.EMFILE)))
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        return Keeper(said["pid"], handles[0], lambda: self._uids_in_use.discard(request["uid"])), ours

    @staticmethod
    async def _answer(running: Running, request_id: int) -> tuple[dict[str, Any], list[int]]:
        while True:
            await readable(running.control.fileno())
            message, handles, *_ = socket.recv_fds(running.control, 65536, 1)
            if not message:
                raise ConnectionResetError
            said = json.loads(message)
            if said["id"] == request_id:
                return said, handles
            for handle in handles:  # the answer to a request that nobody waited for to the end
                os.close(handle)

    def _start(self) -> Running:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                process = subprocess.Popen(  # noqa: S603 - this very interpreter, and a script of ours
                    (sys.executable, "-I", str(SCRIPT), str(theirs.fileno()), ROOM),
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    cwd="/",
                    env=ENVIRONMENT,
                    start_new_session=True,
                )
            ours.setblocking(False)
            self._running = Running(process, ours, os.pidfd_open(process.pid))
        except BaseException:
            ours.close()  # for it the sign to end
            raise
        return self._running

    async def _end(self) -> str:
        """The last line that it wrote."""
        running, self._running = self._running, None
        if running is None:
            return ""
        running.control.close()
        send_signal(running.handle, signal.SIGKILL)
        await readable(running.handle)
        os.close(running.handle)
        _, said = (
            running.process.communicate()
        )  # nobody else has that pipe: keepers silence themselves, or died with it
        return said.decode(errors="replace").strip().rpartition("\n")[2][:200]


def send_signal(handle: int, number: int) -> None:
    """To the process of a pidfd, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, number)


async def readable(descriptor: int) -> None:
    """Returns when there is something to read; of a pidfd: when its process is gone."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
