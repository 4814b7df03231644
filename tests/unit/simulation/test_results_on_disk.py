"""A result that can be read would survive a power cut: it was synced before it got its name, and its name after."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gateway.simulation.results import Result, ResultFiles, Stored

RESULT = Result(("time",), (np.arange(3.0),), 2.0)


def test_the_bytes_are_on_disk_before_the_name_and_the_name_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        synced = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        done.append(f"synced {synced.suffix or synced.relative_to(tmp_path)}")

    def rename(path: Path, target: Path) -> Path:
        done.append(f"renamed {path.suffix} with {path.stat().st_size} bytes")
        return real_rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    files = ResultFiles(tmp_path / "data" / "results")
    files.write("run_1", Stored({}, RESULT))
    size = (tmp_path / "data" / "results" / "run_1.run").stat().st_size
    assert done[:3] == ["synced .part", f"renamed .part with {size} bytes", "synced data/results"]
    assert sorted(done[3:]) == ["synced .", "synced data"]  # the names of the folders, which were made for it
    done.clear()
    files.write("run_2", Stored({}, RESULT))
    assert done[2:] == ["synced data/results"]


def test_a_result_whose_name_may_not_be_on_disk_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_dir():
            raise OSError(errno.EIO, "Input/output error")
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    files = ResultFiles(tmp_path)
    with pytest.raises(OSError, match="Input/output"):
        files.write("run_1", Stored({}, RESULT))
    assert files.read("run_1") is None
    assert list(tmp_path.iterdir()) == []


def test_the_first_results_of_all_may_be_stored_at_once(tmp_path):
    for turn in range(20):
        files = ResultFiles(tmp_path / f"{turn}")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i, files=files: files.write(f"run_{i}", Stored({}, RESULT)), range(8)))
        assert len(files.ids()) == 8
