"""A result that can be read would survive a power cut: it was synced before it got its name, and its name after."""

import os
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
