"""The house of the fault simulation: a local Stripe, and a gateway that is killed again and again."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import dropwhile
from pathlib import Path

import httpx
from dying_gateway import STEPS

from gateway.store.store import violations

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("Fails", "Slow")
WEBHOOK_SECRET = "whsec_faults"
START_SECONDS = 30.0
LONGEST_LIFE = 2.5  # seconds; whoever waits for a step that does not come is killed then
LONGEST_RARE_LIFE = 8.0  # where what leads to the step happens only now and then
SHORTEST_LIFE, USUAL_LIFE = 0.3, 2.2  # seconds from the start of the process, of those killed at a random moment
UNSPENT_SECONDS = 4.0  # a token that is not spent by then is refunded
GONE_SECONDS = 3.0  # in which every child of a killed gateway must be gone
STOP_SECONDS = 20.0
COMMAND_SECONDS = 90.0  # a refund waits for a run, and for a Stripe that does not answer
OFTEN = {"begin_purchase", "open_purchase", "settle", "hold", "capture", "release", "receive_event", "finish_event",
         "result", "run", "booked.pay", "booked.hold", "booked.capture", "booked.release", "half_booked", "committed",
         "stripe.open", "stripe.retrieve"}  # fmt: skip


@dataclass(frozen=True)
class Death:
    """How a life of the gateway is to end: at the n-th coming to a step, or `seconds` after its start."""

    step: str
    nth: int
    seconds: float

    @classmethod
    def schedule(cls, seed: int, count: int) -> "list[Death]":
        """A third at random moments, the others at steps: every one in turn, in an order drawn from the seed."""
        dice = random.Random(f"{seed}:deaths")
        deaths: list[Death] = []
        while len(deaths) < count:
            steps = list(STEPS)
            dice.shuffle(steps)
            for step in steps:
                often = not OFTEN.isdisjoint({step, step.split(".")[0], step.rsplit(".", 1)[0]})
                nth = dice.choice((1, 1, 2, 3, 6))
                deaths.append(cls(step, nth if often else 1, LONGEST_LIFE if often else LONGEST_RARE_LIFE))
                if dice.random() < 0.5:
                    deaths.append(cls("", 0, dice.uniform(SHORTEST_LIFE, USUAL_LIFE)))
        return deaths[:count]

    def __str__(self) -> str:
        return f"{self.step}:{self.nth}" if self.step else f"after {self.seconds:.2f} s"


class House:
    """A folder with database, results, models and logs; and who lives in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.database = folder / "gateway.sqlite3"
        self.log, self._log_began = folder / "gateway.log", 0
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.died_at: Counter[str] = Counter()
        self.commands_died_at: Counter[str] = Counter()
        self.commands = 0
        self.starts: list[float] = []  # seconds from the start of the process to the first answer
        self.first_sales: list[float] = []  # and to the first capture of a run of its own
        self.faults: list[str] = []
        self._violations: set[str] = set()
        (folder / "for-sale" / "test").mkdir(parents=True)
        for name in MODELS:
            shutil.copy(ROOT / "tests" / "data" / "fmus" / "test" / f"{name}.fmu", folder / "for-sale" / "test")
        command = [sys.executable, "-m", "stripe_stub", "--port", "0", "--seed", "1"]
        command += ["--webhook-url", f"{self.url}/webhooks/stripe", "--webhook-secret", WEBHOOK_SECRET]
        with (folder / "stripe.log").open("wb") as log:
            self._stripe = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._stripe.stdout is not None
        self.stripe_url = self._stripe.stdout.readline().split()[-1]
        self._gateway: subprocess.Popen[bytes] | None = None

    def environment(self, death: Death | None, unspent_seconds: float) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        return kept | {
            "PUBLIC_BASE_URL": self.url, "GATEWAY_SECRET": "a secret of the fault simulation",
            "STRIPE_SECRET_KEY": "sk_test_faults", "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "STRIPE_API_BASE": self.stripe_url, "FMU_GATEWAY_DB_PATH": str(self.database),
            "MODELS_DIR": str(self.folder / "for-sale"), "UNSPENT_REFUND_DAYS": "1",
            "UNSPENT_SECONDS": str(unspent_seconds), "SIMULATION_TIMEOUT_SECONDS": "10",
            "KEYS_PER_MINUTE": "0", "CHECKOUTS_PER_MINUTE": "0", "CHECKOUTS_PER_SECOND": "0",
            "RELEASED_CPU_SECONDS_PER_HOUR": "1000000", "PARALLEL_RUNS": "2", "QUEUED_RUNS": "6",
            "DIES_AT": f"{death.step}:{death.nth}" if death and death.step else "",
        }  # fmt: skip

    async def start(self, http: httpx.AsyncClient, death: Death | None, unspent_seconds: float) -> bool:
        """A gateway that answers; False if it died before it did."""
        command = [sys.executable, str(ROOT / "benchmarks" / "dying_gateway.py"), "serve", "--port", str(self.port)]
        begun = time.monotonic()
        self._gateway = self._spawn(command, self.environment(death, unspent_seconds))
        while self._gateway.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get(f"{self.url}/health", timeout=1)).status_code == 200:
                    self.starts.append(time.monotonic() - begun)
                    return True
            if time.monotonic() - begun > START_SECONDS:
                raise RuntimeError(f"the gateway does not start; see {self.log}")
            await asyncio.sleep(0.02)
        return False

    def _spawn(self, command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self._log_began, self._began_at = log.tell(), time.time()
            return subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )

    async def live(self, http: httpx.AsyncClient, death: Death) -> None:
        """One life: from its start to its death, and the books as it left them."""
        starting = asyncio.create_task(self.start(http, death, UNSPENT_SECONDS))
        end = time.monotonic() + death.seconds
        if death.step:  # it may die of it while it starts: then it recovers what the one before left
            await starting
            end = time.monotonic() + death.seconds
        while time.monotonic() < end:
            if self._gateway is not None and self._gateway.poll() is not None:
                break
            await asyncio.sleep(0.01)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await self.kill(death)

    async def kill(self, death: Death) -> None:
        gateway = self._gateway
        assert gateway is not None
        gateway.kill()
        gateway.wait()
        said = self._said()
        self._note_first_sale(said)
        self.died_at[death.step if f"died at {death.step}" in said else "a random moment"] += 1
        if gateway.returncode != -signal.SIGKILL:
            self.faults.append(f"the gateway of {death} ended with {gateway.returncode}: {said[-20:]}")
        await self.check_gone(str(death))
        if self.database.exists():
            rows = set(await asyncio.to_thread(violations, self.database)) - self._violations
            self._violations |= rows
            self.faults += [f"after {death}: {row}" for row in sorted(rows)]

    async def check_gone(self, when: str) -> None:
        end = time.monotonic() + GONE_SECONDS
        while left := self.processes():
            if time.monotonic() > end:
                self.faults.append(f"after {when} processes are left: {left}")
                return
            await asyncio.sleep(0.01)

    def processes(self) -> list[int]:
        """Zygotes, their keepers and their runs: every process whose command line names this house's models."""
        mark = str(self.folder / "models").encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def _said(self) -> list[str]:
        """What this life of the gateway wrote on stderr."""
        with self.log.open("rb") as log:
            log.seek(self._log_began)
            return log.read().decode(errors="replace").splitlines()

    def _note_first_sale(self, said: Sequence[str]) -> None:
        """What it captured before it was serving, another one had run."""
        events = [json.loads(line) for line in said if line.startswith("{") and line.endswith("}")]
        served = dropwhile(lambda event: event["event"] != "serving", events)
        sale = next((event for event in served if event["event"] == "captured"), None)
        if sale is not None:
            self.first_sales.append(datetime.fromisoformat(sale["timestamp"]).timestamp() - self._began_at)

    async def command(self, *arguments: str, dies_at: str = "") -> None:
        """An operator's, beside a gateway or where none runs."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(ROOT / "benchmarks" / "dying_gateway.py"), *arguments, cwd=ROOT,
            env=self.environment(None, UNSPENT_SECONDS) | {"DIES_AT": dies_at},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.commands += 1
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                said = (await process.communicate())[1].decode(errors="replace")
        except TimeoutError:
            process.kill()
            await process.wait()
            self.faults.append(f"{' '.join(arguments)} did not end")
            return
        if dies_at and f"died at {dies_at}\n" in said:
            self.commands_died_at[dies_at] += 1
        elif process.returncode not in (0, 1, 5) or "Traceback" in said:
            self.faults.append(f"{' '.join(arguments)} ended with {process.returncode}: {said[-500:]}")

    async def stop(self) -> None:
        """As an operator does: SIGTERM, exit code 0, and nothing is left."""
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            gateway.terminate()
            code = await asyncio.to_thread(gateway.wait, STOP_SECONDS)
            self._note_first_sale(self._said())
            if code:
                self.faults.append(f"SIGTERM ended the gateway with {code}")
            await self.check_gone("SIGTERM")

    def close(self) -> None:
        for process in (self._gateway, self._stripe):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        if self._stripe.stdout is not None:
            self._stripe.stdout.close()


def shares(counter: Counter[str], most: Sequence[str] = ()) -> str:
    return ", ".join(f"{name} {counter[name]}" for name in (most or sorted(counter)) if counter[name])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
