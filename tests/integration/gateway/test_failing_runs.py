"""Nothing is charged for a run that failed, and the token that paid for it works again."""

import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from harness import SLOW, Gateway, problem, until
from processes import busy

from gateway.store.connection import connect

FAILURES = {
    "Fails": ({"fail_at": 0.5}, 422, "model_error"),
    "Fails3": ({"fail_at": 0.5}, 422, "model_error"),
    "Crashes": ({"crash_at": 0.5}, 500, "model_crashed"),
    "Hangs": ({"hang_at": 0.5}, 504, "simulation_timeout"),
    "Hungry": ({"eat_at": 0.5}, 507, "memory_limit"),
}


@pytest.fixture
def strict(open_gateway: Callable[..., Gateway]) -> Gateway:
    return open_gateway(simulation_timeout_seconds=1.5, run_memory_mb=128)


def test_a_model_that_fails_is_not_charged_and_the_token_works_then(strict: Gateway) -> None:
    for name, (start_values, status, code) in FAILURES.items():
        body = {"fmu_id": f"test:{name}", "start_values": start_values}
        bought = strict.buy(body)
        key = {"idempotency-key": f"{name}-1"}
        for headers in (key,) if name == "Hangs" else ({}, key, key):
            failed = problem(strict.simulate(body, bought.token, headers=headers), status, code)
            assert failed["charged"] is False
            run = strict.get(failed["run_url"], headers={"payment-token": bought.token})
            assert (run.status_code, run.json()["status"], run.json()["code"]) == (200, "failed", code)
            assert run.json()["charged"] is False
            problem(strict.get(failed["run_url"]), 404, "run_not_found")
        assert strict.collect(bought.session_id) == bought.token
        again = strict.simulate({"fmu_id": f"test:{name}"}, bought.token, headers=key)
        assert (again.status_code, again.json()["charged"]) == (200, True), again.text
    assert strict.rows("SELECT count(*) AS n FROM run WHERE state = 'succeeded'") == [{"n": len(FAILURES)}]
    assert strict.rows("SELECT amount FROM balance WHERE acct = 'revenue:test:usd'") == [
        {"amount": len(FAILURES) * 10**6}
    ]


def test_what_the_model_says_reaches_the_buyer_and_nothing_more(strict: Gateway) -> None:
    body = {"fmu_id": "test:Fails", "start_values": {"fail_at": 0.5}}
    failed = problem(strict.simulate(body, strict.buy(body).token), 422, "model_error")
    assert failed["detail"].startswith("this model fails after 0.5 s, as it was asked to")
    assert len(failed["detail"]) <= 200


def test_who_hangs_up_finds_the_result_at_run_url(gateway: Gateway) -> None:
    bought = gateway.buy(SLOW)
    raw = gateway.http.build_request("POST", "/simulate", json={**SLOW, "payment_token": bought.token})
    with socket.create_connection(("127.0.0.1", gateway.settings.port)) as line:
        head = f"POST /simulate HTTP/1.1\r\nhost: x\r\ncontent-length: {len(raw.content)}\r\n\r\n"
        line.sendall(head.encode() + raw.content)
        until(lambda: gateway.status(bought.session_id).json()["status"] == "running", "the run to begin")
    poll = until(lambda: (p := gateway.status(bought.session_id)).status_code == 410 and p, "the run to end")
    run_url = problem(poll, 410, "consumed")["run_url"]
    found = gateway.get(run_url, headers={"payment-token": bought.token})
    assert (found.json()["status"], found.json()["charged"], found.json()["data"]["time"][-1]) == (
        "succeeded",
        True,
        1.0,
    )


def test_an_early_end_by_the_model_is_a_result(gateway: Gateway) -> None:
    body = {"fmu_id": "test:Stops", "start_values": {"stop_at": 0.3}, "step": 0.1}
    said = gateway.simulate(body, gateway.buy(body).token).json()
    assert (said["status"], said["reached_time"], said["data"]["time"][-1]) == ("succeeded", 0.3, 0.3)


def test_more_runs_than_places_are_told_to_come_again_before_any_hold(open_gateway: Callable[..., Gateway]) -> None:
    gateway = open_gateway(parallel_runs=1, queued_runs=1)
    bought = [gateway.buy(SLOW) for _ in range(3)]
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(gateway.simulate, SLOW, b.token) for b in bought[:2]]
        until(lambda: len(gateway.rows("SELECT 1 FROM token WHERE state = 'held'")) == 2, "both runs to be held")
        busy = gateway.simulate(SLOW, bought[2].token)
        problem(busy, 503, "busy")
        assert int(busy.headers["retry-after"]) >= 1
        assert gateway.collect(bought[2].session_id) == bought[2].token
        assert [future.result().status_code for future in waiting] == [200, 200]
    assert gateway.simulate(SLOW, bought[2].token).status_code == 200


def test_a_capture_that_cannot_be_written_is_never_called_free_and_is_made_up_for(house: Any) -> None:
    with house.gateway() as gateway:
        gateway.call(lambda s: s.store.write(lambda db: db.execute("PRAGMA busy_timeout=1")))
        bought = gateway.buy(SLOW)
        with ThreadPoolExecutor(1) as pool, closing(connect(gateway.settings.database_path)) as other:
            running = pool.submit(gateway.simulate, SLOW, bought.token)
            until(lambda: gateway.rows("SELECT 1 FROM token WHERE state = 'held'"), "the hold")
            other.execute("BEGIN IMMEDIATE")
            unknown = problem(running.result(), 500, "outcome_unknown")
            other.execute("ROLLBACK")
        assert "charged" not in unknown
        gateway.reconcile()
        poll = problem(gateway.status(bought.session_id), 410, "consumed")
        assert poll["run_url"] == unknown["run_url"]
        found = gateway.get(unknown["run_url"], headers={"payment-token": bought.token})
        assert (found.status_code, found.json()["charged"]) == (200, True)


def test_a_result_that_cannot_be_stored_is_not_charged(house: Any) -> None:
    with house.gateway() as gateway:
        bought = gateway.buy()
        results = gateway.settings.results_path
        results.write_text("a file where the folder should be")
        failed = problem(gateway.simulate(token=bought.token), 507, "storage_full")
        assert failed["charged"] is False
        results.unlink()
        assert gateway.simulate(token=bought.token).status_code == 200


def test_a_run_that_ends_for_no_fault_of_its_model_counts_as_ours(strict: Gateway) -> None:
    bought = strict.buy(SLOW)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(strict.another().simulate, SLOW, bought.token)
        until(lambda: strict.status(bought.session_id).json()["status"] == "running" and busy(), "the run")
        os.kill(strict.services.runner.forkserver._running.process.pid, signal.SIGKILL)
        failed = problem(running.result(), 503, "busy")
    assert (failed["charged"], int(running.result().headers["retry-after"])) == (False, 2)
    assert strict.rows("SELECT fault, code FROM run") == [{"fault": "gateway", "code": "busy"}]
    assert strict.simulate(SLOW, bought.token).json()["charged"] is True
