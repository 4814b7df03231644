"""The small pieces of state that flows share: one call at a time, and news for everybody who waits."""

import asyncio

import pytest

from gateway.flows.services import News, Shared


async def test_who_comes_while_a_call_is_under_way_shares_its_answer() -> None:
    shared: Shared[int] = Shared()
    begun, gate = 0, asyncio.Event()

    async def call() -> int:
        nonlocal begun
        begun += 1
        await gate.wait()
        return begun

    tasks = [asyncio.create_task(shared("a", call)) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()  # the one who asked first stops waiting; the others still get their answer
    gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [1, 1, 1, 1]
    assert await shared("a", call) == 2


async def test_a_call_that_fails_fails_for_all_who_share_it_and_is_made_again() -> None:
    shared: Shared[int] = Shared()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise LookupError

    async def succeed() -> int:
        return 1

    answers = await asyncio.gather(shared("a", fail), shared("a", fail), return_exceptions=True)
    assert [type(answer) for answer in answers] == [LookupError, LookupError]
    assert await shared("a", succeed) == 1


async def test_news_wakes_everybody_who_waits_for_it_and_nobody_else() -> None:
    news = News()
    waiting = [asyncio.create_task(news.wait("a", 60)) for _ in range(3)]
    other = asyncio.create_task(news.wait("b", 60))
    await asyncio.sleep(0)
    news.tell("a")
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
    assert not other.done()
    other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await other


async def test_waiting_ends_in_time_without_news_and_others_wait_on() -> None:
    news = News()
    patient = asyncio.create_task(news.wait("a", 60))
    await asyncio.sleep(0)
    await news.wait("a", 0)
    assert not patient.done()
    news.tell("a")
    async with asyncio.timeout(5):
        await patient


async def test_nothing_is_remembered_once_nobody_waits() -> None:
    news = News()
    await news.wait("a", 0)
    news.tell("b")
    assert news._waiting == {}
