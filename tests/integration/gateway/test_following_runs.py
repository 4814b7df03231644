"""A run that nobody waits for: begun, followed by its events, fetched later, cancelled."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from harness import BALL, FREE, SLOW, Buyer, Gateway, at_once, problem, until
from processes import busy

ASYNC = {"prefer": "respond-async"}
LONG = {**SLOW, "start_values": {"pause": 1.5}}  # 15 seconds, which nobody waits for


def begin(buyer: Buyer, body: dict[str, Any], token: str | None = None, **headers: str) -> dict[str, Any]:
    """A run that is under way."""
    answer = buyer.simulate(body, token, headers={**ASYNC, **headers})
    assert answer.status_code == 202, answer.text
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["location"] == answer.json()["run_url"]
    assert int(answer.headers["retry-after"]) >= 1
    said: dict[str, Any] = answer.json()
    assert said["status"] == "running"
    return said


@contextmanager
def following(buyer: Buyer, run: dict[str, Any], token: str | None = None) -> Iterator[Iterator[tuple[str, Any]]]:
    """The run's events as they come: (name, data)."""
    with buyer.http.stream("GET", run["events_url"], headers=bearing(token)) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        yield parsed(answer.iter_lines())


def parsed(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def bearing(token: str | None) -> dict[str, str]:
    return {"payment-token": token} if token else {}


def test_a_run_nobody_waits_for_goes_on_and_is_fetched_later(gateway: Gateway) -> None:
    bought = gateway.buy(SLOW)
    run = begin(gateway, SLOW, bought.token)
    assert run["events_url"] == run["run_url"] + "/events"
    while (answer := gateway.get(run["run_url"], headers=bearing(bought.token))).status_code == 202:
        assert answer.json()["status"] == "running"
        assert int(answer.headers["retry-after"]) >= 1
        with following(gateway, run, bought.token) as events:
            assert [name for name, _ in events][-1] == "done"
    assert (answer.status_code, answer.json()["status"], answer.json()["charged"]) == (200, "succeeded", True)
    assert answer.json()["run_id"] == run["run_id"]
    problem(gateway.status(bought.session_id), 410, "consumed")


def test_events_tell_the_model_time_and_then_how_it_ended(gateway: Gateway) -> None:
    body = {**SLOW, "start_values": {"pause": 0.1}}
    bought = gateway.buy(body)
    run = begin(gateway, body, bought.token)
    with following(gateway, run, bought.token) as events:
        told = list(events)
    times = [data["model_time"] for name, data in told if name == "running" and data["model_time"] is not None]
    assert len(times) >= 2
    assert times == sorted(times)
    assert all(0.0 <= time <= 1.0 for time in times)
    assert all(data["fraction"] == data["model_time"] for _, data in told if data.get("model_time") is not None)
    name, done = told[-1]
    assert (name, done["status"], done["charged"], done["run_url"]) == ("done", "succeeded", True, run["run_url"])
    assert {name for name, _ in told[:-1]} <= {"queued", "running"}


def test_events_of_a_finished_run_are_its_end(gateway: Gateway) -> None:
    bought = gateway.buy()
    run_id = gateway.simulate(token=bought.token).json()["run_id"]
    run = {"events_url": f"{gateway.url}/runs/{run_id}/events"}
    with following(gateway, run, bought.token) as events:
        ((name, done),) = events
    assert (name, done["status"], done["charged"]) == ("done", "succeeded", True)
    assert gateway.http.head(run["events_url"], headers=bearing(bought.token)).status_code == 200


def test_a_run_without_a_place_hears_how_many_are_ahead(open_gateway: Callable[..., Gateway]) -> None:
    gateway = open_gateway(parallel_runs=1)
    tokens = [gateway.buy(LONG).token for _ in range(3)]
    runs = [begin(gateway, LONG, token) for token in tokens]
    with following(gateway, runs[2], tokens[2]) as events:
        assert next(events) == ("queued", {"run_id": runs[2]["run_id"], "status": "queued", "ahead": 1})
        assert cancel(gateway, runs[1], tokens[1]).json()["code"] == "run_cancelled"
        assert next(events) == ("queued", {"run_id": runs[2]["run_id"], "status": "queued", "ahead": 0})
        cancel(gateway, runs[0], tokens[0])
        name, running = next(events)
        assert (name, running["status"]) == ("running", "running")
        cancel(gateway, runs[2], tokens[2])
        name, done = list(events)[-1]
    assert (name, done["status"], done["code"], done["charged"]) == ("done", "failed", "run_cancelled", False)


def cancel(buyer: Buyer, run: dict[str, Any], token: str | None = None) -> Any:
    answer = buyer.http.delete(run["run_url"], headers=bearing(token))
    assert answer.status_code == 200, answer.text
    return answer


def test_who_cancels_is_not_charged_and_the_token_works_again(gateway: Gateway) -> None:
    body = {**SLOW, "start_values": {"pause": 0.3}}
    bought = gateway.buy(body)
    warm = gateway.buy({**LONG, "start_values": {"pause": 0.0}})
    assert gateway.simulate({**LONG, "start_values": {"pause": 0.0}}, warm.token).status_code == 200
    run = begin(gateway, body, bought.token, **{"idempotency-key": "once"})
    with following(gateway, run, bought.token) as events:
        assert any(data.get("model_time") for _, data in events)
        assert len(busy()) == 1
        said = cancel(gateway, run, bought.token).json()
        assert next(data for name, data in events if name == "done") == said
    assert (said["status"], said["code"], said["charged"]) == ("failed", "run_cancelled", False)
    assert said["run_url"] == run["run_url"]
    until(lambda: not busy(), "its process to end")
    assert cancel(gateway, run, bought.token).json() == said
    assert gateway.collect(bought.session_id) == bought.token
    row = gateway.rows("SELECT fault, cpu_ms FROM run WHERE id = ?", run["run_id"])[0]
    assert row["fault"] == "model"  # counts against what may be computed for nothing, by the clock
    assert row["cpu_ms"] >= 300
    again = gateway.simulate(
        {**LONG, "start_values": {"pause": 0.0}}, bought.token, headers={"idempotency-key": "once"}
    )
    assert (again.status_code, again.json()["charged"]) == (200, True)


def test_who_waits_for_a_run_that_another_cancels_is_told(gateway: Gateway) -> None:
    bought = gateway.buy(LONG)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(gateway.another().simulate, LONG, bought.token)
        poll = until(lambda: (s := gateway.status(bought.session_id).json())["status"] == "running" and s, "the run")
        cancel(gateway, poll, bought.token)
        told = problem(waiting.result(), 409, "run_cancelled")
    assert told["charged"] is False
    assert told["run_url"] == poll["run_url"]


def test_whoever_cancels_at_the_last_moment_gets_the_result_or_the_money(gateway: Gateway) -> None:
    bodies = [{**SLOW, "start_values": {"pause": i * 2e-4}} for i in range(16)]  # ends before, during, after the DELETE
    tokens = [gateway.buy(SLOW).token for _ in bodies]

    def one(i: int) -> tuple[int, str, bool]:
        run = begin(gateway, bodies[i], tokens[i])
        answer = gateway.http.delete(run["run_url"], headers=bearing(tokens[i]))
        again = gateway.get(run["run_url"], headers=bearing(tokens[i])).json()
        assert again["charged"] is answer.json()["charged"] is (again["status"] == "succeeded")
        return answer.status_code, answer.json()["code"], answer.json()["charged"]

    outcomes = set(at_once(len(bodies), one))
    assert outcomes <= {(200, "run_cancelled", False), (409, "run_finished", True)}
    assert (200, "run_cancelled", False) in outcomes


def test_many_may_cancel_the_same_run(gateway: Gateway) -> None:
    token = gateway.buy(LONG).token
    run = begin(gateway, LONG, token)
    answers = at_once(8, lambda _: cancel(gateway, run, token).json())
    assert [answer == answers[0] for answer in answers] == [True] * 8
    assert len(gateway.rows("SELECT id FROM transfer WHERE id = ?", f"release:{run['run_id']}")) == 1


def test_a_finished_run_cannot_be_cancelled(gateway: Gateway) -> None:
    bought = gateway.buy()
    run_id = gateway.simulate(token=bought.token).json()["run_id"]
    answer = gateway.http.delete(f"/runs/{run_id}", headers=bearing(bought.token))
    refused = problem(answer, 409, "run_finished")
    assert refused["charged"] is True
    assert gateway.get(refused["run_url"], headers=bearing(bought.token)).status_code == 200


def test_only_who_may_read_a_run_follows_and_cancels_it(gateway: Gateway) -> None:
    buyer, stranger = gateway.account(), gateway.account()
    token = buyer.buy(LONG).token
    run = begin(buyer, LONG, token)
    for other in (gateway.another(), stranger):
        for sent in ({}, bearing(gateway.buy().token)):
            problem(other.get(run["events_url"], headers=sent), 404, "run_not_found")
            problem(other.http.delete(run["run_url"], headers=sent), 404, "run_not_found")
    with following(buyer, run) as events:
        assert next(events)[0] in ("queued", "running")
        assert cancel(buyer, run).json()["status"] == "failed"


def test_a_free_run_is_followed_with_its_run_token(gateway: Gateway) -> None:
    run = begin(gateway, FREE)
    problem(gateway.get(run["events_url"]), 404, "run_not_found")
    with following(gateway, run, run["run_token"]) as events:
        assert list(events)[-1][1]["status"] == "succeeded"
    assert gateway.get(run["run_url"], headers=bearing(run["run_token"])).json()["charged"] is False
    assert "run_token" not in begin(gateway.account(), FREE)


def test_what_is_refused_before_the_run_is_refused_at_once(gateway: Gateway) -> None:
    problem(gateway.simulate({**BALL, "step": -1}, headers=ASYNC), 422, "invalid_request")
    problem(gateway.simulate(headers=ASYNC), 402, "payment_required")
    bought = gateway.buy()
    assert gateway.simulate(token=bought.token, headers={"prefer": "wait=10"}).status_code == 200
    problem(gateway.simulate(token=bought.token, headers=ASYNC), 410, "token_consumed")


def test_a_repeated_key_gives_the_stored_answer_though_nobody_would_wait(gateway: Gateway) -> None:
    bought, key = gateway.buy(), {"idempotency-key": "async"}
    first = gateway.simulate(token=bought.token, headers=key)
    again = gateway.simulate(token=bought.token, headers={**key, **ASYNC})
    assert (again.status_code, again.headers["idempotent-replayed"], again.content) == (200, "true", first.content)


def test_events_end_when_the_server_stops(open_gateway: Callable[..., Gateway]) -> None:
    gateway = open_gateway()
    token = gateway.buy(LONG).token
    run = begin(gateway, LONG, token)
    with following(gateway, run, token) as events:
        next(events)
        gateway.services.draining = True
        assert all(name in ("queued", "running") for name, _ in events)
    cancel(gateway, run, token)


@pytest.mark.parametrize("said", [float("nan"), float("inf"), -1.0, 1.5])
def test_what_no_model_time_can_be_is_not_told(gateway: Gateway, said: float) -> None:
    token = gateway.buy(LONG).token
    run = begin(gateway, LONG, token)
    place = until(lambda: (p := gateway.services.running[run["run_id"]].place) and p.begun and p, "the run to begin")
    place.reached = lambda: said  # as a model might that writes into its process's memory
    with following(gateway, run, token) as events:
        assert next(events)[1] | {"run_id": ""} == {
            "run_id": "",
            "status": "running",
            "model_time": None,
            "fraction": None,
        }
    cancel(gateway, run, token)
