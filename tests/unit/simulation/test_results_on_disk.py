"""A result that can be read would survive a power cut: it was synced before it got its name, and its name after."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gateway.simulation.results import Result, ResultFiles


def test_the_bytes_are_on_disk_before_the_name_and_the_name_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        done.append(f"synced {Path(os.readlink(f'/proc/self/fd/{descriptor}')).suffix or 'folder'}")

    def rename(path: Path, target: Path) -> Path:
        done.append(f"renamed {path.suffix} with {path.stat().st_size} bytes")
        return real_rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    files = ResultFiles(tmp_path / "results")
    files.write("run_1", {}, Result(("time",), (np.arange(3.0),), 2.0))
    size = (tmp_path / "results" / "run_1.run").stat().st_size
    assert done == ["synced .part", f"renamed .part with {size} bytes", "synced folder"]


def test_the_first_results_of_all_may_be_stored_at_once(tmp_path):
    result = Result(("time",), (np.arange(3.0),), 2.0)
    for turn in range(20):
        files = ResultFiles(tmp_path / f"{turn}")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i, files=files: files.write(f"run_{i}", {}, result), range(8)))
        assert len(files.ids()) == 8
