"""Paid runs go first, free ones get half, and a full house says so before anything is held."""

import asyncio
from contextlib import ExitStack

import pytest

from gateway.errors import Busy
from gateway.simulation.places import Places


class House:
    """Runs that last until they are told to end."""

    def __init__(self, parallel, queued):
        self.places = Places(parallel, queued)
        self.order, self.ends, self.tasks, self.held = [], {}, {}, {}

    async def enter(self, name, paid):
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._run(name, paid))
        await asyncio.sleep(0)

    async def _run(self, name, paid):
        with self.places.reserve(paid) as place:
            self.held[name] = place
            await place.turn()
            self.order.append(name)
            await self.ends[name].wait()

    async def end(self, name):
        self.ends[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came")


async def test_as_many_run_as_there_are_places():
    house = House(2, 4)
    for name in "abc":
        await house.enter(name, True)
    assert house.order == ["a", "b"]
    await house.end("a")
    assert house.order == ["a", "b", "c"]


async def test_a_paid_run_overtakes_every_free_one_that_waits():
    house = House(1, 10)
    await house.enter("first", True)
    await house.enter("free", False)
    await house.enter("paid", True)
    assert house.held["paid"].ahead == 0
    assert house.held["free"].ahead == 1
    await house.end("first")
    assert house.order == ["first", "paid"]
    await house.end("paid")
    assert house.order == ["first", "paid", "free"]
    assert house.held["free"].running


async def test_free_runs_leave_half_of_the_running_places_to_paid_ones():
    house = House(4, 10)
    for name in "abcd":
        await house.enter(name, False)
    assert house.order == ["a", "b"]
    await house.enter("paid", True)
    assert house.order == ["a", "b", "paid"]


async def test_with_one_place_a_free_run_still_runs():
    house = House(1, 2)
    await house.enter("free", False)
    assert house.order == ["free"]


def test_a_full_house_is_busy_and_is_not_when_somebody_left():
    places = Places(1, 2)
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(places.reserve(True))
        with pytest.raises(Busy) as raised, places.reserve(True):
            pass
        assert raised.value.retry_after
    with places.reserve(True):
        pass


def test_free_runs_fill_half_of_the_queue_and_paid_ones_still_get_in():
    places = Places(2, 4)
    with ExitStack() as held:
        for _ in range(3):  # one running, two of four queued
            held.enter_context(places.reserve(False))
        with pytest.raises(Busy), places.reserve(False):
            pass
        held.enter_context(places.reserve(True))


async def test_the_next_one_runs_when_the_process_of_the_one_before_is_gone():
    house = House(1, 10)
    await house.enter("first", True)
    await house.enter("next", True)
    gone = asyncio.get_running_loop().create_future()
    house.held["first"].end = lambda: gone
    await house.end("first")
    assert house.order == ["first"]
    gone.set_result(None)
    await until(lambda: house.order == ["first", "next"])


async def test_while_a_process_goes_its_place_is_taken_and_no_other():
    places = Places(1, 1)
    gone = asyncio.get_running_loop().create_future()
    with places.reserve(True) as first:
        await first.turn()
        first.end = lambda: gone
    with places.reserve(True) as second, places.reserve(True):  # as many as before
        turn = asyncio.create_task(second.turn())
        await asyncio.sleep(0.01)
        assert not turn.done()
        gone.set_result(None)
        await turn


async def test_a_process_ends_a_moment_after_its_place_was_left_and_at_once_if_somebody_waits():
    house, ended = House(1, 10), []

    def ends(name):
        house.held[name].end = lambda: ended.append(name) or asyncio.ensure_future(asyncio.sleep(0))

    await house.enter("first", True)
    ends("first")
    await house.end("first")
    assert ended == []  # who was served is answered first
    await house.enter("second", True)
    await until(lambda: house.order == ["first", "second"])
    await house.enter("third", True)
    ends("second")
    await house.end("second")
    assert ended == ["first", "second"]


async def test_who_gives_up_waiting_is_not_called_and_blocks_nobody():
    house = House(1, 10)
    await house.enter("first", True)
    await house.enter("gone", True)
    await house.enter("next", True)
    house.tasks["gone"].cancel()
    await asyncio.gather(house.tasks["gone"], return_exceptions=True)
    await house.end("first")
    assert house.order == ["first", "next"]
    await house.end("next")
    await house.enter("last", True)
    assert house.order[-1] == "last"


async def test_who_gives_up_in_the_very_moment_of_being_called_hands_the_place_on():
    house = House(1, 10)
    with house.places.reserve(True) as first:
        await first.turn()
        await house.enter("gone", True)
        await house.enter("next", True)
    assert house.held["gone"].running
    assert house.order == []  # called, and not back on its feet yet
    house.tasks["gone"].cancel()
    await asyncio.gather(house.tasks["gone"], return_exceptions=True)
    await asyncio.sleep(0)
    assert house.order == ["next"]
