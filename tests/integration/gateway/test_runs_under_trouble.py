"""Trouble while runs go on: many at once, a reconciler beside them, a disk that is full, a clock that is wrong."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness import BALL, PATIENCE, SLOW, Bought, Gateway, House, problem, until
from processes import busy as working

from gateway.store.connection import connect

Start = Callable[..., Gateway]


def state_of(gateway: Gateway, bought: Bought) -> str:
    return str(gateway.rows("SELECT state FROM token WHERE id = ?", gateway.purchase_id(bought))[0]["state"])


def test_the_reconciler_takes_no_living_run_for_an_orphan(open_gateway: Start) -> None:
    gateway = open_gateway()
    bought = gateway.buy(SLOW)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(gateway.simulate, SLOW, bought.token)
        until(lambda: state_of(gateway, bought) == "held", "the hold")
        gateway.reconcile()
        assert state_of(gateway, bought) == "held"
        assert running.result().status_code == 200


def test_the_reconciler_takes_no_result_that_is_being_written_for_an_abandoned_one(
    open_gateway: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = open_gateway()
    bought = gateway.buy()
    written, reconciled, fsync = threading.Event(), threading.Event(), os.fsync

    def slowly(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".part"):
            written.set()
            assert reconciled.wait(PATIENCE)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slowly)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(gateway.simulate, BALL, bought.token)
        assert written.wait(PATIENCE)
        gateway.reconcile()
        reconciled.set()
        assert running.result().status_code == 200


def test_a_result_that_a_kill_left_half_written_is_gone_after_the_next_start(house: House) -> None:
    with house.gateway() as gateway:
        assert gateway.simulate(BALL, gateway.buy().token).status_code == 200
        half = gateway.settings.results_path / "run_x.1.part"
        half.write_bytes(b"half")
    with house.gateway():
        assert not half.exists()
    assert len(list(half.parent.iterdir())) == 1


def fill(gateway: Gateway) -> Callable[[], None]:
    """The database may not grow any more; what to call to make room again."""

    def limit(pages: int) -> None:
        gateway.call(lambda s: s.store.write(lambda db: db.execute(f"PRAGMA max_page_count={pages}").fetchone()))

    limit(gateway.call(lambda s: s.store.write(lambda db: db.execute("PRAGMA page_count").fetchone()[0])))
    return lambda: limit(1_000_000)


def test_a_full_disk_refuses_before_any_hold_and_is_left_behind(open_gateway: Start) -> None:
    gateway = open_gateway()
    bought = [gateway.buy() for _ in range(30)]
    room = fill(gateway)
    answers = [gateway.simulate(BALL, b.token) for b in bought]  # some still fit into the pages that are there
    refused = [(b, a) for b, a in zip(bought, answers, strict=True) if a.status_code != 200]
    assert refused, "the disk was not full"
    for one, answer in refused:
        if answer.json()["code"] == "outcome_unknown":  # held before it was full: its capture is made up for
            assert state_of(gateway, one) == "held"
        else:
            problem(answer, 507, "storage_full")
            assert state_of(gateway, one) == "ready"
    quotes = [gateway.quote() for _ in range(30)]  # stored nowhere, so still given
    opened = [gateway.http.get(quote["checkout_url"]) for quote in quotes]
    problem(opened[-1], 507, "storage_full")
    assert gateway.violations() == []
    room()
    gateway.reconcile()
    for one, answer in refused:
        if answer.json()["code"] == "outcome_unknown":
            problem(gateway.status(one.session_id), 410, "consumed")
        else:
            assert gateway.simulate(BALL, one.token).status_code == 200
    assert gateway.open(quotes[-1])


def test_a_webhook_that_cannot_be_stored_is_not_taken_and_comes_again(open_gateway: Start) -> None:
    gateway = open_gateway()
    quote = gateway.quote()
    session = gateway.open(quote)
    with closing(connect(gateway.settings.database_path)) as other:
        gateway.call(lambda s: s.store.write(lambda db: db.execute("PRAGMA busy_timeout=50")))
        other.execute("BEGIN IMMEDIATE")
        paid = gateway.stripe.pay(session)
        statuses = [attempt["status"] for delivery in paid["webhooks"] for attempt in delivery["attempts"]]
        assert set(statuses) == {503}
        other.execute("ROLLBACK")
    gateway.stripe.flush()
    assert gateway.rows("SELECT state FROM purchase") == [{"state": "paid"}]
    assert gateway.simulate(BALL, gateway.collect(quote["session_id"])).status_code == 200


def test_a_database_locked_by_another_process_is_busy_and_then_works(open_gateway: Start) -> None:
    gateway = open_gateway()
    bought = gateway.buy()
    gateway.call(lambda s: s.store.write(lambda db: db.execute("PRAGMA busy_timeout=50")))
    with closing(connect(gateway.settings.database_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        busy = gateway.simulate(BALL, bought.token)
        problem(busy, 503, "busy")
        assert int(busy.headers["retry-after"]) >= 1
        assert gateway.status(bought.session_id).json()["payment_token"] == bought.token  # reading goes on
        other.execute("ROLLBACK")
    assert gateway.simulate(BALL, bought.token).status_code == 200


def seen(run: Callable[..., Any], ends: list[type[BaseException]]) -> Callable[..., Any]:
    """`run`, which writes down how it ends if not well."""

    async def watched(*asked: Any) -> Any:
        try:
            return await run(*asked)
        except BaseException as error:
            ends.append(type(error))
            raise

    return watched


def test_a_run_whose_hold_cannot_be_committed_is_killed_and_costs_nothing(open_gateway: Start) -> None:
    gateway = open_gateway()
    bought = gateway.buy(SLOW)
    gateway.call(lambda s: s.store.write(lambda db: db.execute("PRAGMA busy_timeout=500")))
    runner, ends = gateway.services.runner, []
    runner.run = seen(runner.run, ends)
    with closing(connect(gateway.settings.database_path)) as other, ThreadPoolExecutor(1) as pool:
        other.execute("BEGIN IMMEDIATE")
        asked = pool.submit(gateway.simulate, SLOW, bought.token)
        until(working, "its process")  # at work already, while its hold waits
        problem(asked.result(), 503, "busy")
        assert not working()
        other.execute("ROLLBACK")
    assert ends == [asyncio.CancelledError]
    assert gateway.rows("SELECT id FROM run") == []
    assert gateway.collect(bought.session_id) == bought.token


@pytest.mark.parametrize(("fmu_id", "status"), [("msl:BouncingBall", 200), ("test:Crashes", 500)])
def test_a_run_that_ends_before_its_hold_is_committed_waits_for_it(
    open_gateway: Start, fmu_id: str, status: int
) -> None:
    gateway = open_gateway()
    body = {"fmu_id": fmu_id} | ({"start_values": {"crash_at": 0.0}} if status == 500 else {})
    bought = gateway.buy(body)
    with closing(connect(gateway.settings.database_path)) as other, ThreadPoolExecutor(1) as pool:
        other.execute("BEGIN IMMEDIATE")
        asked = pool.submit(gateway.simulate, body, bought.token)
        until(lambda: sum(gateway.services.meter.run_times) == 1, "the run to end")
        assert state_of(gateway, bought) == "ready"
        assert not asked.done()
        other.execute("ROLLBACK")
        answer = asked.result()
    assert (answer.status_code, answer.json()["charged"]) == (status, status == 200)
    assert state_of(gateway, bought) == ("spent" if status == 200 else "ready")
    kinds = gateway.rows("SELECT kind FROM transfer WHERE ref = ? ORDER BY rowid", gateway.purchase_id(bought))
    assert [row["kind"] for row in kinds] == ["pay", "hold", "capture" if status == 200 else "release"]


def test_a_database_that_became_read_only_refuses_and_then_works(open_gateway: Start) -> None:
    gateway = open_gateway()
    bought = gateway.buy()
    writing = gateway.services.store.write._db
    writing.execute("PRAGMA query_only=ON")  # the same error as of a file system that the kernel made read-only
    problem(gateway.simulate(BALL, bought.token), 507, "storage_full")
    assert gateway.status(bought.session_id).json()["payment_token"] == bought.token  # reading goes on
    writing.execute("PRAGMA query_only=OFF")
    assert gateway.simulate(BALL, bought.token).status_code == 200


@pytest.mark.parametrize("stays", [False, True])
def test_a_result_on_a_failing_volume_is_told_to_be_charged_or_not_as_it_then_is(
    open_gateway: Start, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    """Stored, but not synced; and then nothing can be written any more, perhaps not even its removal."""
    gateway = open_gateway()
    bought = gateway.buy()
    writing, fsync, unlink = gateway.services.store.write._db, os.fsync, Path.unlink

    def failing(descriptor: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")) == gateway.settings.results_path.resolve():
            writing.execute("PRAGMA query_only=ON")
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    def stuck(path: Path, missing_ok: bool = False) -> None:
        if stays and path.suffix == ".run":
            raise OSError(errno.EROFS, "Read-only file system")
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as volume:
        volume.setattr(os, "fsync", failing)
        volume.setattr(Path, "unlink", stuck)
        answer = gateway.simulate(BALL, bought.token)
    writing.execute("PRAGMA query_only=OFF")
    if stays:
        problem(answer, 500, "outcome_unknown")
    else:
        assert problem(answer, 507, "storage_full")["charged"] is False
    gateway.reconcile()
    assert state_of(gateway, bought) == ("spent" if stays else "ready")


@pytest.mark.parametrize("back", [120, 3600, 40 * 24 * 3600])
def test_a_clock_that_steps_back_loses_nothing(open_gateway: Start, back: int) -> None:
    gateway = open_gateway()
    spent, ready, opened = gateway.buy(), gateway.buy(), gateway.quote()
    session = gateway.open(opened)
    first = gateway.simulate(BALL, spent.token, headers={"idempotency-key": "k"})
    gateway.later(-back)
    again = gateway.simulate(BALL, spent.token, headers={"idempotency-key": "k"})
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert gateway.collect(ready.session_id) == ready.token
    gateway.stripe.pay(session)  # its signature is dated in our future now: refused, and found by asking
    gateway.ask_again()
    late = gateway.collect(opened["session_id"])
    gateway.reconcile()
    assert state_of(gateway, ready) == "ready"
    for token in (ready.token, late):
        assert gateway.simulate(BALL, token).status_code == 200
    gateway.later(back)
    gateway.stripe.flush()
    gateway.reconcile()
    assert gateway.rows("SELECT state, count(*) AS n FROM token GROUP BY state") == [{"state": "spent", "n": 3}]
