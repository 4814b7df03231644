"""Hostile models: every fault ends as it must, and after it everything is as before, whoever the gateway runs as."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import hostile
import pytest
from hostile import FAULTS, OWN, ROOT, SLOW, Corpus, survey

from gateway.simulation import watch

STEPS = [name for name in FAULTS if name not in OWN]
# Each as an FMU of its own in benchmarks/hostile.py; here those that could do more than a run of another could undo.
ALONE = [name for name in FAULTS if name not in hostile.ATTEMPTS]


@pytest.fixture
def everybodys():
    """A folder that an ordinary user may write to."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_every_fault_has_its_expected_end_and_there_are_enough():
    assert hostile.faults_in_source() == set(FAULTS)
    assert len(FAULTS) >= 60


async def test_eight_at_a_time_each_ends_as_it_must_and_leaves_nothing(everybodys):
    rest = [name for name in FAULTS if name not in ALONE]
    assert await survey(everybodys, own=ALONE, by_parameter=rest) == {}


@pytest.mark.parametrize("without", ["", "namespaces"])
def test_as_another_user_and_without_namespaces_too(user, everybodys, without):
    python, how = user
    if not without and os.getuid() == 0 and not how:
        pytest.skip("that is the test above")
    command = [python, str(ROOT / "tests" / "hostile.py"), str(everybodys)]
    command += ["--without", without] if without else []
    (everybodys / "hostile.so").write_bytes(hostile.library())
    environment = {**os.environ, "HOSTILE_LIBRARY": str(everybodys / "hostile.so")}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, env=environment, **how)
    assert done.stdout, done.stderr
    assert json.loads(done.stdout) == {}


async def test_three_hundred_in_a_row(everybodys):
    corpus = Corpus(everybodys, parallel=2, timeout=30.0)
    await corpus.begin()
    quick = [name for name in STEPS if name not in SLOW]
    for i in range(300):
        await corpus.fault(quick[i % len(quick)], own=False)
    await corpus.after(["300 in a row"])
    await corpus.close()
    assert corpus.wrong == {}


async def test_a_library_that_begins_to_work_later_is_ended(everybodys, monkeypatch):
    monkeypatch.setattr(hostile.zygotes, "WATCH_SECONDS", 0.1)
    monkeypatch.setattr(watch, "IDLE_CPU_SECONDS", 0.015)
    corpus = Corpus(everybodys, parallel=1, timeout=30.0)
    await corpus.begin()
    await corpus.run("spin_later_load")
    (zygote,) = [task.result() for key, task in corpus.runner._zygotes.items() if key[0] == "spin_later_load"]
    for _ in range(400):
        if not zygote.alive:
            break
        await asyncio.sleep(0.02)
    assert not zygote.alive
    await corpus.after(["spin_later_load"])
    await corpus.close()
    assert corpus.wrong == {}
