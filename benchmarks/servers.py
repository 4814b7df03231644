"""Starts a server as a process of its own on a core of its own, and reads how much CPU it has used. Linux only."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVER_CORE, LOAD_CORE = 0, 1
DATABASE = "gateway.sqlite3"
START_SECONDS = 30.0  # to be up; importing the peers' payment libraries alone takes several


def keep_to(core: int, pid: int) -> None:
    """Keep this process and what it starts from now on to one core, if the machine has more than one."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


@dataclass(frozen=True)
class Server:
    pid: int
    url: str

    def cpu_seconds(self) -> float:
        """User and system time of the process with all its threads, without its children."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        request = urllib.request.Request(self.url + path, body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read()

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return bytes(answer.read())


@contextmanager
def running(command: Sequence[str], port: int, env: dict[str, str], *, log: Path) -> Iterator[Server]:
    """Run `command`, which listens on `port`, until the block ends. Raises RuntimeError with its log if it does not."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        keep_to(SERVER_CORE, process.pid)
        server = Server(process.pid, f"http://127.0.0.1:{port}")
        _wait_until_up(server, process, log)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def gateway_running(folder: Path, env: dict[str, str]) -> Iterator[Server]:
    """The gateway as it is served, selling for test money, with a new database in `folder`."""
    settings = {
        "STRIPE_SECRET_KEY": "sk_test_benchmark",
        "STRIPE_WEBHOOK_SECRET": "whsec_benchmark",
        "DATABASE_URL": f"sqlite:///{folder}/{DATABASE}",
    }
    port = free_port()
    command = [sys.executable, "-m", "gateway", "serve", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, port, {**settings, **env}, log=folder / "gateway.log") as server:
        yield server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.get("/health")
            return
        except urllib.error.HTTPError:
            return  # it answers; the peers have no /health
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text(errors='replace')}")
