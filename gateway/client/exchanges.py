"""What is said between a buyer and a gateway, without any I/O: each verb is a generator of Calls and Pauses.

A transport (gateway.py) performs each step and sends the Answer back in, or throws Unreachable. So the sync and the
async client share every rule of the contract. The idea is httpx's own `auth_flow`.
"""

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote as quoted

from gateway.client.errors import (
    Gone,
    PaymentRequired,
    RunFailed,
    RunInProgress,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
    WaitedTooLong,
    problem,
)
from gateway.client.values import (
    Checkout,
    Malformed,
    ModelCard,
    NewKey,
    Offer,
    PurchaseStatus,
    RunRequest,
    RunResult,
    Token,
)

LONG_POLL = 25.0  # seconds; the longest the gateway holds an answer
PATIENCE = 60.0  # seconds to keep asking for a paid result after a lost connection: a restart takes less
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0  # seconds between attempts, doubling


@dataclass(frozen=True)
class Call:
    """One HTTP request. `answer_within`: seconds until its answer must begin."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    answer_within: float = 30.0


@dataclass(frozen=True)
class Pause:
    """Do nothing for a while; seconds. `because`: for a person, why the last answer was not the end."""

    seconds: float
    because: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


T = TypeVar("T")
Exchange = Generator[Call | Pause, Answer | None, T]
Clock = Callable[[], float]  # monotonic seconds


def models(query: str | None = None) -> Exchange[list[ModelCard]]:
    answer = yield from _ask(Call("GET", "/library", params={"query": query} if query else {}))
    body = _json(answer)
    listed = body.get("models") if isinstance(body, dict) else body
    if not isinstance(listed, list) or not all(isinstance(card, dict) for card in listed):
        raise UnexpectedAnswer("the gateway's library is no list of models")
    return [_read(ModelCard, card) for card in listed]


def model(fmu_id: str) -> Exchange[ModelCard]:
    answer = yield from _ask(Call("GET", f"/fmus/{_part(fmu_id)}"))
    return _read(ModelCard, _object(answer))


def variables(fmu_id: str, causality: str | None) -> Exchange[list[Mapping[str, Any]]]:
    params = {"causality": causality} if causality else {}
    answer = yield from _ask(Call("GET", f"/fmus/{_part(fmu_id)}/variables", params=params))
    body = _json(answer)
    listed = body.get("variables") if isinstance(body, dict) else body
    if not isinstance(listed, list) or not all(isinstance(variable, dict) for variable in listed):
        raise UnexpectedAnswer("the gateway's answer is no list of variables")
    return listed


def inputs_csv(fmu_id: str) -> Exchange[str]:
    answer = yield from _ask(Call("GET", f"/fmus/{_part(fmu_id)}/inputs.csv"))
    return answer.content.decode("utf-8", "replace")


def quote(request: RunRequest) -> Exchange[Offer]:
    """The price, after the gateway checked the whole request. PaymentRequired where it is above `max_price`."""
    body = {**request.as_json(), "quote_only": True}
    try:
        answer = yield from _ask(Call("POST", "/simulate", json=body))
    except PaymentRequired as due:
        if due.code != "payment_required" or due.offer is None:
            raise
        return due.offer
    return _read(Offer, _object(answer))


def pay(
    session_id: str | None, fmu_id: str | None, success_url: str | None, cancel_url: str | None
) -> Exchange[Checkout]:
    named = {"session_id": session_id, "fmu_id": fmu_id, "success_url": success_url, "cancel_url": cancel_url}
    answer = yield from _ask(Call("POST", "/pay", json={k: v for k, v in named.items() if v is not None}))
    return _read(Checkout, _object(answer))


def status(session_id: str) -> Exchange[PurchaseStatus]:
    """Where a purchase stands, without waiting. A purchase that is over is an answer here, no error."""
    try:
        answer = yield from _ask(_poll(session_id, 0))
    except Gone as over:
        # RFC 9457's `status` is the number 410; a purchase's is the word that the code gives.
        return _read(PurchaseStatus, {**over.body, "status": over.code})
    return _read(PurchaseStatus, _object(answer))


def wait_for_token(session_id: str, wait: float, now: Clock) -> Exchange[Token]:
    """Polls until the payment arrived, through restarts of the gateway. WaitedTooLong after `wait` seconds."""
    end = now() + wait
    pause = FIRST_PAUSE
    while True:
        asked = now()
        hold = max(0.0, min(LONG_POLL, end - asked))
        try:
            answer = yield from _ask(_poll(session_id, hold))
        except (Unreachable, Unavailable) as error:
            if now() >= end:
                raise
            rest, because = getattr(error, "retry_after", None) or pause, str(error)
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            if answer.status == 200:
                return _read(Token, _object(answer))
            held = hold >= 1 and now() - asked >= hold - 1
            rest, because = 0.0 if held else _retry_after(answer) or 1.0, ""
            pause = FIRST_PAUSE
        if now() >= end:
            raise WaitedTooLong(session_id, wait)
        if rest:
            yield Pause(min(rest, end - now()), because)


def run(
    request: RunRequest, payment_token: str | None, idempotency_key: str | None, now: Clock, answer_within: float
) -> Exchange[RunResult]:
    """The result of one run; asks again under the same Idempotency-Key when the connection is lost.

    Where a token or a key of the caller's makes repeating safe, it goes on for PATIENCE seconds.
    """
    answer = yield from _simulate(request, payment_token, idempotency_key, now, answer_within)
    return _read(RunResult, _object(answer))


def result(run_id: str, token: str | None) -> Exchange[RunResult]:
    answer = yield from _ask(Call("GET", f"/runs/{_part(run_id)}", headers=_bearing(token)))
    body = _object(answer)
    if body.get("status") == "failed":
        raise RunFailed(answer.status, body)
    if answer.status == 202:
        raise RunInProgress(
            answer.status, {"code": "run_in_progress", "detail": "The run is not finished yet.", **body}
        )
    return _read(RunResult, body)


def result_csv(run_id: str, token: str | None) -> Exchange[bytes]:
    answer = yield from _ask(Call("GET", f"/runs/{_part(run_id)}/result.csv", headers=_bearing(token)))
    return answer.content


def create_key(email: str | None, name: str | None) -> Exchange[NewKey]:
    said = {k: v for k, v in {"email": email, "name": name}.items() if v is not None}
    answer = yield from _ask(Call("POST", "/keys", json=said))
    return _read(NewKey, _object(answer))


def revoke_key(key_id: str) -> Exchange[None]:
    yield from _ask(Call("DELETE", f"/keys/{_part(key_id)}"))


def _simulate(
    request: RunRequest, token: str | None, key: str | None, now: Clock, answer_within: float, **headers: str
) -> Exchange[Answer]:
    body = {**request.as_json(), **({"payment_token": token} if token else {})}
    key = key or (request.idempotency_key(token) if token else None)
    named = {**headers, **({"Idempotency-Key": key} if key else {})}
    call = Call("POST", "/simulate", json=body, headers=named, answer_within=answer_within)
    return (yield from _persist(call, token, PATIENCE if key else 0.0, now))


def _ask(call: Call) -> Exchange[Answer]:
    answer = yield call
    assert answer is not None, "a transport answers every Call"
    if answer.status not in {200, 201, 202, 204}:
        raise _refusal(answer)
    return answer


def _persist(call: Call, token: str | None, patience: float, now: Clock) -> Exchange[Answer]:
    """Like _ask, but a lost connection and a gateway that restarts are asked again for `patience` seconds."""
    began = now()
    lost = False
    pause, because = FIRST_PAUSE, ""
    while True:
        try:
            return (yield from _ask(call))
        except Unreachable as error:
            lost = error.sent = lost or error.sent  # the run may have begun, even if the last attempt met nobody
            if not lost or now() - began >= patience:
                raise
            rest, because = pause, "connection lost"
        except Unavailable as error:
            if error.status != 503 or now() - began >= patience:
                raise
            rest, because = error.retry_after or pause, error.detail
        except RunInProgress as running:
            # Only after a loss is it surely our own run that we meet here.
            if not lost or now() - began >= patience:
                raise
            rest, because = running.retry_after or pause, "still running"
        except Gone as gone:
            if not lost or gone.code != "token_consumed" or not gone.run_url:
                raise
            run_id = gone.run_url.rstrip("/").rsplit("/", 1)[-1]
            return (yield from _ask(Call("GET", f"/runs/{_part(run_id)}", headers=_bearing(token))))
        yield Pause(min(rest, LONGEST_PAUSE), because)
        pause = min(2 * pause, LONGEST_PAUSE)


def _poll(session_id: str, hold: float) -> Call:
    params = {"wait": int(hold)} if hold >= 1 else {}
    return Call("GET", f"/payments/checkout/{_part(session_id)}", params=params, answer_within=hold + 30)


def _bearing(token: str | None) -> dict[str, str]:
    return {"Payment-Token": token} if token else {}


def _part(name: str) -> str:
    return quoted(name, safe=":")


def _refusal(answer: Answer) -> Exception:
    location = answer.headers.get("location")
    if 300 <= answer.status < 400 and location:
        return UnexpectedAnswer(f"the address moved: use {location}")
    try:
        body = _object(answer)
    except UnexpectedAnswer:
        if answer.status in {502, 503, 504}:
            return Unreachable(f"a proxy answers {answer.status}: no gateway behind it", sent=True)
        return UnexpectedAnswer(f"this is no gateway's answer: status {answer.status}, not JSON")
    return problem(answer.status, body, _retry_after(answer))


def _retry_after(answer: Answer) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.content)
    except ValueError:
        raise UnexpectedAnswer(f"this is no gateway's answer: status {answer.status}, not JSON") from None


def _object(answer: Answer) -> dict[str, Any]:
    body = _json(answer)
    if not isinstance(body, dict):
        raise UnexpectedAnswer(f"this is no gateway's answer: status {answer.status}, no JSON object")
    return body


R = TypeVar("R", ModelCard, Offer, Checkout, PurchaseStatus, Token, RunResult, NewKey)


def _read(kind: type[R], body: Mapping[str, Any]) -> R:
    try:
        return kind.read(body)
    except Malformed as error:
        raise UnexpectedAnswer(str(error)) from None
