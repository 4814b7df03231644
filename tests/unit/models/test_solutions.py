"""Each shipped model computes what an independent solution of its equations says, a closed form or scipy's DOP853: run
by FMPy in this process, and by a confined run of ours."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from confined import Simulate, confined
from model_paths import SHIPPED
from scipy.integrate import solve_ivp
from scipy.linalg import expm

# The tolerances below are ten to fifty times the error seen, which docs/models.md names.


@pytest.fixture(scope="module")
def of_ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulate]:
    with confined(tmp_path_factory.mktemp("models")) as run:
        yield run


@pytest.fixture(params=["FMPy", "ours"])
def simulate(request: pytest.FixtureRequest, simulate: Callable, of_ours: Simulate) -> Callable:
    if request.param == "FMPy":
        return simulate
    paths = {path.stem: path for path in SHIPPED}
    return lambda name, **options: of_ours(paths[name], **options)


def reference(f: Callable, start: list[float], t: np.ndarray, longest_step: float = np.inf) -> np.ndarray:
    """The states at times t (rows are states), to a relative 1e-12."""
    solution = solve_ivp(
        f, (t[0], t[-1]), start, method="DOP853", t_eval=t, rtol=1e-12, atol=1e-12, max_step=longest_step
    )
    assert solution.success
    return solution.y


def linear(matrix: np.ndarray, constant: np.ndarray, start: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Closed form of x' = A x + b at times t since the start, by the exponential of [[A, b], [0, 0]]."""
    n = len(start)
    augmented = np.zeros((n + 1, n + 1))
    augmented[:n, :n], augmented[:n, n] = matrix, constant
    return np.array([(expm(augmented * moment) @ [*start, 1.0])[:n] for moment in t]).T


def worst(seen: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(seen - expected).max())


def ball(t: np.ndarray, e: float, g: float, height: float, v_min: float) -> tuple[np.ndarray, np.ndarray, float]:
    """h(t), v(t) and the time of rest: bounce n leaves the floor at e^n sqrt(2 g h0) and takes 2 v / g."""
    speed = math.sqrt(2 * g * height)
    h, v = height - g / 2 * t**2, -g * t
    impact = speed / g
    while True:
        speed *= e
        after = t >= impact
        if speed < v_min:
            h[after], v[after] = 0, 0
            return h, v, impact
        s = t[after] - impact
        h[after], v[after] = s * (speed - g / 2 * s), speed - g * s
        impact += 2 * speed / g


@pytest.mark.parametrize(("e", "g", "height"), [(0.7, 9.81, 1.0), (0.9, 1.62, 3.0), (0.0, 9.81, 2.0)])
def test_a_ball_bounces_where_the_closed_form_says_and_then_rests(simulate, e, g, height):
    r = simulate("BouncingBall", stop_time=60, output_interval=0.03, start_values={"e": e, "g": g, "h": height})
    h, v, rest = ball(r["time"], e, g, height, 0.01)
    assert worst(r["h"], h) < 1e-14
    assert worst(r["v"], v) < 1e-14
    assert r["h"].min() == 0
    assert rest < 60
    assert not r["h"][r["time"] > rest].any()


def test_every_impact_is_counted(simulate):
    r = simulate("BouncingBall", stop_time=3, output_interval=0.01, output=["bounces", "at_rest"])
    # The last impact is the first that would leave the floor at less than v_min = 0.01.
    expected = math.floor(math.log(0.01 / math.sqrt(2 * 9.81)) / math.log(0.7)) + 1
    assert r["bounces"][-1] == expected
    assert r["at_rest"][-1]
    assert r["bounces"][0] == 0
    assert not r["at_rest"][0]


def test_an_elastic_ball_never_rests_and_keeps_its_energy(simulate):
    r = simulate("BouncingBall", stop_time=100, output_interval=0.1, start_values={"e": 1.0})
    assert worst(9.81 * r["h"] + r["v"] ** 2 / 2, np.full(len(r), 9.81)) < 1e-13


def test_a_ball_that_lies_on_the_floor_stays_there(simulate):
    r = simulate("BouncingBall", start_values={"h": 0.0})
    assert not r["h"].any()
    assert not r["v"].any()


