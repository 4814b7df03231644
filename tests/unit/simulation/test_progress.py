"""The one number that a run's process shares with the gateway."""

import fcntl
import math
import os
from array import array
from collections.abc import Iterator

import pytest

from gateway.simulation import progress


@pytest.fixture
def shared() -> Iterator[int]:
    descriptor = progress.create()
    yield descriptor
    os.close(descriptor)


def test_nothing_is_known_before_the_first_step(shared: int) -> None:
    assert math.isnan(progress.read(shared))


def test_what_another_process_stores_is_read(shared: int) -> None:
    child = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", f"printf '\\0\\0\\0\\0\\0\\0\\04\\100' 1<>/proc/self/fd/{shared}"],  # 2.5, little-endian
        {},
        file_actions=[(os.POSIX_SPAWN_DUP2, shared, shared)],
    )
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert progress.read(shared) == 2.5


def test_the_mapping_outlives_the_descriptor_and_is_a_buffer_of_one_double(shared: int) -> None:
    copy = os.dup(shared)
    reached = progress.attach(copy)
    os.close(copy)
    reached[0] = 1.25
    assert progress.read(shared) == 1.25
    assert array("d", reached) == array("d", [1.25])


def test_nobody_can_make_it_larger_or_smaller(shared: int) -> None:
    for size in (0, 4, 4096, 1 << 30):
        with pytest.raises(PermissionError):
            os.ftruncate(shared, size)
    with pytest.raises(PermissionError):
        os.pwrite(shared, bytes(64), 0)
    with pytest.raises(PermissionError):
        fcntl.fcntl(shared, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    assert math.isnan(progress.read(shared))


def test_it_is_not_inherited_by_programs_that_are_started(shared: int) -> None:
    assert not os.get_inheritable(shared)
