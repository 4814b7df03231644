"""Typer commands that start fast: typer 0.29 builds a pydantic adapter for every option, which takes 200 ms.

The options here are text, whole numbers, numbers, paths and lists of text, so converting them is a page of code. It
hangs on one private attribute of typer (pinned below 0.30); a test fails should pydantic come back.
"""

from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

_WORDS = {int: "a whole number", float: "a number"}


class LightCommand(TyperCommand):
    """A command whose values are converted without pydantic."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _lightened(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`run [OPTIONS] MODEL`, where typer writes {MODEL}."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


class LightGroup(TyperGroup):
    """The same for a group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _lightened(super().get_params(ctx))


def _lightened(params: list[Any]) -> list[Any]:
    for param in params:
        if param._runtime_param is None:
            param._runtime_param = _Converter(param.type_descriptor.annotation)
    return params


class _Converter:
    """Stands in for typer's RuntimeParam: text from the command line or the environment to `annotation`."""

    def __init__(self, annotation: Any):
        if get_origin(annotation) is UnionType:
            annotation = next(each for each in get_args(annotation) if each is not type(None))
        self._many = get_origin(annotation) is list
        self._kind = get_args(annotation)[0] if self._many else annotation
        assert self._kind in {str, int, float, bool, Path}, f"no conversion to {annotation}"

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if value is None or self._kind is str:
            return value
        try:
            return self._kind(value)
        except ValueError:
            raise typer.BadParameter(f"{value!r} is not {_WORDS[self._kind]}", ctx=ctx, param=param) from None
