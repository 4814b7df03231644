"""A confined run of ours as simulate_fmu would have it: the same arguments, the same structured array."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gateway.domain.runs import InputSignal
from gateway.simulation import description, intake
from gateway.simulation.library import trial
from gateway.simulation.runner import Runner

NAMES = {"output_interval": "step", "relative_tolerance": "tolerance"}
FMI_TYPES = {"CoSimulation": "co_simulation", "ModelExchange": "model_exchange"}


class Simulate(Protocol):
    def __call__(self, file: Path, **options: Any) -> np.ndarray: ...


@contextmanager
def confined(folder: Path) -> Iterator[Simulate]:
    """What runs them; models are unpacked in `folder`, which everybody may enter."""
    with asyncio.Runner() as loop:
        runner = Runner(parallel=1, queued=1, timeout_seconds=60, memory_mb=256)

        async def run(file: Path, **options: Any) -> np.ndarray:
            directory = folder / file.stem
            if not directory.is_dir():
                intake.unpack(file, directory)
            plan = trial(description.read(directory, f"test:{file.stem}", file.stem))
            asked = {NAMES.get(name, name): value for name, value in options.items()}
            asked["fmi_type"] = FMI_TYPES[asked.get("fmi_type", "CoSimulation")]
            asked["outputs"] = tuple(asked.pop("output", plan.outputs))
            asked["input_signals"] = signals_of(asked.pop("input", None))
            with runner.reserve(paid=True) as place:
                result = (await runner.run(replace(plan, **asked), directory, place)).result
            table = np.empty(result.rows, [(n, a.dtype) for n, a in zip(result.columns, result.arrays, strict=True)])
            for name, array in zip(result.columns, result.arrays, strict=True):
                table[name] = array
            return table

        try:
            yield lambda file, **options: loop.run(run(file, **options))
        finally:
            loop.run(runner.close())


def signals_of(table: np.ndarray | None) -> tuple[InputSignal, ...]:
    """Where FMPy has one time twice for a jump, ours has the number before it for the first of them."""
    if table is None:
        return ()
    time, *names = table.dtype.names or ()
    before = np.append(np.diff(table[time]) == 0, [False])
    t = np.where(before, np.nextafter(table[time], -np.inf), table[time])
    return tuple(InputSignal(name, tuple(t.tolist()), tuple(table[name].astype(float).tolist())) for name in names)
