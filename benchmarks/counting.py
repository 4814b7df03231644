"""What 10,000 unpaid requests leave behind: nothing in SQLite's files, and no call at the local Stripe.

The gateway's own counters are not asked. The database is looked at from outside: every byte of the file and its
write-ahead log, and `PRAGMA data_version` of a connection of our own, which changes with any commit by another one
(https://sqlite.org/pragma.html#pragma_data_version). Calls are counted by the local Stripe.
A purchase at the end moves all three counters, or the counting itself would be in doubt.
"""

import hashlib
import http.client
import json
import sqlite3
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from servers import DATABASE, Server, free_port, gateway_running, running

REQUESTS = 10_000
QUIET_SECONDS = 1.0  # nothing moved for so long: the work of starting is over
QUIET_WITHIN_SECONDS = 30.0


@dataclass(frozen=True)
class Traces:
    data_version: int
    bytes_sha256: str
    stripe_calls: int


class Watch:
    """Reads the traces from outside the gateway."""

    def __init__(self, folder: Path, stripe: Server) -> None:
        self.files = [folder / DATABASE, folder / f"{DATABASE}-wal"]
        self.stripe = stripe
        self.connection = sqlite3.connect(f"file:{self.files[0]}?mode=ro", uri=True)

    def traces(self) -> Traces:
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(file.read_bytes() if file.exists() else b"-")
        (version,) = self.connection.execute("PRAGMA data_version").fetchone()
        return Traces(version, digest.hexdigest(), len(self.calls()))

    def calls(self) -> list[str]:
        answer = json.loads(self.stripe.get("/_stub/calls"))
        return [f"{call['method']} {call['path']}" for call in answer["calls"]]

    def quiet(self) -> Traces:
        """The traces once they stand still: starting a gateway may write and call."""
        deadline = time.monotonic() + QUIET_WITHIN_SECONDS
        last = self.traces()
        while time.monotonic() < deadline:
            time.sleep(QUIET_SECONDS)
            now = self.traces()
            if now == last:
                return now
            last = now
        raise RuntimeError(f"the gateway did not come to rest: {self.calls()}")


def unpaid(gateway: Server, body: bytes) -> int:
    """Sends REQUESTS of them one after the other; the number of different session ids among the answers, all 402."""
    sessions = set()
    with closing(http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=10)) as connection:
        for _ in range(REQUESTS):
            connection.request("POST", "/simulate", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 402:
                raise RuntimeError(f"answered {answer.status}: {content.decode()}")
            sessions.add(json.loads(content)["session_id"])
    return len(sessions)


def count(stack: ExitStack, folder: Path, body: bytes) -> None:
    """Prints the counts; exits 1 if an unpaid request wrote or called, or if the control did not."""
    port = free_port()
    command = [sys.executable, "-m", "stripe_stub", "--port", str(port)]
    command += ["--webhook-url", "http://127.0.0.1:9/", "--webhook-secret", "whsec_benchmark"]
    stripe = stack.enter_context(running(command, port, {}, log=folder / "stripe.log"))
    gateway = stack.enter_context(gateway_running(folder, {"STRIPE_API_BASE": stripe.url}))
    watch = Watch(folder, stripe)

    before = watch.quiet()
    sessions = unpaid(gateway, body)
    after = watch.traces()
    new_calls = watch.calls()[before.stripe_calls :]
    print(f"{REQUESTS} unpaid requests, all 402, {sessions} different session ids")
    print(f"  commits seen by another connection: {'none' if after.data_version == before.data_version else 'SOME'}")
    print(f"  bytes of {DATABASE} and its log: {'same' if after.bytes_sha256 == before.bytes_sha256 else 'CHANGED'}")
    print(f"  calls at the local Stripe: {len(new_calls)} {new_calls or ''}")

    status, answer = gateway.post("/pay", json.dumps({"fmu_id": json.loads(body)["fmu_id"]}).encode())
    control = watch.quiet()
    print(f"control, one POST /pay answered {status}: {control.stripe_calls - after.stripe_calls} call(s)")
    moved = (
        control.data_version != after.data_version
        and control.bytes_sha256 != after.bytes_sha256
        and control.stripe_calls > after.stripe_calls
    )
    if not moved:
        raise SystemExit(f"the control moved not every counter, so they prove nothing: {answer.decode()}")
    if after != before or sessions != REQUESTS:
        raise SystemExit("unpaid requests left traces")
