"""The forkserver, seen from the gateway: starting it, and having it fork zygotes and validators."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "forkserver.py"
# Nothing of the gateway's environment: it holds the secrets. One thread, or namespaces could not be had.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
ROOM = " " * 400  # for the command line of a zygote, which is longer than that of the forkserver
FAREWELL_SECONDS = 60.0  # milliseconds, longer for a fork bomb without a namespace; after it the keeper goes, too
FIRST_UID, UIDS = 61_000, 4_000  # of zygotes where the gateway is root: one each, nobody else's


class Keeper:
    """A keeper, and so everything that it keeps. `pid` is for looking, not for signals."""

    def __init__(self, pid: int, handle: int) -> None:
        self.pid, self._handle = pid, handle

    def terminate(self) -> None:
        """It kills what is left."""
        self._signal(signal.SIGTERM)

    async def end(self) -> None:
        """Returns when no process of it is left. To be called once."""
        self.terminate()
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await readable(self._handle)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await readable(self._handle)
        os.close(self._handle)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)


class Forkserver:
    """One process, started at its first use and again if it died; what it forked dies with it."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._ids = itertools.count(1)
        self._uids = itertools.cycle(range(FIRST_UID, FIRST_UID + UIDS))
        self._control: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def fork(self, end: socket.socket, role: str, directory: str, kind: str, memory_bytes: int) -> Keeper:
        """The keeper of a new "zygote" or "validator", which has `end` to itself. OSError if there can be none."""
        request: dict[str, object] = {"role": role, "directory": directory, "kind": kind, "memory": memory_bytes}
        request["uid"] = next(self._uids)
        async with self._turn:
            try:
                return await self._ask(request, end)
            except OSError:  # it died since the last time
                await self._end()
                return await self._ask(request, end)

    async def close(self) -> None:
        """Returns when it is gone."""
        async with self._turn:
            await self._end()

    async def _ask(self, request: dict[str, object], end: socket.socket) -> Keeper:
        ours = self._control or await self._start()
        request = {"id": next(self._ids), **request}
        socket.send_fds(ours, [json.dumps(request).encode()], [end.fileno()])
        while True:
            await readable(ours.fileno())
            message, handles, *_ = socket.recv_fds(ours, 65536, 1)
            if not message:
                raise ConnectionResetError("the forkserver ended")
            said = json.loads(message)
            if said["id"] == request["id"]:
                return Keeper(said["pid"], handles[0])
            for handle in handles:  # the answer to a request that nobody waited for to the end
                os.close(handle)

    async def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", str(SCRIPT), str(theirs.fileno()), ROOM),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
            )
        ours.setblocking(False)
        self._control = ours
        return ours

    async def _end(self) -> None:
        control, process = self._control, self._process
        self._control = self._process = None
        if control is not None:
            control.close()  # for it the sign to end
        if process is not None:
            await process.wait()


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
