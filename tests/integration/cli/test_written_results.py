"""What becomes of a result: data, plot, picture and files, and what is said where they cannot be written."""

import subprocess
import sys

import pytest


def test_a_result_is_json_when_piped_and_nothing_else_is_on_stdout(fmu_gateway, scripted, result):
    scripted.then(200, result)
    said = fmu_gateway.piped("run", "msl:BouncingBall", "--payment-token", "fmt_1")
    assert (said.code, said.json) == (0, result)


def test_a_result_on_a_terminal_is_plot_kpis_and_receipt(fmu_gateway, scripted, result):
    scripted.then(200, result)
    said = fmu_gateway.typed("run", "msl:BouncingBall", "--payment-token", "fmt_1")
    for shown in ("h [m]", "h:max          1", "1.00 usd", "pur_1", "http://stripe.test/receipt/1", "run_1", "00ff"):
        assert shown in said.out
    scripted.then(200, result)
    assert "h [m]" not in fmu_gateway.typed("run", "msl:BouncingBall", "--payment-token", "fmt_1", "--no-plot").out


def test_a_plot_can_be_piped(fmu_gateway, scripted, result):
    scripted.then(200, result)
    assert "h [m]" in fmu_gateway.piped("run", "msl:BouncingBall", "--plot").out


def test_a_picture_is_written_and_the_data_stay_as_they_were(fmu_gateway, scripted, result, tmp_path):
    scripted.then(200, result).then(200, result)
    file = tmp_path / "h.png"
    said = fmu_gateway.piped("run", "msl:BouncingBall", "--payment-token", "fmt_1", "--png", str(file))
    assert (said.code, said.json) == (0, result)
    assert file.read_bytes().startswith(b"\x89PNG")
    assert str(file) in said.err
    file.unlink()
    assert fmu_gateway.typed("result", "run_1", "--payment-token", "fmt_1", "--png", str(file)).code == 0
    assert file.exists()


@pytest.mark.parametrize("option", ["--csv", "--png"])
@pytest.mark.parametrize("place", ["missing/out", "."])
def test_a_file_that_cannot_be_written_is_found_before_anything_is_asked(
    fmu_gateway, scripted, tmp_path, monkeypatch, option, place
):
    monkeypatch.chdir(tmp_path)
    said = fmu_gateway.piped("run", "msl:BouncingBall", "--pay", option, place)
    assert (said.code, scripted.asked) == (2, [])
    assert option in said.err


def test_a_disk_that_fills_up_does_not_hide_the_result(fmu_gateway, scripted, result):
    scripted.then(200, result)
    said = fmu_gateway.piped("run", "msl:BouncingBall", "--payment-token", "fmt_1", "--png", "/dev/full")
    assert (said.code, said.json) == (1, result)
    assert "/dev/full could not be written: No space left on device." in said.err
    assert "fmu-gateway result run_1 --payment-token fmt_1" in said.err


def test_an_output_that_fills_up_is_a_sentence_and_exit_1(scripted, result, card):
    scripted.then(200, result).then(200, {"models": [card]})
    for command in (["run", "msl:BouncingBall", "--payment-token", "fmt_1"], ["models"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([sys.executable, "-m", "gateway", *command], stdout=full, stderr=subprocess.PIPE,
                                  text=True, timeout=60, check=False)  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.endswith("The output could not be written: No space left on device.\n")
        assert "Traceback" not in done.stderr
        assert ("fmu-gateway result run_1 --payment-token fmt_1" in done.stderr) is (command[0] == "run")


def test_csv_is_the_gateways_own_bytes(fmu_gateway, scripted, result, tmp_path):
    content = b'"time","h"\r\n0.0,1.0\r\n'
    scripted.then(200, result).then(200, content)
    said = fmu_gateway.typed("run", "msl:BouncingBall", "--payment-token", "fmt_1", "--csv", str(tmp_path / "out.csv"))
    assert said.code == 0
    assert (tmp_path / "out.csv").read_bytes() == content
    assert scripted.asked[1].path == "/runs/run_1/result.csv"
    assert scripted.asked[1].headers["Payment-Token"] == "fmt_1"
    scripted.then(200, result).then(200, content)
    assert fmu_gateway.piped("run", "msl:BouncingBall", "--csv", "-").out == content.decode()


def test_a_result_is_fetched_again_by_id_or_by_its_address(fmu_gateway, scripted, result):
    scripted.then(200, result).then(200, result)
    assert fmu_gateway.piped("result", "run_1", "--payment-token", "fmt_1").json == result
    assert fmu_gateway.piped("result", "http://gateway.test/runs/run_1").json == result
    assert [asked.path for asked in scripted.asked] == ["/runs/run_1", "/runs/run_1"]
