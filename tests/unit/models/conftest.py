"""How these tests run models."""

import os
from collections.abc import Callable
from typing import Any

import fmpy
import numpy as np
import pytest
from model_paths import FOR_TESTS, SHIPPED

Simulate = Callable[..., np.ndarray]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`shipped` is each model that is sold, `fmu` each model there is."""
    for name, paths in (("shipped", SHIPPED), ("fmu", SHIPPED + FOR_TESTS)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, paths, ids=[path.stem for path in paths])


@pytest.fixture
def simulate() -> Simulate:
    """Run one of our own models in this process; `messages` collects what it logs."""
    paths = {path.stem: path for path in SHIPPED + FOR_TESTS}

    def run(name: str, messages: list[str] | None = None, **options: Any) -> np.ndarray:
        def log(*arguments: Any) -> None:
            if messages is not None:
                messages.append(arguments[-1].decode())

        options.setdefault("fmi_type", "CoSimulation")
        return fmpy.simulate_fmu(os.fspath(paths[name]), logger=log, remote_platform=None, **options)

    return run
