"""Bodies of up to a megabyte in which all is wrong: the first fault is told without looking for all the others."""

import itertools
import json
import string
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.domain.bodies import FEW_ERRORS, MAX_PARTS, Body, check_parts, no_name_twice
from gateway.domain.requests import KeysBody, PayBody, SimulateBody, parse
from gateway.errors import InvalidRequest

MEGABYTE = 1024 * 1024
SIGNAL = '{"name": "u", "t": [0], "u": [1]'
NAMES = ["".join(letters) for letters in itertools.product(string.ascii_letters, repeat=3)]
UNKNOWN = ", ".join(f'"{name}": 1' for name in NAMES[:60_000])


def refused(raw: str | bytes, body: type[Body] = SimulateBody) -> InvalidRequest:
    raw = raw.encode() if isinstance(raw, str) else raw
    assert len(raw) <= MEGABYTE
    with pytest.raises(InvalidRequest) as refusal:
        parse(body, raw)
    return refusal.value


def asked(**fields: str) -> str:
    return '{"fmu_id": "x", ' + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"


def many(item: str, count: int) -> str:
    return "[" + ",".join([item] * count) + "]"


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (asked(input_signals='[{"name": "u", "t": ' + many('""', 340_000) + ', "u": [1]}]'), "input_signals.0.t.0"),
        (asked(input_signals='[{"name": "u", "t": [0], "u": ' + many('"a"', 200_000) + "}]"), "input_signals.0.u.0"),
        (asked(input_signals=many(SIGNAL + ', "unit": 5}', 100)), "input_signals.0.unit"),
        (asked(outputs=many("1", 500_000)), "outputs.0"), (asked(kpis=many("null", 100)), "kpis.0"),
        (asked(start_values="{" + ", ".join(f'"{i}{"x" * 1000}": 1' for i in range(900)) + "}"),
         f"start_values.0{'x' * 199}.[key]"),
    ],
)  # fmt: skip
def test_a_list_or_an_object_is_read_to_its_first_fault(raw: str, field: str) -> None:
    with pytest.raises(ValidationError) as found:
        SimulateBody.model_validate_json(raw)
    assert found.value.error_count() <= 3
    assert refused(raw).fields["field"] == field


