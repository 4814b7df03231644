"""The buyer's commands: what each sends, and what goes where."""

import pytest

PAYMENT_REQUIRED = 6


def problem(code, **fields):
    return {"code": code, "detail": "What happened.", "next_step": "What to do.", **fields}


def test_models_are_a_table_on_a_terminal_and_json_when_piped(fmu_gateway, scripted, card):
    free = {**card, "fmu_id": "msl:VanDerPol", "price": "0.00", "description": "An oscillator."}
    scripted.then(200, {"models": [card, free]}).then(200, {"models": [card, free]})
    said = fmu_gateway.typed("models")
    assert said.code == 0
    assert "msl:BouncingBall  1.00 usd" in said.out
    assert "msl:VanDerPol     free" in said.out
    assert fmu_gateway.piped("models").json == [card, free]


def test_json_can_be_had_on_a_terminal_too(fmu_gateway, scripted, card):
    scripted.then(200, {"models": [card]})
    assert fmu_gateway.typed("models", "--json").json == [card]


def test_a_model_shows_its_variables_with_units(fmu_gateway, scripted, card):
    variable = {"name": "e", "causality": "parameter", "start": 0.7, "unit": "m", "description": "Height."}
    scripted.then(200, card).then(200, {"variables": [variable]})
    said = fmu_gateway.typed("model", "msl:BouncingBall")
    assert "e         parameter  0.7    m     Height." in said.out
    scripted.then(200, card).then(200, {"variables": [variable]})
    assert fmu_gateway.piped("model", "msl:BouncingBall").json == {**card, "variables": [variable]}


def test_an_input_file_to_fill_in_goes_to_stdout(fmu_gateway, scripted):
    scripted.then(200, b'"time","u"\n0.0,0.0\n')
    said = fmu_gateway.piped("model", "msl:DCMotor", "--inputs")
    assert said.out == '"time","u"\n0.0,0.0\n'
    assert scripted.asked[0].path == "/fmus/msl:DCMotor/inputs.csv"


def test_run_sends_what_was_typed(fmu_gateway, scripted, result, tmp_path):
    file = tmp_path / "in.csv"
    file.write_text("time;u\n0;1,5\n1;2\n")
    scripted.then(200, result)
    said = fmu_gateway.piped(
        *["run", "msl:DCMotor", "--start-time", "0", "--stop-time", "3", "--step", "0.01"],
        *["--set", "e=0.7", "--set", "on=true", "--input", str(file), "--output", "h,v", "--output", "x[1,2]"],
        *["--kpi", "h:max,h_rms", "--max-price", "2", "--payment-token", "fmt_1"],
        *["--fmi-type", "model_exchange", "--solver", "CVode", "--tolerance", "1e-6"],
    )
    assert said.code == 0
    assert scripted.asked[0].body == {
        "fmu_id": "msl:DCMotor",
        "start_time": 0.0,
        "stop_time": 3.0,
        "step": 0.01,
        "start_values": {"e": 0.7, "on": True},
        "input_signals": [{"name": "u", "t": [0.0, 1.0], "u": [1.5, 2.0]}],
        "outputs": ["h", "v", "x[1,2]"],
        "kpis": ["h:max", "h_rms"],
        "fmi_type": "model_exchange",
        "solver": "CVode",
        "tolerance": 1e-6,
        "max_price": "2",
        "payment_token": "fmt_1",
    }


def test_a_free_model_just_runs(fmu_gateway, scripted, result):
    free = {**result, "charged": False, "amount": "0.00", "receipt": None, "run_token": "fmr_1"}
    scripted.then(200, free)
    said = fmu_gateway.typed("run", "msl:VanDerPol")
    assert said.code == 0
    assert "free" in said.out
    assert "fmr_1" in said.err


def test_plain_run_shows_the_price_asks_nothing_and_exits_6(fmu_gateway, scripted, offer):
    scripted.then(402, offer)
    said = fmu_gateway.typed("run", "msl:BouncingBall")
    assert (said.code, said.out) == (PAYMENT_REQUIRED, "")
    for shown in ("1.00 usd", "--pay", "http://gateway.test/checkout/fmq_1", "fms_1", "--payment-token"):
        assert shown in said.err
    assert len(scripted.asked) == 1


