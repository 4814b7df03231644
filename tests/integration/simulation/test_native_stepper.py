"""The loop in C: only confined processes hold it, and a run uses it, also from below a folder that is closed to it."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lacking import lacking
from simulation_bench import ROOT

# A forkserver whose zygotes have no other loop than the one in C, in the place where it is told to be.
FORKSERVER = """
import socket, sys
from pathlib import Path
sys.path.append({root!r})
from gateway.simulation import forkserver, loops
loops.BUILD = Path({build!r})
loops.in_python = None
forkserver.prepare()
forkserver.serve(socket.socket(fileno=int(sys.argv[1])))
"""
RUN = """
import asyncio, json, os, pathlib, sys
sys.path += [{root!r}, {root!r} + "/tests"]
import hostile, processes
from gateway.simulation import description, forkservers, intake
from gateway.simulation.library import trial
from gateway.simulation.runner import Runner

def holds(pid):
    return "stepper-" in pathlib.Path(f"/proc/{{pid}}/maps").read_text()

async def main():
    forkservers.SCRIPT = pathlib.Path({script!r})
    runner = Runner(parallel=1, queued=1, timeout_seconds=60, memory_mb=256)
    await runner.start()
    folder = pathlib.Path({folder!r}, "model")
    intake.unpack(hostile.BALL, folder)
    plan = trial(description.read(folder, "test:ball", "ball"))
    with runner.reserve(paid=True) as place:
        rows = (await runner.run(plan, folder, place)).result.rows
    await hostile.prepared(runner)
    kinds = ("forkserver", "keeper", "zygote", "run")
    holding = {{kind: [holds(pid) for pid in processes.of_kind(kind)] for kind in kinds}}
    await runner.close()
    return {{"rows": rows, "holding": holding | {{"gateway": [holds(os.getpid())]}}, "missing": runner.missing}}

print(json.dumps(asyncio.run(main())))
"""


User = tuple[str, dict[str, Any]]


@pytest.fixture
def own() -> Iterator[Path]:
    """A folder where everybody may write, with a build of the stepper in one below it."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own is nobody else's
    folder.chmod(0o777)
    (folder / "native").mkdir()
    built = ROOT / "gateway" / "simulation" / "native" / f"stepper-{os.uname().machine}.so"
    shutil.copy(built, folder / "native" / built.name)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("missing", ["", "capability", "namespaces", "landlock"])
def test_only_the_zygote_and_its_runs_hold_the_stepper(user: User, own: Path, missing: str) -> None:
    python, how = user
    if os.geteuid() == 0 and not how:
        (own / "native").chmod(0o700)
    elif missing == "capability":
        pytest.skip("nobody but root has it")
    (build,) = (own / "native").iterdir()
    values = {"root": str(ROOT), "build": str(build), "folder": str(own), "script": str(own / "forkserver.py")}
    (own / "forkserver.py").write_text(FORKSERVER.format(**values))
    command = [python, *lacking(missing)[1:], "-c", RUN.format(**values)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd="/", **how)
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    assert said["rows"] == 301
    outside = {kind: [False] for kind in ("gateway", "forkserver", "keeper")}
    assert said["holding"] == {**outside, "zygote": [True], "run": [True]}
