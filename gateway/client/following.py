"""Following: a run that goes on while its buyer watches. Beginning it, its progress, its result, cancelling it."""

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.client.errors import RunInProgress, Unreachable
from gateway.client.exchanges import (
    PATIENCE,
    Answer,
    Call,
    Clock,
    Exchange,
    Pause,
    _ask,
    _bearing,
    _object,
    _part,
    _read,
    _refusal,
    _simulate,
    result,
)
from gateway.client.values import Malformed, RunRequest, RunResult, _Read

if TYPE_CHECKING:
    import httpx

ANSWER_WITHIN = 30.0  # seconds until a run begins, and longest silence of its events: a heartbeat comes every 15
LOOK_AGAIN = 1.0  # seconds, where no event told of the end and the gateway names no other time

T = TypeVar("T")


@dataclass(frozen=True)
class RunningRun(_Read):
    """A run under way. `run_token` reads a free run that was made without a key."""

    run_id: str
    run_url: str = ""
    run_token: str | None = None


@dataclass(frozen=True)
class RunProgress(_Read):
    """`status`: queued with `ahead`, running with `model_time` (s) and `fraction`, or how the run ended."""

    status: str
    ahead: int | None = None
    model_time: float | None = None
    fraction: float | None = None


def begin(
    request: RunRequest, payment_token: str | None, idempotency_key: str | None, now: Clock
) -> Exchange[RunningRun | RunResult]:
    """Does not wait for the run. A result where an Idempotency-Key has one already, as exchanges.run makes them."""
    asked = _simulate(request, payment_token, idempotency_key, now, ANSWER_WITHIN, Prefer="respond-async")
    return _read_either((yield from asked))


def _read_either(answer: Answer) -> RunningRun | RunResult:
    body = _object(answer)
    if answer.status == 202:
        try:
            return RunningRun.read(body)
        except Malformed:
            pass  # then it is no result either, and the next line says so
    return _read(RunResult, body)


def finished(run_id: str, token: str | None, now: Clock) -> Exchange[RunResult]:
    """The result as soon as it is there, through PATIENCE seconds without a gateway. RunFailed if there is none."""
    lost_since: float | None = None
    while True:
        try:
            return (yield from result(run_id, token))
        except RunInProgress:
            lost_since = None
        except Unreachable:
            lost_since = now() if lost_since is None else lost_since
            if now() - lost_since >= PATIENCE:
                raise
        yield Pause(LOOK_AGAIN, "connection lost" if lost_since is not None else "")


def cancel(run_id: str, token: str | None) -> Exchange[dict[str, Any]]:
    """How the run ended: it has no result and was not charged. A Problem, code run_finished, where it has one."""
    answer = yield from _ask(Call("DELETE", f"/runs/{_part(run_id)}", headers=_bearing(token)))
    return _object(answer)


def events(lines: Iterable[str]) -> Iterator[RunProgress]:
    """Server-sent events, of which only the data matter here: each is one JSON object with its status."""
    for line in lines:
        if line.startswith("data: "):
            yield _read_progress(line)


def _read_progress(line: str) -> RunProgress:
    body = _object(Answer(200, {}, line.removeprefix("data: ").encode()))
    try:
        return RunProgress.read(body)
    except Malformed:
        return RunProgress(body, "running")


def _stream_options(run_id: str, token: str | None) -> dict[str, Any]:
    import httpx

    timeout = httpx.Timeout(ANSWER_WITHIN)
    return {"method": "GET", "url": f"/runs/{_part(run_id)}/events", "headers": _bearing(token), "timeout": timeout}


class Following:
    """What Gateway can do with a run that goes on."""

    _http: "httpx.Client"
    _now: Clock

    def _say(self, exchange: Exchange[T]) -> T:
        raise NotImplementedError

    def begin(
        self, request: RunRequest, payment_token: str | None = None, idempotency_key: str | None = None
    ) -> RunningRun | RunResult:
        """Begins one run and does not wait for it; else like `run`."""
        return self._say(begin(request, payment_token, idempotency_key, self._now))

    def follow(self, run_id: str, token: str | None = None) -> Iterator[RunProgress]:
        """How far the run is, until it is over or the connection is: ask for `finished` then."""
        import httpx

        try:
            with self._http.stream(**_stream_options(run_id, token)) as response:
                if response.status_code != 200:
                    raise _refusal(Answer(response.status_code, response.headers, response.read()))
                yield from events(response.iter_lines())
        except httpx.TransportError:
            return

    def finished(self, run_id: str, token: str | None = None) -> RunResult:
        """The result as soon as it is there. RunFailed, not charged, where there will be none."""
        return self._say(finished(run_id, token, self._now))

    def cancel(self, run_id: str, token: str | None = None) -> dict[str, Any]:
        """Ends a run; nothing is charged. A Problem with code run_finished where it is too late."""
        return self._say(cancel(run_id, token))


class AsyncFollowing:
    """The same for AsyncGateway."""

    _http: "httpx.AsyncClient"
    _now: Clock

    async def _say(self, exchange: Exchange[T]) -> T:
        raise NotImplementedError

    async def begin(
        self, request: RunRequest, payment_token: str | None = None, idempotency_key: str | None = None
    ) -> RunningRun | RunResult:
        return await self._say(begin(request, payment_token, idempotency_key, self._now))

    async def follow(self, run_id: str, token: str | None = None) -> AsyncIterator[RunProgress]:
        import httpx

        try:
            async with self._http.stream(**_stream_options(run_id, token)) as response:
                if response.status_code != 200:
                    raise _refusal(Answer(response.status_code, response.headers, await response.aread()))
                async for line in response.aiter_lines():
                    for progress in events([line]):
                        yield progress
        except httpx.TransportError:
            return

    async def finished(self, run_id: str, token: str | None = None) -> RunResult:
        return await self._say(finished(run_id, token, self._now))

    async def cancel(self, run_id: str, token: str | None = None) -> dict[str, Any]:
        return await self._say(cancel(run_id, token))
