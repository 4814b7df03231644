"""Hostile models: every fault ends as it must, and after it everything is as before, whoever the gateway runs as."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hostile
import pytest
from hostile import FAULTS, ROOT, Corpus

from gateway.errors import ModelCrashed, SimulationTimeout
from gateway.simulation import run_process, watch, zygotes


@contextlib.contextmanager
def folder_of_everybody():
    """A folder that an ordinary user may write to, with one for temporary files in it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    (folder / "temporary").mkdir()
    (folder / "temporary").chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def everybodys():
    with folder_of_everybody() as folder:
        yield folder


def test_every_fault_has_its_expected_end_and_there_are_enough():
    assert hostile.faults_in_source() == set(FAULTS)
    assert len(FAULTS) >= 60


def surveyed(folder, python=sys.executable, how=None, *options):
    """What was wrong. In a process of its own: the descriptors of ours are not only the runner's."""
    (folder / "hostile.so").write_bytes(hostile.library())
    environment = {**os.environ, "HOSTILE_LIBRARY": str(folder / "hostile.so"), "TMPDIR": str(folder / "temporary")}
    command = [python, str(ROOT / "tests" / "hostile.py"), str(folder), *options]
    limits = {"capture_output": True, "text": True, "timeout": 300, "env": environment}
    done = subprocess.run(command, check=False, **limits, **(how or {}))
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("without", ["", "namespaces"])
def test_eight_at_a_time_each_ends_as_it_must_and_leaves_nothing(user, everybodys, without):
    python, how = user
    assert surveyed(everybodys, python, how, *(["--without", without] if without else [])) == {}


@pytest.mark.parametrize("without", ["", "namespaces"])
def test_after_each_one_alone_everything_is_as_before(users, without):
    """Both users side by side: most of the time hanging models are waited for."""
    options = [*(["--without", without] if without else []), "--together", "1"]

    def alone(user):
        with folder_of_everybody() as folder:
            return surveyed(folder, *user, *options)

    with ThreadPoolExecutor() as side_by_side:
        assert list(side_by_side.map(alone, users)) == [{}] * len(users)


@pytest.mark.parametrize("without", ["", "namespaces"])
def test_three_hundred_in_a_row(user, everybodys, without):
    python, how = user
    options = ["--without", without] if without else []
    assert surveyed(everybodys, python, how, *options, "--in-a-row", "300") == {}


@pytest.mark.parametrize("fault", ["spin_later_load", "spin_in_child_load"])
async def test_a_library_that_begins_to_work_later_is_ended(everybodys, monkeypatch, fault):
    monkeypatch.setattr(zygotes, "WATCH_SECONDS", 0.1)
    monkeypatch.setattr(watch, "IDLE_CPU_SECONDS", 0.015)
    corpus = Corpus(everybodys, parallel=1, timeout=30.0)
    await corpus.begin()
    await corpus.run(fault)
    (zygote,) = [task.result() for key, task in corpus.runner._zygotes.items() if key[0] == fault]
    for _ in range(400):
        if not zygote.alive:
            break
        await asyncio.sleep(0.02)
    assert not zygote.alive
    await corpus.close()
    assert corpus.wrong == {}


async def test_a_zygote_that_reports_nothing_keeps_no_place(everybodys, monkeypatch):
    monkeypatch.setattr(run_process, "REPORT_SECONDS", 600.0)
    corpus = Corpus(everybodys, parallel=1, timeout=30.0)
    await corpus.begin()
    async with asyncio.timeout(60):
        for _ in range(3):  # each in the place of the one before
            await corpus.run("patch_zygote_mute")
    await corpus.close()
    assert corpus.wrong == {}


async def test_a_failed_run_counts_for_as_long_as_its_report_is_waited_for(everybodys, monkeypatch):
    monkeypatch.setattr(run_process, "REPORT_SECONDS", 0.5)
    corpus = Corpus(everybodys, parallel=1, timeout=30.0)
    await corpus.begin()
    with pytest.raises(ModelCrashed, match="took the process") as failure:
        await corpus.run("patch_zygote_mute", "segfault")
    assert failure.value.cpu_seconds >= 0.5
    await corpus.close()


@pytest.mark.parametrize("says", ["patch_zygote_cheap", "patch_zygote_dear"])
async def test_a_run_counts_for_no_less_than_its_duration_and_no_more_than_the_machine_has(everybodys, says):
    corpus = Corpus(everybodys, parallel=1, timeout=0.5)
    await corpus.begin()
    most = (os.cpu_count() or 1) * 60.0
    with pytest.raises(SimulationTimeout) as failure:
        await corpus.run(says, "loop")
    assert 0.5 <= failure.value.cpu_seconds < most
    assert (await corpus.run(says)).cpu_seconds < most
    await corpus.close()
    assert corpus.wrong == {}
