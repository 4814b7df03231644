"""Which exit code says what, and the way out that is named with it."""

import json

import pytest

from gateway.client.views import NEXT_STEP_HERE


def problem(code, **fields):
    return {"code": code, "detail": "What happened.", "next_step": "What to do.", **fields}


def test_a_failed_run_says_it_was_not_charged_and_keeps_the_token(fmu_gateway, scripted):
    scripted.then(422, problem("model_error", charged=False, run_url="http://gateway.test/runs/run_1"))
    said = fmu_gateway.typed("run", "msl:BouncingBall", "--payment-token", "fmt_1")
    assert said.code == 8
    assert "Nothing was charged." in said.err
    assert "--payment-token fmt_1" in said.err


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, problem("key_refused"), 4),
        (404, problem("model_not_found", did_you_mean="msl:BouncingBall"), 5),
        (402, problem("token_invalid"), 6),
        (410, problem("token_consumed", run_url="http://gateway.test/runs/run_1"), 6),
        (410, problem("model_withdrawn"), 5),
        (422, problem("invalid_request", field="stop_time"), 7),
        (413, problem("body_too_large"), 7),
        (500, problem("model_crashed", charged=False), 8),
        (504, problem("simulation_timeout", charged=False), 8),
        (507, problem("memory_limit", charged=False), 8),
        (409, problem("run_in_progress"), 9),
        (500, problem("internal_error"), 1),
        (429, problem("rate_limited"), 1),
    ],
)
def test_every_refusal_has_its_exit_code_and_its_way_out(fmu_gateway, scripted, status, body, code):
    scripted.then(status, body)
    said = fmu_gateway.piped("run", "msl:BouncingBall")
    assert (said.code, said.json) == (code, body)
    assert "What happened." in said.err
    assert NEXT_STEP_HERE.get(body["code"], "What to do.") in said.err
    assert ("Did you mean msl:BouncingBall?" in said.err) == ("did_you_mean" in body)


def test_nobody_there_exits_3_and_names_the_setting(fmu_gateway, monkeypatch):
    monkeypatch.setenv("FMU_GATEWAY_URL", "http://127.0.0.1:9")
    said = fmu_gateway.piped("models")
    assert (said.code, said.out) == (3, "")
    assert "FMU_GATEWAY_URL" in said.err


@pytest.mark.parametrize(
    "args",
    [
        ["run"],
        ["run", "msl:A", "--quote", "--pay"],
        ["run", "msl:A", "--pay", "--payment-token", "fmt_1"],
        ["run", "msl:A", "--stop-time", "soon"],
        ["run", "msl:A", "--stop-time", "nan"],
        ["run", "msl:A", "--set", "e"],
        ["run", "msl:A", "--input", "/no/such/file.csv"],
        ["run", "msl:A", "--max-price", "cheap"],
        ["run", "msl:A", "--wait", "soon"],
        ["run", "msl:A", "--csv", "/no/such/folder/out.csv"],
        ["run", "msl:A", "--unknown"],
        ["nonsense"],
    ],
)
def test_what_was_typed_wrong_exits_2_before_anything_is_asked(fmu_gateway, scripted, args):
    said = fmu_gateway.piped(*args)
    assert (said.code, said.out) == (2, "")
    assert said.err
    assert scripted.asked == []


def test_a_wrong_address_exits_2(fmu_gateway, monkeypatch):
    monkeypatch.setenv("FMU_GATEWAY_URL", "localhost:8402")
    said = fmu_gateway.piped("models")
    assert said.code == 2
    assert "FMU_GATEWAY_URL" in said.err


def test_what_an_answer_lacks_is_said_without_a_traceback(fmu_gateway, scripted):
    scripted.then(200, {"surprise": True})
    said = fmu_gateway.piped("run", "msl:BouncingBall")
    assert said.code == 1
    assert "RunResult" in said.err
    assert "Traceback" not in said.err


def test_scripts_can_rely_on_json_even_for_refusals(fmu_gateway, scripted):
    scripted.then(422, problem("invalid_request", field="step", did_you_mean=None))
    assert json.loads(fmu_gateway.piped("run", "msl:BouncingBall").out)["field"] == "step"