def test_model_exchange_finds_the_same_bounces(simulate):
    r = simulate("BouncingBall", fmi_type="ModelExchange", relative_tolerance=1e-8, stop_time=2, output_interval=0.01)
    h, _, _ = ball(r["time"], 0.7, 9.81, 1.0, 0.01)
    assert worst(r["h"], h) < 1e-6


@pytest.mark.parametrize("mu", [0.0, 1.0, 20.0])
def test_van_der_pol_agrees_with_scipy(simulate, mu):
    r = simulate("VanDerPol", start_values={"mu": mu})
    x = reference(lambda t, x: [x[1], mu * (1 - x[0] ** 2) * x[1] - x[0]], [2, 0], r["time"])
    assert worst(r["x0"], x[0]) < 1e-9
    assert worst(r["x1"], x[1]) < 5e-9


def test_van_der_pol_by_model_exchange_agrees_with_co_simulation(simulate):
    options = {"stop_time": 10.0, "output_interval": 0.05}
    cs = simulate("VanDerPol", **options)
    me = simulate("VanDerPol", fmi_type="ModelExchange", relative_tolerance=1e-10, **options)
    assert worst(np.interp(cs["time"], me["time"], me["x0"]), cs["x0"]) < 1e-6


def test_chua_agrees_with_scipy_as_long_as_chaos_allows(simulate):
    r = simulate("ChuaCircuit", stop_time=3000)

    def f(t, x):
        diode = -0.409091 * x[0] + 0.5 * (-0.757576 + 0.409091) * (abs(x[0] + 1) - abs(x[0] - 1))
        between = 0.565 * (x[1] - x[0])
        return [(between - diode) / 10, (x[2] - between) / 100, -(x[1] + 0.0125 * x[2]) / 18]

    x = reference(f, [4, 0, 0], r["time"], longest_step=2)
    assert worst(np.array([r["v1"], r["v2"], r["i_L"]]), x) < 2e-7


def test_chua_is_chaotic_and_visits_both_scrolls(simulate):
    one = simulate("ChuaCircuit")
    other = simulate("ChuaCircuit", start_values={"v1": 4 + 1e-9})
    assert one["v1"].min() < -1
    assert one["v1"].max() > 1
    assert worst(one["v1"], other["v1"]) > 1e4 * 1e-9
    assert worst(one["v1"][:80], other["v1"][:80]) < 1e-7


