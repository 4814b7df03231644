"""Loops: a co-simulation from row to row, in C where native/ has a build for this machine, else in Python: same bits.

For zygotes and their runs only. Nothing is judged here: stepper.py says what an end means.
"""

import contextlib
import ctypes
import os
import platform
from collections.abc import Callable, MutableSequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

OK, WARNING = 0, 1  # fmi2Status, fmi3Status: anything else is no result, also what no standard names


class Why(IntEnum):
    """Why a loop ended; native/stepper.c counts alike."""

    DONE, INPUT, STEP, TERMINATED, EARLY, OUTPUT = range(6)


@dataclass(frozen=True, slots=True)
class Port:
    """One getter or setter over a buffer of (rows, values)."""

    function: int  # its address
    is_fmi2: bool
    instance: Any
    references: Any  # a ctypes array
    buffer: NDArray[Any]

    def bind(self) -> Callable[[int], int]:
        """A call that moves one row and returns the status."""
        address, width, values = self.buffer.ctypes.data, self.buffer.strides[0], self.buffer.shape[1]
        tail = () if self.is_fmi2 else (ctypes.c_size_t,)
        shape = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, *tail)
        function = ctypes.CFUNCTYPE(ctypes.c_int, *shape)(self.function)
        call = partial(function, self.instance, ctypes.addressof(self.references), len(self.references))
        if self.is_fmi2:
            return lambda row: call(address + row * width)
        return lambda row: call(address + row * width, values)


@dataclass(frozen=True, slots=True)
class Loop:
    """Everything that happens between the first row and the last; `reached[0]` follows the time."""

    instance: Any
    do_step: int  # its address
    is_fmi2: bool
    times: NDArray[np.float64]
    inputs: list[Port]
    records: list[Port]
    reached: MutableSequence[float]  # that is also a buffer of one double


@dataclass(frozen=True, slots=True)
class End:
    """`row` is the one that was not completed, or the number of rows; `last` where an FMI 3 model says it got to."""

    why: Why
    row: int
    status: int
    last: float


class _Port(ctypes.Structure):
    _fields_ = [("call", ctypes.c_void_p), ("references", ctypes.c_void_p), ("count", ctypes.c_size_t),
                ("address", ctypes.c_void_p), ("width", ctypes.c_size_t), ("values", ctypes.c_size_t)]  # fmt: skip


class _Loop(ctypes.Structure):
    _fields_ = [("instance", ctypes.c_void_p), ("step", ctypes.c_void_p), ("times", ctypes.c_void_p),
                ("inputs", ctypes.POINTER(_Port)), ("records", ctypes.POINTER(_Port)), ("reached", ctypes.c_void_p),
                ("input_count", ctypes.c_size_t), ("record_count", ctypes.c_size_t), ("rows", ctypes.c_size_t),
                ("row", ctypes.c_size_t), ("last", ctypes.c_double), ("status", ctypes.c_int),
                ("is_fmi2", ctypes.c_bool), ("event", ctypes.c_bool), ("terminate", ctypes.c_bool),
                ("early", ctypes.c_bool)]  # fmt: skip


BUILD = Path(__file__).parent / "native" / f"stepper-{platform.machine()}.so"
library: Any = None  # what load() gave; None until then, and where there is no build for this machine


def find() -> int | None:
    """A descriptor of the build, None if there is none. To be had before a zygote is confined: then its user may not be
    able to pass the folders above."""
    with contextlib.suppress(OSError):
        return os.open(BUILD, os.O_RDONLY | os.O_CLOEXEC)
    return None


def load(build: int | None) -> Any:
    """What find() found, as `library`. For a zygote that is confined and has no model yet: its runs inherit it, and no
    process outside holds native code that steps models."""
    if build is None:
        return None
    try:
        found = ctypes.CDLL(f"/proc/self/fd/{build}")
    except OSError:
        return None
    finally:
        os.close(build)
    found.run.argtypes, found.run.restype = (ctypes.POINTER(_Loop),), ctypes.c_int
    return found


def go(loop: Loop) -> End:
    """Row 0 is there already."""
    return in_c(loop) if library is not None else in_python(loop)


def in_c(loop: Loop) -> End:
    ports = [
        (_Port * len(side))(
            *(_Port(p.function, ctypes.addressof(p.references), len(p.references), p.buffer.ctypes.data,
                    p.buffer.strides[0], p.buffer.shape[1]) for p in side)
        )
        for side in (loop.inputs, loop.records)
    ]  # fmt: skip
    reached = ctypes.c_double.from_buffer(loop.reached)  # type: ignore[arg-type]
    state = _Loop(loop.instance, loop.do_step, loop.times.ctypes.data, *ports, ctypes.addressof(reached),
                  len(loop.inputs), len(loop.records), len(loop.times), 1, is_fmi2=loop.is_fmi2)  # fmt: skip
    why = Why(library.run(ctypes.byref(state)))
    return End(why, state.row, state.status, state.last)


def in_python(loop: Loop) -> End:
    times, reached = loop.times.tolist(), loop.reached
    inputs, records = [p.bind() for p in loop.inputs], [p.bind() for p in loop.records]
    flags, last = np.zeros(3, np.uint8), ctypes.c_double()
    do_step = _step_fmi2(loop) if loop.is_fmi2 else _step_fmi3(loop, flags, last)
    seen, now = flags.data, times[0]
    for row, then in enumerate(times[1:], 1):
        for put in inputs:
            if not OK <= (status := put(row - 1)) <= WARNING:
                return End(Why.INPUT, row, status, last.value)
        if not OK <= (status := do_step(now, then - now)) <= WARNING:
            return End(Why.STEP, row, status, last.value)
        if seen[1] or seen[2]:
            return End(Why.TERMINATED if seen[1] else Why.EARLY, row, status, last.value)
        for get in records:
            if not OK <= (status := get(row)) <= WARNING:
                return End(Why.OUTPUT, row, status, last.value)
        now = reached[0] = then
    return End(Why.DONE, len(times), OK, last.value)


def _step_fmi2(loop: Loop) -> Callable[[float, float], int]:
    shape = (ctypes.c_void_p, ctypes.c_double, ctypes.c_double, ctypes.c_int)
    function = partial(ctypes.CFUNCTYPE(ctypes.c_int, *shape)(loop.do_step), loop.instance)
    return lambda now, step: function(now, step, 1)


def _step_fmi3(loop: Loop, flags: NDArray[np.uint8], last: ctypes.c_double) -> Callable[[float, float], int]:
    shape = (ctypes.c_void_p, ctypes.c_double, ctypes.c_double, ctypes.c_bool, *[ctypes.c_void_p] * 4)
    function = partial(ctypes.CFUNCTYPE(ctypes.c_int, *shape)(loop.do_step), loop.instance)
    event, last_at = flags.ctypes.data, ctypes.addressof(last)
    return lambda now, step: function(now, step, True, event, event + 1, event + 2, last_at)
