"""Requests: what every handler reads of one: its body within the limit, who sends it, from where, what it accepts."""

import asyncio
import ipaddress
import re
from collections.abc import Coroutine, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import coroutine
from typing import Any

from starlette.types import Message, Receive, Scope

from gateway.domain.accounts import KEY_PREFIX, hash_key
from gateway.domain.models import did_you_mean
from gateway.domain.statements import PREFIX, Kind
from gateway.errors import BodyTooLarge, BodyTooSlow, InvalidRequest, KeyRefused, NotAcceptable
from gateway.flows.services import Services
from gateway.simulation.results import JSON, MEDIA_TYPES

BEARERS = (PREFIX[Kind.TOKEN], PREFIX[Kind.RUN])
HEADERS = (
    b"authorization",
    b"x-api-key",
    b"payment-token",
    b"idempotency-key",
    b"accept",
    b"prefer",
    b"x-forwarded-for",
)
IDEMPOTENCY_KEY_LENGTH = 255  # as Stripe's
BODY_SECONDS = 15.0  # that a body may take to arrive: a whole MAX_BODY_KIB at 70 KiB/s
WITH_PORT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[0-9.]+))(?::\d+)?")
ECHOED = 200  # characters of what a caller made up that an answer repeats


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends a request. `bearers` are payment tokens and run tokens, in the order they were found."""

    account_id: str | None
    bearers: tuple[str, ...]


def read_headers(scope: Scope) -> dict[bytes, str]:
    """The few headers that we act on; the last of each wins."""
    return {name: value.decode("latin-1") for name, value in scope["headers"] if name in HEADERS}


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body. BodyTooLarge before a byte is read if it is announced to be longer than `limit` bytes, else as
    soon as it is; BodyTooSlow if it is not there after BODY_SECONDS.

    Most bodies come with their headers. For those no clock is started: it would take a third of a quote's time.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit:
            raise _too_large(limit)
    begun: Coroutine[Any, Any, Message] = receive()  # type: ignore[assignment]  # ASGI calls it an Awaitable
    message: Message | None = None
    try:
        asked = begun.send(None)
    except StopIteration as done:
        message = done.value
        if not done.value.get("more_body"):
            return _within(done.value.get("body", b""), limit)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            message = message or await _resumed(begun, asked)
            body: bytes = message.get("body", b"")
            while message.get("more_body") and len(body) <= limit:
                message = await receive()
                body += message.get("body", b"")
    except TimeoutError:
        raise BodyTooSlow(f"The body was not there after {BODY_SECONDS:.0f} seconds.") from None
    return _within(body, limit)


@coroutine
def _resumed(begun: Coroutine[Any, Any, Message], asked: Any) -> Generator[Any, Any, Message]:
    """Awaits a coroutine that has already run to where it asks to wait for something."""
    try:
        yield asked
        return (yield from begun.__await__())
    finally:
        begun.close()


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {limit} bytes.")


def check_query(asked: Iterable[str], known: Sequence[str]) -> None:
    """InvalidRequest names the first query parameter that there is not: ignored, it would make a wrong answer."""
    unknown = next((name for name in asked if name not in known), None)
    if unknown is not None:
        near, said = did_you_mean(unknown, known), unknown[:ECHOED]
        raise InvalidRequest(f"There is no query parameter {said!r} here.", field=said, did_you_mean=near)


def identify(services: Services, headers: Mapping[bytes, str]) -> Sender:
    """Whose request it is. KeyRefused for a wrong or revoked key: it is never taken as anonymous."""
    if not headers:
        return Sender(None, ())
    key = headers.get(b"x-api-key")
    bearers = [headers[b"payment-token"]] if b"payment-token" in headers else []
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, credential = authorization.partition(" ")
        credential = credential.strip()
        if scheme.lower() == "bearer" and credential.startswith(BEARERS):
            bearers.append(credential)
        elif scheme.lower() == "bearer" and key in (None, credential):
            key = credential
        else:
            raise KeyRefused("Send the key as `Authorization: Bearer fmk_…` or `X-API-Key: fmk_…`.")
    return Sender(_account(services, key) if key is not None else None, tuple(bearers))


def _account(services: Services, key: str) -> str:
    found = services.store.api_key(hash_key(key)) if key.startswith(KEY_PREFIX) else None
    if found is None or found.revoked_at is not None:
        raise KeyRefused()
    return found.account_id


def idempotency_key(headers: Mapping[bytes, str]) -> str | None:
    key = headers.get(b"idempotency-key")
    if key is not None and not (0 < len(key) <= IDEMPOTENCY_KEY_LENGTH and key.isprintable()):
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {IDEMPOTENCY_KEY_LENGTH} printable characters.", field="Idempotency-Key"
        )
    return key


def wants_no_wait(headers: Mapping[bytes, str]) -> bool:
    """Prefer: respond-async (RFC 7240, section 4.1)."""
    preferences = (part.split(";")[0].strip().lower() for part in headers.get(b"prefer", "").split(","))
    return "respond-async" in preferences


def negotiate(accept: str | None) -> str:
    """The media type of a result: the acceptable one with the highest q, the first of equals. NotAcceptable if none."""
    if not accept or accept == "*/*":  # as most clients say it
        return JSON
    best, best_q = None, 0.0
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        q = next((_quality(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
        offered = name if name in MEDIA_TYPES else _wildcard(name)
        if offered is not None and q > best_q:
            best, best_q = offered, q
    if best is None:
        raise NotAcceptable()
    return best


def _wildcard(name: str) -> str | None:
    if name in ("*/*", "application/*", "application/problem+json", "text/html"):
        return JSON
    return "text/csv" if name == "text/*" else None


def _quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def client_address(scope: Scope, headers: Mapping[bytes, str], trusted: tuple[str, ...]) -> str:
    """The address that limits count: the last one that no trusted proxy added. An IPv6 /64 counts as one."""
    client = scope.get("client")
    address = client[0] if client else "unknown"
    if trusted and b"x-forwarded-for" in headers:
        # Of all its lines, which are one list (RFC 9110 §5.3); `headers` knows only the last.
        lines = (value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for")
        hops = [hop.strip() for line in lines for hop in line.split(",") if hop.strip()]
        while hops and _is_within(address, trusted):
            address = hops.pop()
    return _counted(address)


@lru_cache(maxsize=4096)  # parsing takes longer than a quote, and who asks once often asks again
def _counted(address: str) -> str:
    parsed = _parsed(address)
    if parsed is None:
        return address[:100]
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


@lru_cache(maxsize=1024)
def _is_within(address: str, networks: tuple[str, ...]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in ipaddress.ip_network(network, strict=False) for network in networks)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """As peers and proxies write one: also 192.0.2.1:80 and [2001:db8::1]:80, of which each connection has another
    port, and ::ffff:192.0.2.1, whose /64 is all of IPv4."""
    if found := WITH_PORT.fullmatch(address):
        address = found["v6"] or found["v4"]
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
