"""One POST to a webhook receiver over a fresh connection. A whole HTTP client takes longer to load than the stub may
take to start, and is slower when a thousand events wait."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

AT_ONCE = 64  # connections to receivers; more would only queue inside them
KEPT_BODY = 500  # bytes of the receiver's answer; the rest is not read
LONGEST_HEAD = 100  # header lines of an answer


@dataclass(frozen=True)
class Answer:
    """What the receiver said, or why it said nothing: `status` is None and `error` has a sentence."""

    status: int | None
    body: str = ""
    error: str | None = None


class Sender:
    """At most `AT_ONCE` at a time, each for at most `within` seconds of real time."""

    def __init__(self, within: float):
        self._within = within
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Follows no redirect, as Stripe does not. Raises nothing: a failure is an Answer too."""
        async with self._slots:
            try:
                async with asyncio.timeout(self._within):
                    return await _exchange(url, headers, body)
            except TimeoutError:
                return Answer(None, error=f"no answer within {self._within:g} s")
            except (OSError, ValueError, EOFError) as error:
                return Answer(None, error=f"{type(error).__name__}: {error}")


async def _exchange(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    parts = urlsplit(url)
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or (443 if secure else 80), ssl=secure)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = {"Host": parts.netloc.rpartition("@")[2], "Content-Length": str(len(body)), "Connection": "close"}
        lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in {**fields, **headers}.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        return await _read(reader)
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Answer:
    version, status, *_ = (await reader.readline()).decode("latin-1").split(" ", 2)
    if not version.startswith("HTTP/1."):
        raise ValueError("this is no HTTP")
    fields = {}
    for _ in range(LONGEST_HEAD):
        line = (await reader.readline()).decode("latin-1").strip()
        if not line:
            break
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    length = KEPT_BODY
    if fields.get("transfer-encoding", "").lower() == "chunked":
        length = int((await reader.readline()).split(b";")[0] or b"0", 16)
    elif "content-length" in fields:
        length = int(fields["content-length"])
    text = b""
    while len(text) < min(length, KEPT_BODY):
        part = await reader.read(min(length, KEPT_BODY) - len(text))
        if not part:
            break
        text += part
    return Answer(int(status), text.decode("utf-8", "replace"))
