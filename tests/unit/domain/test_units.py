"""Start values with units: what engineers write, in the unit that the variable declares, or refused in a sentence."""

import contextlib
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.models import Experiment, Model, Variable
from gateway.domain.requests import INLINE_VALUES, Limits, SimulateBody, parse, plan_run, takes_long
from gateway.domain.runs import RunPlan
from gateway.domain.units import QUANTITY_LENGTH, NoConversion, convert, convert_all, pint_spelling, quantity
from gateway.errors import InvalidRequest


def parameter(name: str, unit: str | None, type_: str = "Float64", **more: Any) -> Variable:
    return Variable(name, type_, "parameter", "fixed", unit=unit, start=0.0, **more)


VARIABLES = [
    parameter("w", "rad/s", min=0.0, max=400.0),
    parameter("T", "K", min=0.0),
    parameter("plain", None),
    parameter("e", "1"),
    parameter("odd", "flups"),
    parameter("label", None, "String"),
    parameter("n", "1", "Int32"),
    parameter("lengths", "m", dimensions=(2,)),
    Variable("speed", "Float64", "input", "continuous", unit="rad/s", start=0.0, min=0.0, max=400.0),
    Variable("heat", "Float64", "input", "continuous", unit="K", start=0.0),
    Variable("valve", "Float64", "input", "continuous", unit=None, start=0.0),
    Variable("gear", "Int32", "input", "discrete", unit="1", start=0),
]
EXPERIMENT = Experiment(0.0, 1.0, 0.1)
BY_NAME = {v.name: v for v in VARIABLES}
MODEL = Model("x:Units", "ab" * 32, "Units", "", "3.0", ("co_simulation",), EXPERIMENT, BY_NAME)


def body(**start_values: Any) -> SimulateBody:
    return parse(SimulateBody, json.dumps({"fmu_id": "x:Units", "start_values": start_values}).encode())


def plan(**start_values: Any) -> RunPlan:
    return plan_run(body(**start_values), MODEL, Limits())


def refusal(**start_values: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as found:
        plan(**start_values)
    assert found.value.status == 422
    return found.value


# Factors from the definitions of the units (SI brochure, NIST SP 811), not from pint.
@pytest.mark.parametrize(
    ("value", "unit", "into", "expected"),
    [
        (3000, "rpm", "rad/s", 100 * math.pi), (3000, "rev/min", "rad/s", 100 * math.pi), (60, "rpm", "rev/min", 60),
        (3000, "1/min", "rad/s", 100 * math.pi), (3000, "rpm", "1/min", 3000), (3000, "1/min", "Hz", 50),
        (180, "deg", "rad", math.pi), (180, "°", "rad", math.pi), (1, "N.m/deg", "N.m/rad", 180 / math.pi),
        (20, "degC", "K", 293.15), (20, "°C", "K", 293.15), (68, "degF", "degC", 20), (293.15, "K", "degC", 20),
        (5, "delta_degC", "K", 5), (3, "W/(m2.degC)", "W/(m2.K)", 3), (9, "K/s", "degF/s", 16.2),
        (2, "kN.m", "N.m", 2000), (2, "kN*m", "N.m", 2000), (3.6, "km/h", "m/s", 1), (36, "m3/h", "m3/s", 0.01),
        (60, "l/min", "m3/s", 1e-3), (1, "mW/(cm2.K)", "W/(m2.K)", 10), (1, "bar", "Pa", 1e5), (1, "A.h", "C", 3600),
        (1, "kW.h", "J", 3.6e6), (1, "kWh", "J", 3.6e6), (50, "%", "1", 0.5),
        (2, "kOhm", "Ohm", 2000), (2, "Ω", "Ohm", 2),
        (1, "g.cm2", "kg.m2", 1e-7), (9.81, "m.s-2", "m/s2", 9.81), (4, "m²", "m2", 4), (4, "m^2", "m**2", 4),
        (1, "ms-1", "1/s", 1000), (5, "1", "1", 5), (1, "flups", "flups", 1),
    ],
)  # fmt: skip
def test_what_engineers_write_becomes_the_declared_unit(value: float, unit: str, into: str, expected: float) -> None:
    assert convert(value, unit, into) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("unit", "into"),
    [
        ("kg", "rad/s"), ("rpm", "Hz"), ("rad/s", "Hz"), ("deg", "1"), ("C", "K"), ("Nm", "N.m"), ("flups", "m"),
        ("m", "flups"), ("", "m"), ("m..s", "m/s"), ("m s", "m.s"), ("m/", "m"), ("9**9**9", "m"), ("m99**99**99", "m"),
        ("(" * 60, "m"), ("m" * 65, "m"), ("__import__('os')", "m"), ("1.5 m", "m"), ("2m", "m"), ("1/m)(", "m"),
    ],
)  # fmt: skip
def test_what_is_no_unit_or_another_dimension_is_refused(unit: str, into: str) -> None:
    with pytest.raises(NoConversion):
        convert(1.0, unit, into)


