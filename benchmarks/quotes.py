"""Unpaid 402s: how many per second and at what CPU, beside a bare route and two payment middlewares, in one run.

Every server is a process of its own on one core, the load comes from another, and the servers take turns round by
round, so that whatever else the machine does hits all of them alike. Ratios are medians over the rounds. The gateway is
measured twice: with the same request over and over, which it remembers, and with requests that it never saw before.
`--count` measures something else: that 10,000 unpaid requests write nothing to SQLite and call Stripe never.
Run it as `scripts/bench quotes`; figures go to benchmarks/README.md by hand.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from counting import count
from load import Load, drive, generator
from servers import LOAD_CORE, ROOT, Server, free_port, gateway_running, keep_to, running

ASKED = {"fmu_id": "msl:BouncingBall", "stop_time": 1.0, "step": 0.01, "kpis": ["h_rms"]}
REQUEST = json.dumps(ASKED).encode()
# In turns, and many times as many as the gateway remembers: each is forgotten again before it comes back.
UNSEEN = [json.dumps(ASKED | {"stop_time": 1 + i / 100_000}).encode() for i in range(20_000)]
CONNECTIONS = 32
WARM_UP_SECONDS = 1.0
# As the gateway runs itself: what it leaves out, the others leave out too.
UVICORN = "--loop uvloop --http httptools --no-access-log --no-server-header --no-proxy-headers --log-level warning"
FLOORS = {"bare": 0.60, "x402": 2.5, "pympp": 3.0}  # the gateway's requests per second against each

OURS = ("gateway", "unseen")  # the same request over and over, and requests that it never saw before

Round = tuple[float, float]  # requests per second, CPU µs per request


def start_all(stack: ExitStack, folder: Path) -> dict[str, Server]:
    """The gateway first: its own 402 is the body that all others send."""
    # Nobody listens there: an unpaid request that called Stripe would fail.
    # The limit by address counts, but is never reached.
    env = {"STRIPE_API_BASE": "http://127.0.0.1:9", "QUOTES_PER_SECOND": "1000000"}
    gateway = stack.enter_context(gateway_running(folder, env))
    status, body = gateway.post("/simulate", REQUEST)
    if status != 402:
        raise RuntimeError(f"the gateway answered {status}, not 402: {body.decode()}")
    (folder / "body.json").write_bytes(body)
    servers = {"gateway": gateway}
    for name in FLOORS:
        servers[name] = start_peer(stack, folder, name, len(body))
    return servers


def start_peer(stack: ExitStack, folder: Path, name: str, size: int) -> Server:
    port, python = free_port(), str(ROOT / ".venv-bench/bin/python")
    env = {"BENCH_BODY": str(folder / "body.json")}
    command = [python, "-m", "uvicorn", "--factory", f"benchmarks.peers:{name}", "--port", str(port), *UVICORN.split()]
    server = stack.enter_context(running(command, port, env, log=folder / f"{name}.log"))
    status, body = server.post("/simulate", REQUEST)
    if status != 402 or abs(len(body) - size) > 8:
        raise RuntimeError(f"{name} answered {status} with {len(body)} bytes, not 402 with about {size}")
    return server


def measure(server: Server, bodies: Sequence[bytes], seconds: float) -> tuple[Round, Load]:
    before = server.cpu_seconds()
    load = drive(f"{server.url}/simulate", bodies, seconds=seconds, connections=CONNECTIONS)
    return (load.rate, (server.cpu_seconds() - before) / load.requests * 1e6), load


def report(rounds: dict[str, list[Round]], busiest: float) -> None:
    print(f"{'':8} {'req/s':>8} {'µs CPU':>7}")
    for name, own in rounds.items():
        rate, cpu = (statistics.median(values) for values in zip(*own, strict=True))
        print(f"{name:8} {rate:8.0f} {cpu:7.1f}")
    print("the gateway beside the others, by req/s (lowest to highest round) and by CPU:")
    for name, floor in FLOORS.items():
        for ours in OURS:
            pairs = list(zip(rounds[ours], rounds[name], strict=True))
            faster = [own[0] / theirs[0] for own, theirs in pairs]
            cheaper = statistics.median(theirs[1] / own[1] for own, theirs in pairs)
            ratio = statistics.median(faster)
            verdict = "" if ratio >= floor else f"  BELOW the floor of {floor}"
            print(f"{ours:8} {ratio:.2f}× ({min(faster):.2f} to {max(faster):.2f}), {cheaper:.2f}× {name}{verdict}")
    print(f"load: {generator()}, {CONNECTIONS} connections, at most {busiest:.0%} of its own core")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench quotes", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="of load per server and round (default 3)")
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    parser.add_argument("--count", action="store_true", help="count SQLite writes and Stripe calls instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quotes-") as temporary, ExitStack() as stack:
        folder = Path(temporary)
        if arguments.count:
            count(stack, folder, REQUEST)
            return
        servers = start_all(stack, folder)
        keep_to(LOAD_CORE, os.getpid())
        versions = ", ".join(f"{package} {version(package)}" for package in ("starlette", "uvicorn", "uvloop"))
        print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
        print(f"body {len((folder / 'body.json').read_bytes())} bytes, {arguments.rounds} × {arguments.seconds:g} s")
        rows = {OURS[1]: (servers["gateway"], UNSEEN)} | {name: (server, [REQUEST]) for name, server in servers.items()}
        rounds: dict[str, list[Round]] = {name: [] for name in rows}
        busiest = 0.0
        for server, bodies in rows.values():
            measure(server, bodies, WARM_UP_SECONDS)
        for _ in range(arguments.rounds):
            for name, (server, bodies) in rows.items():
                figures, load = measure(server, bodies, arguments.seconds)
                rounds[name].append(figures)
                busiest = max(busiest, load.busy)
        report(rounds, busiest)


if __name__ == "__main__":
    main()
