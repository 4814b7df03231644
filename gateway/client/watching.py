"""Watching: a run at a terminal, with a progress bar, and Ctrl-C that cancels it."""

from gateway.client.errors import Problem, RunFailed
from gateway.client.following import RunningRun, RunProgress
from gateway.client.gateway import Gateway
from gateway.client.screen import Waiting, message
from gateway.client.values import RunRequest, RunResult

BAR = 30  # characters
FULL, EMPTY = "█", "░"


def run_watched(gateway: Gateway, request: RunRequest, token: str | None) -> RunResult:
    """The result. RunFailed, not charged, also where Ctrl-C cancelled the run before there was one."""
    latest: list[RunProgress | None] = [None]
    with Waiting(lambda passed: progress_line(request.fmu_id, latest[0], passed)):
        begun = gateway.begin(request, token)
        if isinstance(begun, RunResult):
            return begun
        token = token or begun.run_token
        try:
            for latest[0] in gateway.follow(begun.run_id, token):
                pass
            return gateway.finished(begun.run_id, token)
        except KeyboardInterrupt:
            return _cancel(gateway, begun, token)


def _cancel(gateway: Gateway, run: RunningRun, token: str | None) -> RunResult:
    try:
        ended = gateway.cancel(run.run_id, token)
    except Problem as problem:
        if problem.code != "run_finished":
            raise
        message("The run had just finished; here it is.")
        return gateway.finished(run.run_id, token)
    raise RunFailed(200, ended)


def progress_line(fmu_id: str, progress: RunProgress | None, passed: float) -> str:
    """One line: the bar as soon as the model says where it is, before that what is waited for."""
    seconds = f"  {passed:.0f} s" if passed >= 1 else ""
    if progress is not None and progress.status == "queued":
        ahead = f"{progress.ahead} ahead" if progress.ahead else "next"
        return f"waiting for a place to run {fmu_id}: {ahead}{seconds}; Ctrl-C cancels"
    if progress is None or progress.fraction is None or progress.model_time is None:
        return f"running {fmu_id} …{seconds}; Ctrl-C cancels"
    full = round(BAR * min(max(progress.fraction, 0.0), 1.0))
    bar = FULL * full + EMPTY * (BAR - full)
    return f"{bar} {progress.fraction:4.0%}  {fmu_id} at {progress.model_time:.6g} s{seconds}; Ctrl-C cancels"