UNITS = [("rpm", "rad/s"), ("degC", "K"), ("degF", "degC"), ("kN.m", "N.m"), ("l/min", "m3/s"), ("deg", "rad")]


@given(st.floats(-1e12, 1e12), st.sampled_from(UNITS))
def test_there_and_back_is_where_it_began(value: float, units: tuple[str, str]) -> None:
    one, other = units
    back = convert(convert(value, one, other), other, one)
    assert back == pytest.approx(value, rel=1e-12, abs=1e-9)  # absolute: degC near 0 loses what K has before the point


@given(st.text(max_size=80) | st.text("mskg*/.()^-0123456789 °%", max_size=80))
def test_no_text_breaks_anything(text: str) -> None:
    given_ = quantity(f"1 {text}")
    assert given_ is None or given_[0] == 1.0
    with contextlib.suppress(NoConversion):
        assert isinstance(convert(1.0, text, "m"), float)


def test_only_modelicas_grammar_reaches_the_library() -> None:
    assert pint_spelling(" W/(m2.K) ") == "W/(m**2*K)"
    assert pint_spelling("s-1") == "s**-1"
    for text in ("2+2", "m,s", "lambda:1", "m[0]", "10m", "m 2", "m\ns", "m2m"):
        with pytest.raises(ValueError):
            pint_spelling(text)


@pytest.mark.parametrize("given_", ["3000 rpm", "3000rpm", " 3e3  rpm ", {"value": 3000, "unit": "rpm"}, "3000 1/min"])
def test_both_ways_of_writing_it_reach_the_plan_as_a_number(given_: Any) -> None:
    made = plan(w=given_)
    assert made.start_values["w"] == pytest.approx(100 * math.pi)
    assert made.as_json()["start_values"] == {"w": made.start_values["w"]}
    assert made.digest == plan(w=made.start_values["w"]).digest


def test_limits_are_checked_after_conversion() -> None:
    assert plan(w="3800 rpm").start_values["w"] == pytest.approx(397.935, rel=1e-5)
    above = refusal(w="3900 rpm")
    assert above.fields["field"] == "start_values.w"
    assert re.fullmatch(r"408\.407\d+ is above the maximum of w, 400\.", above.detail)
    assert re.fullmatch(r"-26\.85\d+ is below the minimum of T, 0\.", refusal(T="-300 degC").detail)
    assert refusal(T="1e999 degC").detail == "T must be finite."
    assert refusal(w={"value": 1e308, "unit": "Grad/s"}).detail == "w must be finite."


