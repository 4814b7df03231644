"""What POST /simulate takes: every fault of every field is found before a price is named, and nothing else breaks."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.models import Model
from gateway.domain.requests import MAX_COLUMNS, Limits, SimulateBody, parse, plan_run
from gateway.domain.runs import RunPlan
from gateway.domain.times import row_count
from gateway.errors import GatewayError, InvalidRequest
from gateway.settings import SHIPPED_MODELS
from gateway.simulation import description, intake

FMUS = Path(__file__).parents[2] / "data" / "fmus" / "test"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder, found = tmp_path_factory.mktemp("unpacked"), {}
    for file in (SHIPPED_MODELS / "msl" / "BouncingBall.fmu", FMUS / "Types.fmu"):
        intake.unpack(file, folder / file.stem)
        found[file.stem] = description.read(folder / file.stem, f"x:{file.stem}", "ab" * 32)
    return found


@pytest.fixture(scope="module")
def types(models: dict[str, Model]) -> Model:
    return models["Types"]


def plan(model: Model, limits: Limits = Limits(), **body: Any) -> RunPlan:  # noqa: B008 - frozen
    return plan_run(parse(SimulateBody, json.dumps({"fmu_id": model.fmu_id, **body}).encode()), model, limits)


def fault(model: Model, limits: Limits = Limits(), **body: Any) -> tuple[str, str | None]:  # noqa: B008 - frozen
    """The field that is named, and what is suggested."""
    with pytest.raises(InvalidRequest) as refusal:
        plan(model, limits, **body)
    return refusal.value.fields["field"], refusal.value.fields.get("did_you_mean")


def test_a_silent_request_is_the_models_default_experiment(types: Model) -> None:
    made = plan(types)
    assert (made.start_time, made.stop_time, made.step) == (0.0, 1.0, 0.1)
    assert made.outputs == ("y", "y_single", "n", "big", "small", "late", "mode_now", "vector")
    assert plan(types, start_values=None, outputs=None, kpis=None, input_signals=None, step=None) == made


@pytest.mark.parametrize(
    ("start_values", "taken"),
    [
        ({"gain": 3}, {"gain": 3.0}), ({"gain": -10.0}, {"gain": -10.0}), ({"gain": 10}, {"gain": 10.0}),
        ({"count": 7}, {"count": 7}), ({"count": 7.0}, {"count": 7}),
        ({"enabled": False}, {"enabled": False}), ({"enabled": 0}, {"enabled": False}),
        ({"mode": "Falling"}, {"mode": 3}), ({"mode": 1}, {"mode": 1}),
        ({"label": "zwölf"}, {"label": "zwölf"}), ({"weights": [1, 2.5, 3]}, {"weights": (1.0, 2.5, 3.0)}),
        ({"u": 5}, {"u": 5.0}),
    ],
)  # fmt: skip
def test_a_start_value_is_taken_as_its_variables_type(types: Model, start_values: Any, taken: Any) -> None:
    found = plan(types, start_values=start_values).start_values
    assert found == taken
    assert [type(v) for v in found.values()] == [type(v) for v in taken.values()]


@pytest.mark.parametrize(
    ("start_values", "field", "near"),
    [
        ({"gian": 1}, "gian", "gain"), ({"GAIN": 1}, "GAIN", "gain"), ({"zzzzzz": 1}, "zzzzzz", None),
        ({"gain": "1"}, "gain", None), ({"gain": None}, "gain", None), ({"gain": True}, "gain", None),
        ({"gain": []}, "gain", None), ({"gain": {}}, "gain", None), ({"gain": 10.5}, "gain", None),
        ({"gain": -11}, "gain", None), ({"gain": float("nan")}, "gain", None), ({"gain": float("inf")}, "gain", None),
        ({"gain": 10**400}, "gain", None), ({"count": 10**40}, "count", None),
        ({"count": 2.5}, "count", None), ({"count": 0}, "count", None), ({"count": 11}, "count", None),
        ({"count": 2**40}, "count", None), ({"count": True}, "count", None),
        ({"enabled": 2}, "enabled", None), ({"enabled": "true"}, "enabled", None),
        ({"mode": "Fallling"}, "mode", "Falling"), ({"mode": 4}, "mode", None), ({"mode": 1.5}, "mode", None),
        ({"mode": True}, "mode", None), ({"mode": float("nan")}, "mode", None), ({"mode": None}, "mode", None),
        ({"label": 1}, "label", None), ({"label": "a\0b"}, "label", None), ({"label": "x" * 10_001}, "label", None),
        ({"weights": [1, 2]}, "weights", None), ({"weights": 1}, "weights", None),
        ({"weights": [1, 2, 11]}, "weights", None), ({"weights": [1, 2, "3"]}, "weights", None),
        ({"weights": [[1], [2], [3]]}, "weights", None), ({"time": 1}, "time", None),
    ],
)  # fmt: skip
def test_a_start_value_that_does_not_fit_is_named(
    types: Model, start_values: Any, field: str, near: str | None
) -> None:
    raw = json.dumps({"fmu_id": "x:Types", "start_values": start_values}).encode()
    with pytest.raises(InvalidRequest) as refusal:
        plan_run(parse(SimulateBody, raw), types, Limits())
    assert refusal.value.fields["field"] == f"start_values.{field}"
    if near:
        assert refusal.value.fields["did_you_mean"] == near


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"stop_time": 0}, "stop_time"), ({"start_time": 1}, "stop_time"), ({"stop_time": -1}, "stop_time"),
        ({"step": 0}, "step"), ({"step": -0.1}, "step"), ({"step": 1e-20}, "step"), ({"step": 1e-9}, "step"),
        ({"start_time": 1e17, "stop_time": 1e17 + 1000, "step": 1.0}, "step"),
        ({"start_time": -1e308, "stop_time": 1e308, "step": 1e300}, "step"),
        ({"start_time": 1.7e9, "stop_time": 1.7e9 + 1, "step": 1e-3}, "step"), ({"stop_time": 1e-10}, "stop_time"),
    ],
)  # fmt: skip
def test_times_that_make_no_rows_are_named(types: Model, body: Any, field: str) -> None:
    assert fault(types, **body)[0] == field


def test_model_exchange_takes_no_step_in_which_an_event_could_not_be_found(types: Model) -> None:
    late = {"start_time": 1.7e9, "stop_time": 1.7e9 + 1, "step": 0.01}
    assert plan(types, **late)
    assert fault(replace(types, kinds=("model_exchange",)), **late)[0] == "step"
    assert plan(replace(types, kinds=("model_exchange",)), **late | {"step": 0.02})


@pytest.mark.parametrize("start", [0.0, 4e7, 1.7e9])
@pytest.mark.parametrize("steps", [1, 3, 20, 1000])
def test_a_stop_time_that_is_rounded_adds_no_row(start: float, steps: int) -> None:
    assert row_count(start, start + steps * 0.01, 0.01) == steps + 1
    assert row_count(start, start + steps * 0.01 + 0.005, 0.01) == steps + 2


def test_as_many_rows_are_sold_as_the_limit_says_and_not_one_more(types: Model) -> None:
    assert plan(types, Limits(rows=11), step=0.1)
    assert fault(types, Limits(rows=10), step=0.1)[0] == "step"


def test_each_element_of_an_array_counts_as_a_column(types: Model) -> None:
    assert plan(types, Limits(values=11 * 4), outputs=["vector"])
    assert fault(types, Limits(values=11 * 4 - 1), outputs=["vector"])[0] == "outputs"
    assert fault(types, Limits(values=11 * 2), outputs=["y"], kpis=["n:max"])[0] == "outputs"


def test_an_array_of_more_elements_than_there_may_be_columns_is_refused(types: Model) -> None:
    wide = replace(types.variables["vector"], dimensions=(MAX_COLUMNS,))
    model = replace(types, variables={**types.variables, "vector": wide})
    assert fault(model, step=1.0, outputs=["vector"])[0] == "outputs"
    narrow = replace(wide, dimensions=(MAX_COLUMNS - 1,))
    assert plan(replace(model, variables={**model.variables, "vector": narrow}), step=1.0, outputs=["vector"])


@pytest.mark.parametrize(
    ("outputs", "field", "near"),
    [
        (["y", "yy"], "outputs.1", "y"), (["y", "y"], "outputs.1", None), (["time"], "outputs.0", None),
        (["text"], "outputs.0", None), (["Vectro"], "outputs.0", "vector"), ([""], "outputs.0", None),
    ],
)  # fmt: skip
def test_an_output_that_is_none_is_named(types: Model, outputs: Any, field: str, near: str | None) -> None:
    assert fault(types, outputs=outputs) == (field, near)


@pytest.mark.parametrize(
    ("kpi", "near"),
    [
        ("y:maximum", "y:max"), ("yy:max", "y:max"), ("y", None), (":max", None), ("y:", None), ("text:max", None),
        ("vector:max", None), ("yy_rms", "y:rms"), ("", None), ("time:max:max", None),
    ],
)  # fmt: skip
def test_a_kpi_that_is_none_is_named(types: Model, kpi: str, near: str | None) -> None:
    field, found = fault(types, kpis=["y:max", kpi])
    assert field == "kpis.1"
    assert near is None or found == near


SIGNAL = {"name": "u", "t": [0, 1], "u": [0, 5]}


@pytest.mark.parametrize(
    ("signals", "field", "near"),
    [
        ([{**SIGNAL, "name": "v"}], "0.name", None), ([SIGNAL, SIGNAL], "1.name", None),
        ([{**SIGNAL, "name": "U"}], "0.name", "u"), ([{**SIGNAL, "name": "gain"}], "0.name", None),
        ([{**SIGNAL, "u": [1]}], "0.u", None), ([{**SIGNAL, "t": [1, 0]}], "0.t", None),
        ([{**SIGNAL, "t": [0, 0]}], "0.t", None), ([{**SIGNAL, "u": [0, 101]}], "0.u", None),
        ([{**SIGNAL, "t": [], "u": []}], "0.t", None), ([{**SIGNAL, "w": 1}], "0.w", None),
        ([{"name": "u", "t": [0, 1]}], "0.u", None), ([{**SIGNAL, "t": [0, "1"]}], "0.t.1", None),
        ([{**SIGNAL, "u": [0, float("nan")]}], "0.u.1", None), ([1], "0", None),
        ([{**SIGNAL, "nam": "u"}], "0.nam", "name"), ([{**SIGNAL, "u": 5}], "0.u", None),
    ],
)  # fmt: skip
def test_an_input_signal_that_is_wrong_is_named(types: Model, signals: Any, field: str, near: str | None) -> None:
    assert fault(types, input_signals=signals) == (f"input_signals.{field}", near)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ('"step": 1, "step": 2', "step"), ('"fmu_id": "y"', "fmu_id"), ('"fmu_id" : "y"', "fmu_id"),
        ('"step": 1, "st\\u0065p": 2', "step"), ('"start_values": {"e": 1, "g": 2, "e": 1}', "e"),
        ('"start_values": {"e": {"value": 1, "unit": "m", "unit": "s"}}', "unit"),
        ('"input_signals": [{"name": "u", "name": "v", "t": [0], "u": [1]}]', "name"),
    ],
)  # fmt: skip
def test_a_name_that_is_there_twice_is_refused_by_name(raw: str, name: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse(SimulateBody, f'{{"fmu_id": "x", {raw}}}'.encode())
    assert refusal.value.fields["field"] == name
    assert "twice" in refusal.value.detail


@pytest.mark.parametrize(
    "raw",
    ['"step" : 1 , "outputs" : []', '"start_values": {"label": "a\\":b"}',
     '"start_values": {"e": {"value": 1, "unit": ""}}',
     '"start_values": {"a": [{"b": 1}, {"b": 2}]}', f'"start_values" : {{"n": {"9" * 4000}}}'],
)  # fmt: skip
def test_however_it_is_written_a_request_whose_names_differ_is_read(raw: str) -> None:
    assert parse(SimulateBody, f'{{"fmu_id": "x", {raw}}}'.encode()).fmu_id == "x"


def test_only_what_would_be_taken_is_suggested(models: dict[str, Model]) -> None:
    ball = models["BouncingBall"]
    for name, variable in ball.variables.items():
        wrong = variable.name.upper() + "_"
        near = fault(ball, start_values={wrong: 1})[1], fault(ball, outputs=[wrong])[1]
        assert near[0] is None or ball.variables[near[0]].settable
        assert near[1] is None or ball.variables[near[1]].recordable
        if not variable.settable:
            suggested = fault(ball, start_values={name: 1})[1]
            assert suggested is None or ball.variables[suggested].settable
    assert fault(ball, start_values={"bounce": 1})[1] != "bounces"
    assert fault(ball, start_values={"v_mim": 1})[1] == "v_min"


def test_equal_requests_have_equal_digests_and_others_do_not(types: Model) -> None:
    same = plan(
        types, step=0.1, start_values={"gain": 2, "count": 3}, payment_token="a", max_price="1", quote_only=True
    )
    assert same.digest == plan(types, start_values={"count": 3, "gain": 2.0}).digest
    others = [{}, {"step": 0.2}, {"start_values": {"gain": 3}}, {"outputs": ["y"]}, {"kpis": ["y:max"]},
              {"input_signals": [SIGNAL]}, {"stop_time": 2}, {"start_time": 0.5}]  # fmt: skip
    digests = {plan(types, **body).digest for body in others} | {same.digest}
    assert len(digests) == len(others) + 1


NAMES = st.sampled_from(
    ["y", "u", "gain", "count", "enabled", "mode", "label", "weights", "vector", "h", "v", "e", "g"]
)
NUMBERS = st.one_of(
    st.floats(), st.integers(-(10**30), 10**30), st.sampled_from([0, 1, 1e308, 5e-324, 2**64, 2**63, -0.0])
)
UNITS = st.none() | st.sampled_from(["m", "1", "", "rpm"]) | st.text(max_size=5)
SIGNALS = {"unit": UNITS, "name": NAMES, "t": st.lists(NUMBERS, max_size=3), "u": st.lists(NUMBERS, max_size=3)}
FUNCTIONS = st.sampled_from(["max", "rms", "min", "", "maxx"])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5) | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
LIKELY = st.fixed_dictionaries(
    {"fmu_id": st.text(max_size=5)},
    optional={
        "start_time": NUMBERS, "stop_time": NUMBERS, "step": NUMBERS,
        "start_values": st.dictionaries(NAMES, JSON, max_size=4),
        "input_signals": st.lists(st.fixed_dictionaries(SIGNALS), max_size=2),
        "outputs": st.lists(NAMES, max_size=4),
        "kpis": st.lists(st.builds("{}:{}".format, NAMES, FUNCTIONS), max_size=3),
        "max_price": JSON, "quote_only": JSON, "payment_token": JSON,
    },
)  # fmt: skip
ANY = st.one_of(LIKELY, st.dictionaries(st.sampled_from([*SimulateBody.model_fields, "x"]), JSON, max_size=5), JSON)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANY, st.sampled_from(["BouncingBall", "Types"]))
def test_no_json_does_anything_but_make_a_plan_or_an_error_of_ours(models: Any, value: Any, name: str) -> None:
    try:
        made = plan_run(parse(SimulateBody, json.dumps(value).encode()), models[name], Limits())
    except GatewayError as error:
        json.dumps([error.detail, error.fields])
    else:
        assert len(made.digest) == 64
        assert made.stop_time > made.start_time
        assert made.step > 0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:1e+-.0truefalsnN\\ud8 ', max_size=60).map(str.encode))
def test_no_bytes_do_either(raw: bytes) -> None:
    try:
        parse(SimulateBody, raw)
    except GatewayError as error:
        json.dumps(error.fields)


@pytest.mark.parametrize(
    "raw", [b'{"fmu_id": "\\ud800"}', b"[" * 100_000, b'{"fmu_id":' * 5_000, b"\xff\xfe", b'{"fmu_id": "a\0"}', b"null"]
)
def test_malformed_json_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(SimulateBody, raw)
