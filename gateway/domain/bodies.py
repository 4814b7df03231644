"""Bodies: what a request body may look like at all, and its first fault, found before the event loop has to wait."""

from collections.abc import Collection
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from gateway.domain.models import did_you_mean
from gateway.errors import InvalidRequest

# Names, lists and objects of a body, since each costs a µs wherever it turns out to be wrong, and garbage is searched
# for while they are made. A request of 1,000 start values with units, 1,000 outputs and 100 signals has 6,000.
MAX_PARTS = 10_000
MAX_QUOTES = 20 * MAX_PARTS  # behind which is looked what is a text and what is a part, in 5 ms
BEGINNING = 32 * 1024  # bytes of a body of too many parts that are looked at for what is wrong, 2 ms at most
FEW_ERRORS = 100  # that are built to read the first; building them takes 1 ms for a thousand
ECHOED = 200  # characters of a name that an answer repeats


class Body(BaseModel):
    """A request body: unknown fields and wrong types are refused, never guessed at."""

    model_config = ConfigDict(extra="forbid", strict=True)
    lists_of: ClassVar[dict[str, "type[Body]"]] = {}  # the fields that hold bodies themselves

    def name_count(self) -> int:
        """How many names the JSON has, if none is there twice."""
        return len(self.__pydantic_fields_set__)


def check_parts(raw: bytes, body: type[Body]) -> None:
    """InvalidRequest if `raw` has more parts than a request can use; it names what they are where that is seen."""
    if len(raw) <= MAX_PARTS or _parts(raw) <= MAX_PARTS:
        return
    if raw.count(b'"') <= MAX_QUOTES and _parts(_without_texts(raw)) <= MAX_PARTS:
        return
    begun = _read(raw[:BEGINNING])
    _check_known(begun, body)
    last = next(reversed(begun), "body")  # what was being read where the beginning ends
    raise InvalidRequest(f"{last}: a body has at most {MAX_PARTS} names, lists and objects.", field=last)


def _parts(raw: bytes) -> int:
    return raw.count(b":") + raw.count(b"[") + raw.count(b"{")


def _without_texts(raw: bytes) -> bytes:
    """Of JSON: names have brackets, and what is said of them has colons."""
    return b"".join(raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])


def first_fault(error: ValidationError, raw: bytes, body: type[Body]) -> InvalidRequest:
    """The first of the faults that were found in `raw`."""
    if error.error_count() > FEW_ERRORS:  # lists and objects end at their first, so these are names that nobody knows
        try:
            _check_known(_read(raw), body)
        except InvalidRequest as unknown:
            return unknown
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part)[:ECHOED] for part in fault["loc"]) or "body"
    if fault["type"] == "extra_forbidden":
        known = body.lists_of[str(fault["loc"][0])].model_fields if len(fault["loc"]) > 1 else body.model_fields
        return _unknown(field, str(fault["loc"][-1]), known)
    if fault["type"] == "json_invalid":
        return InvalidRequest(f"The body is not JSON: {fault['msg'].removeprefix('Invalid JSON: ')}.", field="body")
    if fault["type"] == "missing":
        return InvalidRequest(f"{field} is required.", field=field)
    return InvalidRequest(f"{field}: {fault['msg']}.", field=field)


def no_name_twice(pairs: list[tuple[str, Any]]) -> None:
    """The last one would count, and nobody could say whether that was meant. RFC 8259, section 4."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise InvalidRequest(f"{name[:ECHOED]!r} is there twice.", field=name[:ECHOED])
        seen.add(name)


def _read(raw: bytes) -> dict[str, Any]:
    """What is there of an object that may end anywhere; nothing if it is none."""
    try:
        found = from_json(raw, allow_partial=True)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _check_known(found: dict[str, Any], body: type[Body]) -> None:
    """InvalidRequest names the first name in a body, or in the bodies that it holds, that there is not."""
    for name, value in found.items():
        if name not in body.model_fields:
            raise _unknown(name[:ECHOED], name, body.model_fields)
        if name in body.lists_of and isinstance(value, list):
            known = body.lists_of[name].model_fields
            for i, part in enumerate(value):
                unknown = next((n for n in part if n not in known), None) if isinstance(part, dict) else None
                if unknown is not None:
                    raise _unknown(f"{name}.{i}.{unknown[:ECHOED]}", unknown, known)


def _unknown(field: str, name: str, known: Collection[str]) -> InvalidRequest:
    return InvalidRequest(f"There is no field called {field}.", field=field, did_you_mean=did_you_mean(name, known))
