"""A person at a terminal, and a program with the SDK, watch a run that goes on and stop it."""

import codecs
import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from harness import FREE, SLOW, Gateway, problem

from gateway.client import AsyncGateway, RunningRun, RunRequest
from gateway.client import Gateway as Client
from gateway.client.errors import NotFound, Problem, RunFailed
from gateway.client.following import RunProgress, events
from gateway.client.watching import progress_line

STEADY = {**SLOW, "start_values": {"pause": 0.15}}  # one and a half seconds
LONG = {**SLOW, "start_values": {"pause": 1.5}}


class Terminal:
    """`fmu-gateway …` whose messages go to a terminal and whose data go to a pipe."""

    def __init__(self, gateway: Gateway, *args: str):
        self._screen, theirs = os.openpty()
        environment = {"FMU_GATEWAY_URL": gateway.url, "PATH": "/usr/bin:/bin", "COLUMNS": "100", "LANG": "C.UTF-8"}
        command = [sys.executable, "-m", "gateway", "run", "test:Slow", "--step", "0.1", *args]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        self.seen = ""
        self._decode = codecs.getincrementaldecoder("utf-8")().decode  # a read may end within a character

    def see(self, text: str) -> None:
        """Returns when this was on the screen."""
        while text not in self.seen:
            self.seen += self._decode(os.read(self._screen, 65536))  # OSError where the command ended without it

    def end(self) -> tuple[int, str]:
        """Exit code and what went to the pipe."""
        assert self.process.stdout is not None
        out = self.process.stdout.read().decode()
        self.process.stdout.close()
        code = self.process.wait(20)
        try:
            self.see("no such text")
        except OSError:
            os.close(self._screen)
        return code, out


def test_a_bar_follows_the_run_and_the_result_comes_after_it(gateway: Gateway) -> None:
    token = gateway.buy(STEADY).token
    terminal = Terminal(gateway, "--set", "pause=0.15", "--payment-token", token)
    terminal.see("█")
    code, out = terminal.end()
    assert (code, json.loads(out)["status"], json.loads(out)["charged"]) == (0, "succeeded", True)
    assert "%  test:Slow at 0." in terminal.seen


def test_ctrl_c_cancels_the_run_and_nothing_is_charged(gateway: Gateway) -> None:
    bought = gateway.buy(LONG)
    terminal = Terminal(gateway, "--set", "pause=1.5", "--payment-token", bought.token)
    terminal.see("Ctrl-C cancels")
    terminal.see("at 0.1 s")
    terminal.process.send_signal(signal.SIGINT)
    code, out = terminal.end()
    assert (code, out) == (8, "") or (code, json.loads(out)["code"]) == (8, "run_cancelled")
    assert "Nothing was charged." in terminal.seen
    assert f"--payment-token {bought.token}" in terminal.seen
    assert gateway.collect(bought.session_id) == bought.token


def request(body: dict[str, Any]) -> RunRequest:
    return RunRequest(**body)


def test_a_program_begins_follows_and_fetches_a_run(gateway: Gateway) -> None:
    token = gateway.buy(STEADY).token
    with Client(gateway.url) as client:
        run = client.begin(request(STEADY), token)
        assert isinstance(run, RunningRun)
        told = list(client.follow(run.run_id, token))
        assert told[-1].status == "succeeded"
        fractions = [each.fraction for each in told if each.fraction is not None]
        assert fractions == sorted(fractions)
        assert fractions
        found = client.finished(run.run_id, token)
        assert (found.run_id, found.charged) == (run.run_id, True)
        assert client.begin(request(STEADY), token) == found  # the same request and token: the same answer
        with pytest.raises(Problem) as late:
            client.cancel(run.run_id, token)
        assert late.value.code == "run_finished"
        with pytest.raises(NotFound):
            list(client.follow(run.run_id))


async def test_the_same_without_blocking(gateway: Gateway) -> None:
    client = AsyncGateway(gateway.url)
    run = await client.begin(request(FREE))
    assert isinstance(run, RunningRun)
    assert run.run_token
    assert [each.status async for each in client.follow(run.run_id, run.run_token)][-1] == "succeeded"
    assert (await client.finished(run.run_id, run.run_token)).charged is False
    token = gateway.buy(LONG).token
    run = await client.begin(request(LONG), token)
    assert isinstance(run, RunningRun)
    assert (await client.cancel(run.run_id, token))["code"] == "run_cancelled"
    with pytest.raises(RunFailed) as failed:
        await client.finished(run.run_id, token)
    assert (failed.value.code, failed.value.charged) == ("run_cancelled", False)
    await client.close()
    problem(gateway.simulate(LONG, token[:-2]), 402, "token_invalid")


def test_the_line_says_what_is_waited_for() -> None:
    (queued, running) = events(
        [
            "event: queued",
            'data: {"status": "queued", "ahead": 3}',
            "",
            ": still here",
            "event: running",
            'data: {"status": "running", "model_time": 2.5, "fraction": 0.5}',
        ]
    )
    assert progress_line("x:M", None, 0.3) == "running x:M …; Ctrl-C cancels"
    assert progress_line("x:M", queued, 2.0) == "waiting for a place to run x:M: 3 ahead  2 s; Ctrl-C cancels"
    assert progress_line("x:M", RunProgress({}, "queued", 0), 0.0).startswith("waiting for a place to run x:M: next")
    assert progress_line("x:M", running, 0.0) == f"{'█' * 15}{'░' * 15}  50%  x:M at 2.5 s; Ctrl-C cancels"
    assert progress_line("x:M", RunProgress({}, "running"), 3.0) == "running x:M …  3 s; Ctrl-C cancels"
