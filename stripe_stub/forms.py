"""What an endpoint accepts: decodes Stripe's form encoding and checks it against a specification, with Stripe's own
errors.

A specification is a tree of the small classes below; `Fields` is the root. Parsing gives plain Python values, keyed
by name.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

from stripe_stub.errors import Invalid, unsupported

MAX_BODY = 1_000_000  # bytes; Stripe's own limit is not documented, no honest request comes near it
MAX_TEXT = 5000  # characters; the length Stripe documents for most strings
_PART = re.compile(r"\[([^\]]*)\]")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
UNSET = ""  # Stripe's way of saying "take this value away"


class Spec(Protocol):
    """One parameter: turns the decoded text (a str, list or dict of such) into a value or raises Invalid."""

    def parse(self, raw: Any, param: str) -> Any: ...


def decode(text: str) -> dict[str, Any]:
    """`a[b][0]=x&c[]=y` -> {"a": {"b": ["x"]}, "c": ["y"]}. Raises Invalid on a name that is both a value and a
    group.
    """
    root: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        head, *rest = [name.split("[", 1)[0], *_PART.findall(name)]
        path = [head, *rest]
        here = root
        for part in path[:-1]:
            here = here.setdefault(part, {})
            if not isinstance(here, dict):
                raise Invalid(f"Invalid request: {name} is both a value and a group.", param=name, validation=True)
        last = path[-1] if path[-1] != "" or len(path) == 1 else str(len(here))
        if isinstance(here.get(last), dict):
            raise Invalid(f"Invalid request: {name} is both a value and a group.", param=name, validation=True)
        here[last] = value
    return {name: _lists(value) for name, value in root.items()}


def _lists(value: Any) -> Any:
    """A group whose names are all indices is a list."""
    if not isinstance(value, dict):
        return value
    if value and all(name.isdecimal() or name == "" for name in value):
        return [_lists(value[name]) for name in sorted(value, key=lambda name: int(name or 0))]
    return {name: _lists(inner) for name, inner in value.items()}


def _text(raw: Any, param: str) -> str:
    if not isinstance(raw, str):
        raise Invalid(f"Invalid string: {raw!r}", param=param, validation=True)
    return raw


@dataclass(frozen=True)
class Str:
    """A string; `unset` lets the empty one through, which takes a value away."""

    longest: int = MAX_TEXT
    unset: bool = False

    def parse(self, raw: Any, param: str) -> str:
        value = _text(raw, param)
        if value == "" and not self.unset:
            raise Invalid(
                f"You passed an empty string for '{param}'. We assume empty values are an attempt to "
                f"unset a parameter; "
                f"however '{param}' cannot be unset. You should remove '{param}' from your request or "
                f"supply a non-empty value.",
                code="parameter_invalid_empty",
                param=param,
                validation=True,
            )
        if len(value) > self.longest:
            raise Invalid(
                f"Invalid string: {value[:20]}...; must be at most {self.longest} characters",
                param=param,
                validation=True,
            )
        return value


@dataclass(frozen=True)
class Email:
    """An e-mail address."""

    unset: bool = False

    def parse(self, raw: Any, param: str) -> str:
        value = Str(512, self.unset).parse(raw, param)
        if value and not _EMAIL.fullmatch(value):
            raise Invalid(f"Invalid email address: {value}", code="email_invalid", param=param, validation=True)
        return value


@dataclass(frozen=True)
class Url:
    """An absolute http or https address."""

    def parse(self, raw: Any, param: str) -> str:
        value = Str().parse(raw, param)
        if not re.match(r"https?://[^/\s]+", value):
            raise Invalid("Not a valid URL", code="url_invalid", param=param, validation=True)
        return value


@dataclass(frozen=True)
class Int:
    """An integer between two bounds."""

    least: int | None = None
    most: int | None = None

    def parse(self, raw: Any, param: str) -> int:
        text = _text(raw, param)
        if not re.fullmatch(r"[+-]?\d{1,18}", text):
            raise Invalid(f"Invalid integer: {text}", code="parameter_invalid_integer", param=param, validation=True)
        value = int(text)
        if self.least is not None and value < self.least:
            raise Invalid(
                f"This value must be greater than or equal to {self.least}.",
                code="parameter_invalid_integer",
                param=param,
                validation=True,
            )
        if self.most is not None and value > self.most:
            raise Invalid(
                f"This value must be less than or equal to {self.most} (it currently is '{value}').",
                code="parameter_invalid_integer",
                param=param,
                validation=True,
            )
        return value


@dataclass(frozen=True)
class Bool:
    """`true` or `false`."""

    def parse(self, raw: Any, param: str) -> bool:
        text = _text(raw, param)
        if text not in ("true", "false"):
            raise Invalid(f"Invalid boolean: {text}", param=param, validation=True)
        return text == "true"


@dataclass(frozen=True)
class Enum:
    """One of some words. `later` are words Stripe knows and this local Stripe does not do."""

    words: tuple[str, ...]
    later: tuple[str, ...] = ()

    def parse(self, raw: Any, param: str) -> str:
        text = _text(raw, param)
        if text in self.later:
            raise unsupported(f"{param}={text}")
        if text not in self.words:
            known = sorted((*self.words, *self.later))
            choice = known[0] if len(known) == 1 else f"{', '.join(known[:-1])}, or {known[-1]}"
            raise Invalid(f"Invalid {param}: must be one of {choice}", param=param, validation=True)
        return text


@dataclass(frozen=True)
class Map:
    """Metadata: at most 50 pairs, names of 40 and values of 500 characters. An empty value takes the pair away."""

    def parse(self, raw: Any, param: str) -> dict[str, str] | str:
        if raw == UNSET:
            return UNSET
        if isinstance(raw, list):
            raw = {str(index): value for index, value in enumerate(raw)}
        if not isinstance(raw, dict):
            raise Invalid("Invalid object", param=param, validation=True)
        if len(raw) > 50:
            raise Invalid("Metadata can have at most 50 keys.", param=param, validation=True)
        for name, value in raw.items():
            if len(name) > 40:
                raise Invalid(f"Metadata keys must be at most 40 characters: {name}", param=param, validation=True)
            if not isinstance(value, str) or len(value) > 500:
                raise Invalid(
                    f"Metadata values can have up to 500 characters, but you passed in a value that "
                    f"is longer or no text. Key: {name}",
                    param=f"{param}[{name}]",
                    validation=True,
                )
        return dict(raw)


@dataclass(frozen=True)
class List:
    """A list of one kind of thing."""

    of: Spec
    most: int = 100
    least: int = 0

    def parse(self, raw: Any, param: str) -> list[Any]:
        if raw == UNSET:
            raw = []
        if not isinstance(raw, list):
            raise Invalid("Invalid array", param=param, validation=True)
        if not self.least <= len(raw) <= self.most:
            raise Invalid(f"Array must have between {self.least} and {self.most} items.", param=param, validation=True)
        return [self.of.parse(value, f"{param}[{index}]") for index, value in enumerate(raw)]


@dataclass(frozen=True)
class Range:
    """A point in time, or a range of them: {"gte": 1, "lt": 2}."""

    def parse(self, raw: Any, param: str) -> dict[str, int]:
        if isinstance(raw, str):
            value = Int(0).parse(raw, param)
            return {"gte": value, "lte": value}
        result: dict[str, int] = Fields({name: Int(0) for name in ("gt", "gte", "lt", "lte")}).parse(raw, param)
        return result


@dataclass(frozen=True)
class Later:
    """Stripe knows this parameter; the local one refuses it by name."""

    def parse(self, raw: Any, param: str) -> Any:
        raise unsupported(param)


@dataclass(frozen=True)
class Fields:
    """A group of named parameters. `need` must be there; anything not named is `parameter_unknown`."""

    of: Mapping[str, Spec]
    need: tuple[str, ...] = ()
    check: Callable[[dict[str, Any], str], None] | None = field(default=None)

    def parse(self, raw: Any, param: str = "") -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise Invalid("Invalid object", param=param, validation=True)

        def full(name: str) -> str:
            return f"{param}[{name}]" if param else name

        unknown = [full(name) for name in raw if name not in self.of]
        if unknown:
            raise Invalid(
                f"Received unknown parameter{'s' if len(unknown) > 1 else ''}: {', '.join(unknown)}",
                code="parameter_unknown",
                param=unknown[0],
                validation=True,
            )
        for name in self.need:
            if name not in raw:
                raise Invalid(
                    f"Missing required param: {full(name)}.",
                    code="parameter_missing",
                    param=full(name),
                    validation=True,
                )
        value = {name: self.of[name].parse(inner, full(name)) for name, inner in raw.items()}
        if self.check:
            self.check(value, param)
        return value


EXPAND: dict[str, Spec] = {"expand": List(Str())}
PAGING: dict[str, Spec] = {"limit": Int(1, 100), "starting_after": Str(), "ending_before": Str(), **EXPAND}


def later(*names: str) -> dict[str, Spec]:
    """Parameters that Stripe knows and the local one refuses: names, several to a string."""
    return {name: Later() for words in names for name in words.split()}


def merge_metadata(old: dict[str, str] | None, new: dict[str, str] | str) -> dict[str, str]:
    """Stripe merges metadata; an empty value takes one pair away, an empty string all of them."""
    if isinstance(new, str):
        return {}
    return {name: value for name, value in {**(old or {}), **new}.items() if value != UNSET}