@pytest.mark.parametrize(
    ("start_values", "detail"),
    [
        ({"w": "3 kg"}, "w is in rad/s; kg cannot be converted into that."),
        ({"w": "3 Hz"}, "w is in rad/s; Hz cannot be converted into that."),
        ({"T": "20 C"}, "T is in K; C cannot be converted into that."),
        ({"w": {"value": 3, "unit": "flups"}}, "w is in rad/s; there is no unit called flups."),
        ({"odd": "3 m"}, "odd is in flups; there is no unit called flups."),
        ({"plain": "3 m"}, "plain has no unit: leave it out."),
        ({"w": "fast"}, "w takes a value of type Float64."),
        ({"w": "3000"}, "w takes a value of type Float64."),
        ({"w": "3,5 rpm"}, "w takes a value of type Float64."),
        ({"w": {"value": "3000", "unit": "rpm"}}, "w takes a value of type Float64."),
        ({"w": {"value": True, "unit": "rpm"}}, "w takes a value of type Float64."),
        ({"w": {"value": 3000}}, "w takes a value of type Float64."),
        ({"w": {"value": 3000, "unit": "rpm", "x": 1}}, "w takes a value of type Float64."),
        ({"w": {"value": 10**400, "unit": "rpm"}}, "w takes a value of type Float64."),
        ({"n": "3 m"}, "n takes a value of type Int32."),
        ({"lengths": {"value": [1, "2"], "unit": "km"}}, "lengths: value 2 of 2 is no number."),
        ({"lengths": {"value": [1, True], "unit": "km"}}, "lengths: value 2 of 2 is no number."),
        ({"lengths": {"value": [1, 10**400], "unit": "km"}}, "lengths: value 2 of 2 is no number."),
        ({"lengths": {"value": [[1.5] * 9, 2], "unit": "km"}}, "lengths: value 1 of 2 is no number."),
        ({"w": {"value": 3, "unit": "Ω" * 1_000_000}}, f"w is in rad/s; there is no unit called {'Ω' * 64}."),
        ({"lengths": {"value": [1, 2], "unit": "s"}}, "lengths is in m; s cannot be converted into that."),
        ({"lengths": {"value": [1], "unit": "km"}}, "lengths is an array (2): give a flat list of 2 values."),
        ({"lengths": {"value": 1, "unit": "km"}}, "lengths is an array (2): give a flat list of 2 values."),
        ({"w": {"value": [1], "unit": "rpm"}}, "w takes a value of type Float64."),
    ],
)
def test_a_refusal_names_the_field_and_the_expected_unit(start_values: dict[str, Any], detail: str) -> None:
    refused = refusal(**start_values)
    assert (refused.fields["field"], refused.detail) == (f"start_values.{next(iter(start_values))}", detail)


def test_what_needs_no_conversion_stays_as_it_was() -> None:
    made = plan(label="3000 rpm", odd="3 flups", e="50 %", lengths=["1 km", 2])
    assert made.start_values == {"label": "3000 rpm", "odd": 3.0, "e": 0.5, "lengths": (1000.0, 2.0)}


def test_one_unit_may_stand_for_all_elements_of_an_array() -> None:
    assert plan(lengths={"value": [1, 2.5], "unit": "km"}).start_values == {"lengths": (1000.0, 2500.0)}


def test_only_requests_that_use_units_go_the_slow_way() -> None:
    assert takes_long(body(w="3000 rpm"), MODEL)
    assert takes_long(body(lengths=[1, "2 km"]), MODEL)
    assert takes_long(body(lengths={"value": [1, 2], "unit": "km"}), MODEL)
    assert not takes_long(body(w=3000, label="3000 rpm", lengths=[1, 2], unknown="1 m", n="3 m", plain="3 m"), MODEL)


def test_start_values_of_very_many_elements_belong_in_a_thread() -> None:
    phases = parameter("phases", None, "Enumeration", dimensions=(100,), items={f"phase_{i}": i for i in range(100)})
    model = replace(MODEL, variables={**BY_NAME, "phases": phases})
    assert takes_long(body(lengths=[1.5] * (INLINE_VALUES + 1)), model)
    assert takes_long(body(plain={"value": [1.5] * (INLINE_VALUES + 1), "unit": "m"}), model)
    assert takes_long(body(lengths=[1.5] * INLINE_VALUES, plain=[1] * 500), model)
    assert takes_long(body(phases=[1] * 100), model)  # of which each is looked for among a hundred
    assert not takes_long(body(lengths=[1.5] * INLINE_VALUES), model)
    assert not takes_long(body(phases=[1] * 10, unknown=[1] * 99_000), model)