def test_an_agent_gets_the_offer_as_json_with_exit_6(fmu_gateway, scripted, offer):
    scripted.then(402, offer)
    said = fmu_gateway.piped("run", "msl:BouncingBall")
    assert (said.code, said.json) == (PAYMENT_REQUIRED, offer)


def test_quote_prints_the_offer_and_exits_0(fmu_gateway, scripted, offer):
    scripted.then(402, offer).then(402, offer)
    assert fmu_gateway.piped("run", "msl:BouncingBall", "--quote").json == offer
    said = fmu_gateway.typed("run", "msl:BouncingBall", "--quote")
    assert said.code == 0
    assert "1.00 usd" in said.out
    assert scripted.asked[0].body["quote_only"] is True


def test_the_price_cap_of_the_environment_counts(fmu_gateway, scripted, offer, monkeypatch):
    monkeypatch.setenv("FMU_GATEWAY_MAX_PRICE", "0.50")
    scripted.then(402, {**offer, "code": "price_above_max"})
    assert fmu_gateway.piped("run", "msl:BouncingBall", "--pay").code == PAYMENT_REQUIRED
    assert scripted.asked[0].body["max_price"] == "0.50"
    assert len(scripted.asked) == 1


def test_pay_waits_for_the_payment_then_runs_with_the_token(fmu_gateway, scripted, offer, result):
    scripted.then(402, offer).then(202, {"status": "pending"}, Retry_After="0")
    scripted.then(200, {"status": "ready", "payment_token": "fmt_1"}).then(200, result)
    said = fmu_gateway.piped("run", "msl:BouncingBall", "--pay", "--wait", "2m")
    assert (said.code, said.json) == (0, result)
    assert "http://gateway.test/checkout/fmq_1" in said.err
    assert [asked.path.split("?")[0] for asked in scripted.asked] == [
        "/simulate",
        "/payments/checkout/fms_1",
        "/payments/checkout/fms_1",
        "/simulate",
    ]
    assert "wait=25" in scripted.asked[1].path
    assert scripted.asked[3].body["payment_token"] == "fmt_1"


