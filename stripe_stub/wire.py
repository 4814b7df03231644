"""One API request from bytes to bytes: key, faults, parameters, idempotency, the noun's function, expansion, Stripe's
headers.
"""

import asyncio
import copy
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from stripe_stub import API_VERSION
from stripe_stub.errors import Broken, Invalid, StripeError, Unauthorized, Unknown
from stripe_stub.faults import Fault, Faults
from stripe_stub.forms import EXPAND, MAX_BODY, Fields, decode
from stripe_stub.idempotency import Kept, Keys
from stripe_stub.world import Obj, World

KEPT_CALLS = 2_000  # in the log, with their answers; the count goes on
DEEPEST = 4  # levels of expansion, Stripe's limit


ONLY_EXPAND = Fields(EXPAND)


@dataclass(frozen=True)
class Endpoint:
    """A line of a noun's table: `run(world, params, **ids of the path)` gives the object or list to answer with."""

    method: str
    path: str
    run: Callable[..., Obj]
    accepts: Fields = ONLY_EXPAND


@dataclass(frozen=True)
class Noun:
    """What one file adds to the stub: endpoints, what of its objects can be expanded, what its timers do."""

    endpoints: tuple[Endpoint, ...]
    expands: Mapping[str, Mapping[str, Callable[[World, Obj], Any] | None]] = field(default_factory=dict)
    timers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


@dataclass
class Visit:
    """One request on its way through: what was asked, what goes wrong, its line in the log, the answer's headers."""

    request: Request
    endpoint: Endpoint | None
    fault: Fault | None
    call: Obj
    key: str | None
    headers: dict[str, str] = field(default_factory=dict)


class Cut(Exception):
    """No answer: the connection is closed under the caller."""


class Wire:
    """Answers `/v1`. Keeps the log of calls."""

    def __init__(self, world: World, nouns: tuple[Noun, ...], faults: Faults):
        self.world, self.faults = world, faults
        self.keys = Keys(world)
        self.calls: deque[Obj] = deque(maxlen=KEPT_CALLS)
        self.calls_total = 0
        self._expands = {kind: fields for noun in nouns for kind, fields in noun.expands.items()}
        for noun in nouns:
            for name, action in noun.timers.items():
                world.clock.on(name, lambda *args, action=action: action(world, *args))

    async def answer(self, request: Request, endpoint: Endpoint | None) -> Response:
        """Raises Cut where a fault wants the connection closed without an answer."""
        world = self.world
        world.clock.tick()
        call: Obj = {
            "request_id": world.new_id("req_", 14),
            "n": world.count,
            "at": world.now(),
            "method": request.method,
            "path": request.url.path,
            "idempotency_key": request.headers.get("idempotency-key"),
            "status": None,
            "replayed": False,
            "fault": None,
            "params": {},
            "answer": "",
        }
        self.calls_total += 1
        self.calls.append(call)
        fault = self.faults.take(request.method, request.url.path)
        call["fault"] = fault.kind if fault else None
        visit = Visit(request, endpoint, fault, call, call["idempotency_key"] if request.method == "POST" else None)
        try:
            with self.faults.watched() if fault and fault.kind == "hang" else nullcontext():
                status, body = await self._work(visit)
        except StripeError as error:
            status, body = error.status, _dump(error.body(call["request_id"]))
        finally:
            world.store.commit()
        call |= {"status": status, "answer": body}
        if fault and fault.should_retry is not None:
            visit.headers["Stripe-Should-Retry"] = str(fault.should_retry).lower()
        visit.headers |= {"Request-Id": call["request_id"], "Stripe-Version": API_VERSION}
        if call["idempotency_key"]:
            visit.headers["Idempotency-Key"] = call["idempotency_key"]
        return Response(body, status, visit.headers, "application/json")

    async def _work(self, visit: Visit) -> tuple[int, str]:
        _authorize(visit.request)
        call, fault, key = visit.call, visit.fault, visit.key
        params = call["params"] = await _params(visit.request)
        if fault and fault.when == "before" and fault.kind in ("error", "cut"):
            await self._strike(fault, visit.request)
        kept = self.keys.begin(key, call["method"], call["path"], params) if key else None
        try:
            if fault and fault.when == "before":
                await self._strike(fault, visit.request)
            if kept:
                call["replayed"] = True
                visit.headers |= {"Idempotent-Replayed": "true", "Original-Request": kept.request_id}
                status, body = kept.status, kept.body
            else:
                status, body = self._execute(visit)
            if fault and fault.when == "after":
                self.world.store.commit()
                if key:
                    self.keys.end(key)  # it is done; only the answer is not
                await self._strike(fault, visit.request)
            return status, body
        finally:
            if key and not kept:
                self.keys.end(key)

    def _execute(self, visit: Visit) -> tuple[int, str]:
        """The part that changes something. Awaits nothing, so it happens whole or not at all."""
        call, fault, key = visit.call, visit.fault, visit.key
        if visit.endpoint is None:
            raise Unknown(f"Unrecognized request URL ({call['method']}: {call['path']}).", validation=True)
        self.world.request = {"id": call["request_id"], "idempotency_key": key}
        try:
            parsed = visit.endpoint.accepts.parse(call["params"])
            wanted = parsed.pop("expand", [])
            obj = visit.endpoint.run(self.world, parsed, **visit.request.path_params)
            status, body = 200, _dump(self.expand(obj, wanted))
        except StripeError as error:
            if error.validation:
                raise
            status, body = error.status, _dump(error.body(call["request_id"]))
        finally:
            self.world.request = None
        if key:
            kept = Kept(status, body, call["request_id"])
            if fault and fault.kind == "error" and fault.when == "after" and fault.stored:
                kept = Kept(fault.status, _dump(Broken(fault.status).body(call["request_id"])), call["request_id"])
            self.keys.keep(key, kept)
        return status, body

    async def _strike(self, fault: Fault, request: Request) -> None:
        match fault.kind:
            case "error":
                raise Broken(fault.status)
            case "slow":
                await asyncio.sleep(fault.seconds)
            case "hang":
                await self._until_gone(request)
                raise Cut
            case "cut":
                raise Cut

    async def _until_gone(self, request: Request) -> None:
        """Until the caller hangs up or the faults are cleared; the idempotency key stays in flight until then."""
        waits = {asyncio.ensure_future(self.faults.hang()), asyncio.ensure_future(_hung_up(request))}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    def expand(self, obj: Obj, paths: list[str]) -> Obj:
        """The object with the named references replaced by what they refer to."""
        if not paths:
            return obj
        obj = copy.deepcopy(obj)
        for index, path in enumerate(paths):
            parts = path.split(".")
            if len(parts) > DEEPEST + (parts[0] == "data"):
                raise Invalid(
                    f"You cannot expand more than {DEEPEST} levels of a property (property: {path}).",
                    param=f"expand[{index}]",
                    validation=True,
                )
            self._expand_one(obj, parts, path, f"expand[{index}]")
        return obj

    def _expand_one(self, obj: Obj, parts: list[str], path: str, param: str) -> None:
        head, rest = parts[0], parts[1:]
        if obj.get("object") == "list" and head == "data":
            for item in obj["data"]:
                self._expand_one(item, rest, path, param)
            return
        known = self._expands.get(obj.get("object", ""), {})
        if head not in known and not isinstance(obj.get(head), dict):
            raise Invalid(f"This property cannot be expanded ({path}).", param=param, validation=True)
        value = obj.get(head)
        make = known.get(head)
        if make is not None and not isinstance(value, dict):
            obj[head] = copy.deepcopy(make(self.world, obj))
        elif isinstance(value, str):
            obj[head] = copy.deepcopy(self.world.find(value)) or value
        if rest and isinstance(obj[head], dict):
            self._expand_one(obj[head], rest, path, param)


