"""kill -9 in the middle of a run loses nothing: the run is released, the token is ready again and works."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from harness import problem, until
from served import Served

LONG = {"fmu_id": "test:Slow", "step": 0.1, "start_values": {"pause": 1.0}}  # ten seconds
SHORT = {"fmu_id": "test:Slow", "step": 0.1}


def test_a_kill_in_the_middle_of_a_run_loses_nothing(serve: Callable[[], Served]) -> None:
    gateway = serve().wait_until_ready()
    bought, spent = gateway.buy(LONG), gateway.buy(SHORT)
    first = gateway.simulate(SHORT, spent.token)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(gateway.simulate, LONG, bought.token)
        poll = until(lambda: (p := gateway.status(bought.session_id)).json()["status"] == "running" and p, "the run")
        run_url = poll.json()["run_url"].replace(gateway.url, "")
        gateway.kill()
        assert isinstance(running.exception(), httpx.TransportError)
    assert [row["state"] for row in gateway.rows("SELECT state FROM token ORDER BY state")] == ["held", "spent"]

    again = serve().wait_until_ready()
    credential = {"payment-token": bought.token}
    failed = again.get(run_url, headers=credential).json()
    assert (failed["status"], failed["charged"]) == ("failed", False)
    assert again.collect(bought.session_id) == bought.token
    delivered = again.simulate(SHORT, bought.token)
    assert (delivered.status_code, delivered.json()["charged"]) == (200, True)
    problem(again.simulate(SHORT, bought.token), 410, "token_consumed")
    # And what was delivered before the kill is there as it was.
    kept = again.get(f"/runs/{first.json()['run_id']}", headers={"payment-token": spent.token}).json()
    assert kept["data"] == first.json()["data"]


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that work in this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(folder) in (entry / "cmdline").read_text() or (entry / "cwd").resolve() == folder:
                    found.append((entry / "cmdline").read_text())
            except OSError:
                continue
    return found


def test_a_killed_gateway_leaves_no_process_behind(serve: Callable[[], Served], tmp_path: Path) -> None:
    gateway = serve().wait_until_ready()
    bought = gateway.buy(LONG)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(gateway.simulate, LONG, bought.token)
        until(lambda: gateway.status(bought.session_id).json()["status"] == "running", "the run")
        assert processes_of(tmp_path)
        gateway.kill()
        assert running.exception()
    until(lambda: not processes_of(tmp_path), "the run's processes to end")
    serve().wait_until_ready()


def test_a_polite_stop_lets_the_run_finish(serve: Callable[[], Served]) -> None:
    gateway = serve().wait_until_ready()
    body = {"fmu_id": "test:Slow", "step": 0.1, "start_values": {"pause": 0.05}}
    bought = gateway.buy(body)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(gateway.simulate, body, bought.token)
        until(lambda: gateway.status(bought.session_id).json()["status"] == "running", "the run")
        assert gateway.stop() == 0
        assert running.result().status_code == 200
    assert gateway.rows("SELECT state FROM token") == [{"state": "spent"}]


def test_a_second_gateway_on_the_same_database_refuses_and_names_the_holder(serve: Callable[[], Served]) -> None:
    gateway = serve().wait_until_ready()
    second = serve()
    assert second.process.wait(30) != 0
    assert f"process id {gateway.process.pid}" in second.log.read_text()
    assert gateway.simulate(SHORT, gateway.buy(SHORT).token).status_code == 200


@pytest.mark.parametrize("signal_at", ["checkout", "payment"])
def test_a_kill_between_any_two_steps_of_paying_loses_nothing(serve: Callable[[], Served], signal_at: str) -> None:
    gateway = serve().wait_until_ready()
    quote = gateway.quote(SHORT)
    session = gateway.open(quote)
    gateway.kill()
    if signal_at == "payment":
        assert gateway.stripe.pay(session)["outcome"] == "paid"  # nobody is there to hear the webhook
    again = serve().wait_until_ready()
    if signal_at == "checkout":
        assert again.get(f"/checkout/{quote['checkout_url'].rsplit('/', 1)[1]}").headers["location"].count(session) == 1
        again.stripe.pay(session)
    assert again.simulate(SHORT, again.collect(quote["session_id"])).status_code == 200
