"""What a person types or keeps in a file, as the values of a request: durations, NAME=VALUE, lists, input CSV."""

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

from gateway.client.values import StartValue

TITLE = re.compile(r"(.*\S)\s+\[([^\[\]]+)\]\Z")  # of a column: name [unit]
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class TypedWrong(ValueError):
    """The text is not what it should be; the message says where and how to write it."""


def duration(text: str) -> float:
    """ "90", "90s", "10m", "1h30m" in seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not text or not re.fullmatch(r"(\d+(\.\d+)?[smh])+", text):
        raise TypedWrong(f"{text!r} is no duration; write it like 90s, 10m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, _, unit in re.findall(r"(\d+(\.\d+)?)([smh])", text))


def price(text: str) -> str:
    """A decimal amount such as "2" or "2.50", unchanged."""
    if not re.fullmatch(r"\d{1,12}(\.\d+)?", text):
        raise TypedWrong(f"{text!r} is no price; write it like 2 or 2.50, in the currency of the model's price")
    return text


def names(texts: list[str]) -> list[str] | None:
    """["a,b", "c[1,2]"] → ["a", "b", "c[1,2]"]: commas inside brackets belong to the name. None for no name."""
    found = [name.strip() for text in texts for name in re.split(r",(?![^\[]*\])", text)]
    return [name for name in found if name] or None


def start_values(texts: list[str]) -> dict[str, StartValue] | None:
    """["e=0.7", "on=true", "label=abc"]: numbers, true/false and JSON lists as such, everything else is text."""
    values: dict[str, StartValue] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise TypedWrong(f"{text!r}: write --set name=value, for example --set e=0.7")
        values[name.strip()] = _value(value.strip())
    return values or None


def _value(text: str) -> StartValue:
    try:
        return json.loads(text, parse_constant=_no_number)  # type: ignore[no-any-return]
    except ValueError:
        pass
    # JSON knows neither .5 nor +5
    return float(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) else text


def _no_number(text: str) -> Any:
    raise ValueError(text)


def input_file(path: Path) -> list[dict[str, Any]]:
    """The input signals of a CSV file: a header with `time` and the inputs' names, then one row per time.

    Comma or semicolon between cells; with semicolons a decimal comma is fine. A name may have its unit behind it, as in
    `speed [rpm]`: the gateway converts it into the input's own. TypedWrong names line and column.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TypedWrong(f"{path}: {error.strerror}") from None
    try:
        return input_signals(raw, str(path))
    except csv.Error as error:
        raise TypedWrong(f"{path}: {error}") from None


def input_signals(raw: bytes, name: str) -> list[dict[str, Any]]:
    """Like input_file, of a file's bytes; `name` is what errors call it."""
    text = _decoded(raw)
    delimiter = _delimiter(text, name)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    header: list[str] = []
    columns: list[list[float]] = []
    for row in rows:
        where = f"{name}, line {rows.line_num}"
        if not any(cell.strip() for cell in row):
            continue
        if not header:
            header = _header(row, where)
            columns = [[] for _ in header]
            continue
        if len(row) != len(header):
            raise TypedWrong(f"{where}: {len(row)} cells, but the header has {len(header)} columns")
        for column, title, cell in zip(columns, header, row, strict=True):
            column.append(_number(cell.strip(), delimiter, f"{where}, column {title}"))
        if len(columns[0]) > 1 and columns[0][-1] <= columns[0][-2]:
            raise TypedWrong(f"{where}, column time: {columns[0][-1]:g} does not come after {columns[0][-2]:g}")
    if not columns or not columns[0]:
        raise TypedWrong(f"{name}: no row of values after the header")
    times, *inputs = columns
    return [_signal(title, times, values) for title, values in zip(header[1:], inputs, strict=True)]


def _signal(title: str, times: list[float], values: list[float]) -> dict[str, Any]:
    name, unit = _name_and_unit(title)
    return {"name": name, "t": times, "u": values} | ({"unit": unit} if unit else {})


def _name_and_unit(title: str) -> tuple[str, str]:
    """("speed", "rpm") of "speed [rpm]"; a name like x[1] has no space before its bracket, and so no unit."""
    found = TITLE.match(title)
    return (found[1], found[2]) if found else (title, "")


def _decoded(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")  # what Excel calls Unicode text
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")  # what Excel saves in western Europe


def _delimiter(text: str, name: str) -> str:
    line = text.lstrip("\r\n ").split("\n", 1)[0]
    for delimiter in ",;":
        first, *rest = next(csv.reader([line.rstrip("\r")], delimiter=delimiter, skipinitialspace=True)) or [""]
        if first.strip().lower() in ("time", "time [s]") and rest:
            return delimiter
    raise TypedWrong(f"{name}, line 1: the header must be time and then the inputs' names, like time,u or time;u")


def _header(row: list[str], where: str) -> list[str]:
    titles = [cell.strip() for cell in row]
    names: set[str] = set()
    for i, title in enumerate(titles, 1):
        if not title:
            raise TypedWrong(f"{where}, column {i}: the input's name is missing")
        if _name_and_unit(title)[0] in names:
            raise TypedWrong(f"{where}: {_name_and_unit(title)[0]} is named twice")
        names.add(_name_and_unit(title)[0])
    return titles


def _number(cell: str, delimiter: str, where: str) -> float:
    text = cell.replace(",", ".") if delimiter == ";" else cell
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise TypedWrong(f"{where}: {cell[:40]!r} is no number" if cell else f"{where}: the cell is empty")
    return value


def finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise TypedWrong("must be a finite number")
    return value