def test_dc_motor_follows_the_closed_form_through_steps_of_its_inputs(simulate):
    pulses = np.array(
        [(0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (0.5, 24.0, 0.0), (1.5, 24.0, 0.0), (1.5, 24.0, 0.3), (3.0, 24.0, 0.3)],
        dtype=[("time", float), ("u", float), ("tau_load", float)],
    )
    r = simulate("DCMotor", input=pulses, stop_time=3, output_interval=0.01)
    matrix = np.array([[-1 / 0.01, -0.1 / 0.01, 0], [0.1 / 0.01, -0.001 / 0.01, 0], [0, 1, 0]])
    state = np.zeros(3)
    for begin, end, u, load in [(0, 0.5, 0.0, 0.0), (0.5, 1.5, 24.0, 0.0), (1.5, 3.0, 24.0, 0.3)]:
        rows = r[(r["time"] > begin + 1e-9) & (r["time"] < end + 1e-9)]
        x = linear(matrix, np.array([u / 0.01, -load / 0.01, 0]), state, rows["time"] - begin)
        assert worst(np.array([rows["i"], rows["w"], rows["phi"]]), x) < 1e-9
        state = x[:, -1]


def test_an_unheated_room_cools_as_the_closed_form_says(simulate):
    r = simulate("HeatedRoom", start_values={"Q_max": 0.0})
    matrix = np.array([[-(200 + 15) / 3e5, 200 / 3e5], [200 / 1e7, -(200 + 30) / 1e7]])
    constant = np.array([15 * 273.15 / 3e5, 30 * 273.15 / 1e7])
    x = linear(matrix, constant, np.array([288.15, 283.15]), r["time"])
    assert worst(np.array([r["T_room"], r["T_wall"]]), x) < 5e-8
    assert not r["E_heat"].any()


def test_a_heated_room_in_changing_weather_agrees_with_scipy(simulate):
    hours = np.arange(25)
    weather = [(t * 3600.0, 273.15 - 5 * math.cos(t / 4), 400.0 * (10 <= t < 15)) for t in hours]
    held = [row for k, row in enumerate(weather) for row in ([(row[0], *weather[k - 1][1:])] if k else []) + [row]]
    signals = np.array(held, dtype=[("time", float), ("T_out", float), ("q_sun", float)])
    r = simulate("HeatedRoom", input=signals, output_interval=300)
    state = [288.15, 283.15, 0.0]
    for begin, outside, sun in weather[:-1]:

        def f(t, x, outside=outside, sun=sun):
            heat = min(max(500 * (294.15 - x[0]), 0), 2000)
            air = heat + 1.5 * sun + 200 * (x[1] - x[0]) + 15 * (outside - x[0])
            return [air / 3e5, (200 * (x[0] - x[1]) + 30 * (outside - x[1])) / 1e7, heat]

        rows = r[(r["time"] >= begin) & (r["time"] <= begin + 3600)]
        x = reference(f, state, rows["time"], longest_step=20)
        assert worst(rows["T_room"], x[0]) < 5e-8
        assert worst(rows["T_wall"], x[1]) < 5e-8
        assert worst(rows["E_heat"], x[2]) < 1e-2
        state = [float(row[-1]) for row in x]


def test_a_cell_is_discharged_as_the_closed_form_says(simulate):
    table = [3.1, 3.4, 3.5, 3.57, 3.62, 3.67, 3.75, 3.85, 3.95, 4.06, 4.2]
    r = simulate("LiIonCell", start_values={"i": 1.25, "soc": 0.9, "ocv": table})
    soc = 0.9 - 1.25 * r["time"] / (3600 * 2.5)
    polarisation = 0.015 * 1.25 * (1 - np.exp(-r["time"] / (0.015 * 2000)))
    assert worst(r["soc"], soc) < 1e-12
    assert worst(r["v"], np.interp(soc, np.linspace(0, 1, 11), table) - 0.02 * 1.25 - polarisation) < 1e-10


def test_a_cell_beyond_full_and_empty_keeps_the_ends_of_its_table(simulate):
    empty = simulate("LiIonCell", stop_time=7200)
    full = simulate("LiIonCell", start_values={"i": -2.5})
    assert empty["v_oc"][-1] == 3.0
    assert full["v_oc"][-1] == 4.18


def test_the_controlled_drive_train_agrees_with_scipy(simulate):
    r = simulate("PID_Controller")

    def f(t, x):
        motor, load, twist, integral, slow = x
        derivative = 10 * (-motor - slow)
        wish = 100 * (1 - motor + integral + derivative)
        tau = min(max(wish, -12), 12)
        shaft = 1e4 * twist + 100 * (motor - load)
        return [tau - shaft, shaft / 2, motor - load, (1 - motor + (tau - wish) / 10) / 0.1, derivative / 0.1]

    x = reference(f, [0] * 5, r["time"], longest_step=1e-3)
    assert worst(r["w_motor"], x[0]) < 1e-9
    assert worst(r["w_load"], x[1]) < 1e-9


def test_the_controller_reaches_its_reference_against_a_load_and_within_its_limit(simulate):
    r = simulate("PID_Controller", stop_time=20, start_values={"w_ref": 2.0, "tau_load": 5.0})
    assert abs(r["w_load"][-1] - 2) < 1e-6
    assert abs(r["tau"][-1] - 5) < 1e-4
    assert np.abs(r["tau"]).max() == 12


def test_a_result_does_not_depend_on_how_often_it_is_looked_at(simulate, shipped):
    # Powers of two, so that the importer's own times are exact and the results can be compared to the last bit.
    often = simulate(shipped.stem, stop_time=16, output_interval=1 / 64)
    rarely = simulate(shipped.stem, stop_time=16, output_interval=1)
    assert np.array_equal(often[::64], rarely)