def test_a_text_that_is_too_long_for_a_number_with_a_unit_is_not_searched_for_one() -> None:
    assert plan(w="1" + ".0" + "0" * 100 + " rpm").start_values["w"] == pytest.approx(math.pi / 30)
    assert refusal(w="0" * QUANTITY_LENGTH + "1 rpm").detail == "w takes a value of type Float64."
    assert refusal(w="1" * 1_000_000).detail == "w takes a value of type Float64."


def test_the_unit_library_is_not_loaded_before_a_request_uses_it() -> None:
    code = "import sys, gateway.domain.requests; print('pint' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def driven(**signal: Any) -> RunPlan:
    request = {"fmu_id": "x:Units", "input_signals": [{"t": [0, 1], "u": [0, 3000], **signal}]}
    return plan_run(parse(SimulateBody, json.dumps(request).encode()), MODEL, Limits())


def test_an_input_signal_in_a_unit_is_the_same_request_as_one_in_the_inputs_own() -> None:
    made = driven(name="speed", unit="rpm")
    assert made.input_signals[0].u == (0.0, convert(3000, "rpm", "rad/s"))
    assert made.digest == driven(name="speed", u=[0.0, convert(3000, "rpm", "rad/s")]).digest
    assert made.as_json()["input_signals"] == [{"name": "speed", "t": (0.0, 1.0), "u": made.input_signals[0].u}]
    assert driven(name="heat", u=[-10, 20], unit="degC").input_signals[0].u == pytest.approx((263.15, 293.15))
    assert driven(name="speed", u=[0, 1], unit=None).digest == driven(name="speed", u=[0, 1], unit="rad/s").digest


@pytest.mark.parametrize(
    ("signal", "field", "detail"),
    [
        ({"name": "speed", "unit": "kg"}, "unit", "speed is in rad/s; kg cannot be converted into that."),
        ({"name": "speed", "unit": "Hz"}, "unit", "speed is in rad/s; Hz cannot be converted into that."),
        ({"name": "speed", "unit": "flups"}, "unit", "speed is in rad/s; there is no unit called flups."),
        ({"name": "speed", "unit": ""}, "unit", "speed is in rad/s; there is no unit called ."),
        ({"name": "valve", "unit": "m"}, "unit", "valve has no unit: leave it out."),
        ({"name": "gear", "unit": "1"}, "unit", "gear has no unit: leave it out."),
        ({"name": "speed", "unit": "rpm", "u": [0, 4000]}, "u", None),  # 419 rad/s: above the maximum
        ({"name": "heat", "unit": "MK", "u": [0, 1e308]}, "u", "heat must be finite."),
        ({"name": "speed", "unit": 5}, "unit", None),
    ],
)
def test_a_signals_unit_that_does_not_fit_is_named(signal: dict[str, Any], field: str, detail: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        driven(**signal)
    assert refused.value.fields["field"] == f"input_signals.0.{field}"
    assert detail in (None, refused.value.detail)


def test_signals_with_units_or_very_many_values_belong_in_a_thread() -> None:
    def made(**signal: Any) -> SimulateBody:
        return parse(SimulateBody, json.dumps({"fmu_id": "x", "input_signals": [{"name": "speed", **signal}]}).encode())

    assert takes_long(made(t=[0], u=[0], unit="rpm"), MODEL)
    assert takes_long(made(t=[0] * 5000, u=[0] * 5000), MODEL)
    assert not takes_long(made(t=[0], u=[0]), MODEL)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5), st.sampled_from(["degC", "kK", "degF"]))
def test_many_values_are_converted_as_each_of_them_would_be(values: list[float], unit: str) -> None:
    assert convert_all(values, unit, "K") == [convert(value, unit, "K") for value in values]