@pytest.mark.parametrize(
    ("raw", "field", "near"),
    [
        ('{"fmu_ids": 1, ' + UNKNOWN + "}", "fmu_ids", "fmu_id"),
        (asked(kpi="[]")[:-1] + f", {UNKNOWN}}}", "kpi", "kpis"),
        (asked(input_signals=many("{}", 300_000)), "input_signals", None),
        (asked(input_signals=many(SIGNAL + "}", 20_000)), "input_signals", None),
        (asked(input_signals=many("[[[]]]", 140_000)), "input_signals", None),
        (asked(input_signals=f'[{SIGNAL}}}, {SIGNAL}, "nam": 1, {UNKNOWN}}}]'), "input_signals.1.nam", "name"),
        (asked(start_values="{" + UNKNOWN + "}"), "start_values", None),
        (asked(start_values='{"a": {' + UNKNOWN + "}}"), "start_values", None),
        (asked(start_values='{"a": ' + many("[]", 340_000) + "}"), "start_values", None),
        (asked(outputs=many("{}", 340_000)), "outputs", None),
        (many("{}", 340_000), "body", None), ("[" * 1_000_000, "body", None), (":" * 1_000_000, "body", None),
        ('{"é' + "é" * 17_000 + '": ' + "[" * 20_000, "body", None),
    ],
)  # fmt: skip
def test_of_more_parts_than_a_request_can_use_only_the_beginning_is_read(
    raw: str, field: str, near: str | None
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check_parts(raw.encode(), SimulateBody)
    assert refusal.value.fields == refused(raw).fields
    assert (refusal.value.fields["field"], refusal.value.fields.get("did_you_mean")) == (field, near)


@pytest.mark.parametrize("body", [PayBody, KeysBody])
def test_every_body_has_that_bound(body: type[Body]) -> None:
    with pytest.raises(InvalidRequest):
        check_parts(f"{{{UNKNOWN}}}".encode(), body)
    assert refused(f"{{{UNKNOWN}}}", body).fields["field"] == "aaa"


@pytest.mark.parametrize("count", [1, FEW_ERRORS, FEW_ERRORS + 1, 3_000])
def test_the_first_unknown_name_is_told_however_many_follow(count: int) -> None:
    names = dict.fromkeys(["stop_tme", *NAMES[:count]], 1)
    said = refused(json.dumps({"fmu_id": "x", **names}))
    assert (said.fields["field"], said.fields["did_you_mean"]) == ("stop_tme", "stop_time")
    said = refused(json.dumps({"fmu_id": "x", "input_signals": [{"name": "u", "t": [0], "u": [1], "tt": 2, **names}]}))
    assert (said.fields["field"], said.fields["did_you_mean"]) == ("input_signals.0.tt", "t")


def test_a_name_of_a_megabyte_is_not_sent_back() -> None:
    for raw in ('{"fmu_id": "x", "' + "n" * 1_000_000 + '": 1}', asked(start_values='{"' + "n" * 1_000_000 + '": 1}')):
        assert len(json.dumps([refused(raw).detail, refused(raw).fields])) < 1000


def test_the_largest_request_that_makes_sense_has_fewer_parts() -> None:
    name = "plant[{i}].mass[1].s"
    values = {name.format(i=i): {"value": i, "unit": "m"} for i in range(1000)}
    numbers = list(range(150))
    signals = [{"name": name.format(i=i), "t": numbers, "u": numbers, "unit": "m"} for i in range(100)]
    outputs = [name.format(i=i) for i in range(1000)]
    body: dict[str, Any] = {"fmu_id": "msl:X", "start_values": values, "input_signals": signals, "outputs": outputs}
    raw = json.dumps(body | {"kpis": [f"{output}:max" for output in outputs[:100]]}).encode()
    assert len(raw) > MAX_PARTS
    assert len(parse(SimulateBody, raw).start_values or {}) == 1000


def test_brackets_and_colons_in_texts_are_no_parts() -> None:
    names = [f"pipe[{i}].medium[1].X[1]" for i in range(1000)]
    values = {name: {"value": 1.5, "unit": "m"} for name in names}
    body = {"fmu_id": "x", "start_values": values, "outputs": names, "kpis": [f"{name}:max" for name in names[:100]]}
    assert parse(SimulateBody, json.dumps(body).encode()).outputs == names
    said = {"s": ":[{" * 10_000, "t": '\\":[' * 10_000, "u": "\\\\"}
    assert parse(SimulateBody, json.dumps({"fmu_id": "x", "start_values": said}).encode()).start_values == said
    with pytest.raises(InvalidRequest, match="at most"):
        parse(SimulateBody, json.dumps({"fmu_id": "x", "start_values": {"s": [[]] * MAX_PARTS}}).encode())


def test_forty_thousand_points_of_a_signal_are_read() -> None:
    numbers = list(range(40_000))
    raw = json.dumps({"fmu_id": "x", "input_signals": [{"name": "u", "t": numbers, "u": numbers}]}).encode()
    (signal,) = parse(SimulateBody, raw).input_signals or ()
    assert (signal.t, signal.u) == (numbers, numbers)


def test_names_are_not_compared_each_with_each_to_find_the_one_that_is_twice() -> None:
    compared = []

    class Name(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return str.__eq__(self, other) is True

    with pytest.raises(InvalidRequest) as refusal:
        no_name_twice([(Name(name), 1) for name in [*NAMES[:3_000], "last", "last"]])
    assert refusal.value.fields["field"] == "last"
    assert len(compared) < 100