def page(items: Any, params: Obj, url: str) -> Obj:
    """Stripe's list: newest first, `limit` at a time, after or before one of its ids."""
    created = params.get("created", {})
    compare: dict[str, Callable[[int, int], bool]] = {
        "gt": int.__gt__,
        "gte": int.__ge__,
        "lt": int.__lt__,
        "lte": int.__le__,
    }
    rows = [item for item in items if all(compare[how](item["created"], moment) for how, moment in created.items())]
    limit = params.get("limit", 10)
    ids = [row["id"] for row in rows]
    for name in ("starting_after", "ending_before"):
        if name in params and params[name] not in ids:
            raise Invalid(f"No such object: '{params[name]}'", code="resource_missing", param=name)
    if "starting_after" in params:
        rows = rows[ids.index(params["starting_after"]) + 1 :]
    if "ending_before" in params:
        rows = rows[: ids.index(params["ending_before"])]
        return {"object": "list", "url": url, "has_more": len(rows) > limit, "data": rows[-limit:]}
    return {"object": "list", "url": url, "has_more": len(rows) > limit, "data": rows[:limit]}


def _authorize(request: Request) -> None:
    import base64
    import binascii

    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    key = credentials.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(credentials).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    if not key:
        raise Unauthorized(
            "You did not provide an API key. You need to provide your API key in the Authorization "
            "header, using Bearer auth "
            "(e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
    if not key.startswith(("sk_test_", "rk_test_")):
        hint = " A local Stripe takes test keys only." if "_live_" in key else ""
        raise Unauthorized(f"Invalid API Key provided: {key[:8]}{'*' * max(0, len(key) - 12)}{key[-4:]}.{hint}")


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _params(request: Request) -> Obj:
    text = request.url.query
    if request.method == "POST":
        body = await request.body()
        if len(body) > MAX_BODY:
            raise Invalid("The request's body is too large.", validation=True)
        text = "&".join(part for part in (text, body.decode("utf-8", "replace")) if part)
    return decode(text)


def _dump(obj: Obj) -> str:
    return orjson.dumps(obj, option=orjson.OPT_INDENT_2).decode()