def test_pay_opens_the_browser_that_there_is(fmu_gateway, scripted, offer, result, monkeypatch, tmp_path):
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >{opened}.part && mv {opened}.part {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    scripted.then(402, offer).then(202, {"status": "pending"}, Retry_After="1")
    scripted.then(200, {"status": "ready", "payment_token": "fmt_1"}).then(200, result)
    assert fmu_gateway.piped("run", "msl:BouncingBall", "--pay").code == 0
    assert opened.read_text() == "http://gateway.test/checkout/fmq_1\n"


def test_an_address_that_is_no_web_page_is_not_opened(fmu_gateway, scripted, offer, result, monkeypatch):
    monkeypatch.setenv("BROWSER", "false")
    monkeypatch.setattr("webbrowser.open", lambda url: pytest.fail(f"opened {url}"))
    scripted.then(402, {**offer, "checkout_url": "file:///etc/passwd"})
    scripted.then(200, {"status": "ready", "payment_token": "fmt_1"}).then(200, result)
    assert fmu_gateway.piped("run", "msl:BouncingBall", "--pay").code == 0


def test_a_payment_that_does_not_come_exits_9_and_says_how_to_go_on(fmu_gateway, scripted, offer):
    scripted.then(402, offer).then(202, {"status": "pending"})
    said = fmu_gateway.piped("run", "msl:BouncingBall", "--pay", "--wait", "0s")
    assert said.code == 9
    assert "fmu-gateway status fms_1 --wait" in said.err


def test_a_lost_connection_in_a_paid_run_ends_with_its_result_under_one_key(fmu_gateway, scripted, result):
    scripted.cut().then(200, result, Idempotent_Replayed="true")
    said = fmu_gateway.piped("run", "msl:BouncingBall", "--payment-token", "fmt_1")
    assert (said.code, said.json) == (0, result)
    assert "connection lost" in said.err
    assert len({asked.headers["Idempotency-Key"] for asked in scripted.asked}) == 1


def test_the_key_of_the_environment_is_sent(fmu_gateway, scripted, monkeypatch):
    monkeypatch.setenv("FMU_GATEWAY_API_KEY", " fmk_1\n")
    scripted.then(200, {"models": []})
    fmu_gateway.piped("models")
    assert scripted.asked[0].headers["Authorization"] == "Bearer fmk_1"


def test_status_tells_where_a_purchase_stands(fmu_gateway, scripted):
    scripted.then(202, {"status": "pending"})
    said = fmu_gateway.typed("status", "fms_1")
    assert said.code == 0
    assert "pending" in said.out
    scripted.then(410, problem("consumed", status=410, run_url="http://gateway.test/runs/run_1"))
    assert fmu_gateway.piped("status", "fms_1").json["status"] == "consumed"
    scripted.then(404, problem("purchase_not_found"))
    assert fmu_gateway.piped("status", "fms_1").code == 5


def test_status_waits_for_the_token(fmu_gateway, scripted):
    ready = {"status": "ready", "payment_token": "fmt_1", "expires_at": "2026-11-21T12:00:00Z"}
    scripted.then(202, {"status": "pending"}, Retry_After="0").then(200, ready).then(200, ready)
    assert fmu_gateway.piped("status", "fms_1", "--wait", "1m").json == ready


def test_a_new_key_is_a_line_to_paste(fmu_gateway, scripted):
    key = {"api_key": "fmk_1", "key_id": "key_1", "account_id": "acc_1"}
    scripted.then(201, key).then(201, key)
    assert fmu_gateway.typed("keys", "create", "--name", "laptop").out == "export FMU_GATEWAY_API_KEY=fmk_1\n"
    assert scripted.asked[0].body == {"name": "laptop"}
    assert fmu_gateway.piped("keys", "create").json == key


def test_no_text_of_the_server_reaches_the_terminal_as_more_than_text(fmu_gateway, scripted, card, result, offer):
    evil = "\x1b[2J\x1b]0;owned\x07[bold]evil\r\nForged: line\x9b31m\u202e"
    everywhere = {name: evil if isinstance(value, str) else value for name, value in card.items()}
    scripted.then(200, {"models": [everywhere]})
    scripted.then(200, everywhere).then(200, {"variables": [{"name": evil, "unit": evil, "start": evil}]})
    hostile = {**result, "fmu_id": evil, "columns": ["time", evil], "data": {"time": [0.0, 1.0], evil: [0.0, 1.0]}}
    hostile |= {"kpis": {evil: 1.0}, "receipt": dict.fromkeys(["purchase", "paid_at", "receipt_url"], evil)}
    scripted.then(200, {**hostile, "units": {evil: evil}})
    scripted.then(404, problem("model_not_found", did_you_mean=evil, field=evil) | {"detail": evil, "next_step": evil})
    scripted.then(402, {**offer, "checkout_url": evil, "session_id": evil, "fmu_id": evil})
    scripted.then(200, {"status": evil, "payment_token": evil, "run_url": evil})
    scripted.then(201, {"api_key": evil, "key_id": evil, "account_id": evil})
    commands = [
        ["models"],
        ["model", "x"],
        ["run", "x"],
        ["run", "x"],
        ["run", "x"],
        ["status", "x"],
        ["keys", "create"],
    ]
    for command in commands:
        said = fmu_gateway.typed(*command)
        for text in (said.out, said.err):
            assert all(ch.isprintable() or ch == "\n" for ch in text), command
            assert not any(line.startswith("Forged") for line in text.splitlines()), command
    assert scripted.answers == []


def test_help_names_every_command_and_the_exit_codes(fmu_gateway):
    said = fmu_gateway.typed("--help")
    assert said.code == 0
    for word in "models model run result status keys serve doctor demo FMU_GATEWAY_URL".split():
        assert word in said.out
    for number in range(10):
        assert f"{number} " in said.out
    assert max(map(len, said.out.splitlines())) <= 80


def test_the_version_is_the_packages(fmu_gateway):
    assert fmu_gateway.piped("--version").out == "fmu-gateway 0.1.0\n"
