"""Receive: an uploaded file, raw or as a part of a form, streamed to disk and never held in memory."""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Message, Receive

from gateway.errors import UPLOAD_PROBLEMS, BodyTooLarge, BodyTooSlow, StorageFull, UploadsFull

FIELD = b"file"  # of a multipart form
FED_AT_ONCE = 1 << 20  # bytes: going to a thread and back takes as long as hashing 64 KiB, what comes at once
PATIENCE_SECONDS = 15.0  # beyond what the slowest rate takes
SLOWEST = 64 << 10  # bytes/s, half a megabit line: one of few places is taken for as long as it lasts
FORM_BYTES = 64 << 10  # that a form's boundaries, headers and other fields may take
UploadInvalid = UPLOAD_PROBLEMS["upload_invalid"]


async def receive_file(
    receive: Receive, path: Path, *, content_type: str, content_length: str, limit: int, room: int
) -> str:
    """The file of this request's body, written to the new file `path`; its sha256 in hex.

    BodyTooLarge as soon as it is longer than `limit` bytes, UploadsFull than `room`, BodyTooSlow as soon as it comes
    slower than SLOWEST, upload_invalid if there is no file in the body. Disk and hashing are kept off the event loop.
    """
    announced = int(content_length) if content_length.isdecimal() else 0
    if announced > limit + FORM_BYTES:
        raise BodyTooLarge(f"An upload has at most {limit >> 20} MB.")
    try:
        with path.open("xb") as file:
            sink = _Sink(file, limit, room)
            feed, finish = _reader(content_type, sink)
            received, more = 0, True
            waiting = bytearray()
            begun = asyncio.get_running_loop().time()
            while more:
                message = await _next(receive, begun + PATIENCE_SECONDS + received / SLOWEST)
                if message["type"] == "http.disconnect":
                    raise UploadInvalid("The connection ended before the file did.")
                chunk: bytes = message.get("body", b"")
                received += len(chunk)
                if received > limit + FORM_BYTES:
                    raise BodyTooLarge(f"An upload has at most {limit >> 20} MB.")
                waiting += chunk
                more = message.get("more_body", False)
                if len(waiting) >= FED_AT_ONCE or not more:
                    await asyncio.to_thread(feed, bytes(waiting))
                    waiting.clear()
            finish()
    except FormParserError as error:
        raise UploadInvalid(f"The multipart form cannot be read: {error}"[:200]) from None
    except OSError as error:
        raise StorageFull() from error
    if not sink.size:
        raise UploadInvalid()
    return sink.digest.hexdigest()


async def _next(receive: Receive, until: float) -> Message:
    try:
        async with asyncio.timeout_at(until):
            return await receive()
    except TimeoutError:
        raise BodyTooSlow(f"An upload comes at {SLOWEST >> 10} KiB/s at least.") from None


class _Sink:
    """Where the file's bytes go."""

    def __init__(self, file: BinaryIO, limit: int, room: int) -> None:
        self._file, self._limit, self._room = file, limit, room
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, part: bytes) -> None:
        self.size += len(part)
        if self.size > self._limit:
            raise BodyTooLarge(f"An upload has at most {self._limit >> 20} MB.")
        if self.size > self._room:
            raise UploadsFull()
        self.digest.update(part)
        self._file.write(part)


def _reader(content_type: str, sink: _Sink) -> tuple[Callable[[bytes], object], Callable[[], None]]:
    """What takes each chunk of the body, and what is called behind the last one."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return sink.write, lambda: None
    if not options.get(b"boundary"):
        raise UploadInvalid("The multipart form names no boundary.")
    form = _Form(sink)
    parser = MultipartParser(
        options[b"boundary"],
        {
            "on_part_begin": form.begin_part,
            "on_header_field": form.header_name,
            "on_header_value": form.header_value,
            "on_header_end": form.end_header,
            "on_headers_finished": form.end_headers,
            "on_part_data": form.data,
            "on_end": form.end,
        },
    )
    return parser.write, form.finish


class _Form:
    """A multipart form (RFC 7578) of which one part is wanted."""

    def __init__(self, sink: _Sink) -> None:
        self._sink = sink
        self._name = self._value = self._disposition = b""
        self._wanted = self._found = self._ended = False

    def begin_part(self) -> None:
        self._disposition, self._wanted = b"", False

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def end_headers(self) -> None:
        self._wanted = parse_options_header(self._disposition)[1].get(b"name") == FIELD
        if self._wanted and self._found:
            raise UploadInvalid("The form has two fields called file; send one FMU at a time.")
        self._found = self._found or self._wanted

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._wanted:
            self._sink.write(data[start:end])

    def end(self) -> None:
        self._ended = True

    def finish(self) -> None:
        if not self._ended:
            raise UploadInvalid("The multipart form was cut off.")
        if not self._found:
            raise UploadInvalid("The multipart form has no field called file.")
