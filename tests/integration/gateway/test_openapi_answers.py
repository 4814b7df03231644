"""The contract: what openapi.yaml promises, held against what the gateway answers to requests made from it."""

import subprocess
import sys
from pathlib import Path

from harness import BALL, Gateway
from promised import promised

# A long poll may last 25 s, which says nothing about its answer.
CONFIG = """
request-timeout = 40
[parameters]
"query.wait" = 0
"""
# Not among the checks: positive_data_acceptance, which takes a 402 to a right request for a refusal. It is the product.
EXCLUDED = "positive_data_acceptance"


def test_no_answer_contradicts_openapi(gateway: Gateway, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    key = gateway.http.post("/keys").json()["api_key"]
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "run"]
    command += [f"{gateway.url}/openapi.json", "--checks", "all", "--exclude-checks", EXCLUDED]
    command += ["--max-examples", "15", "--seed", "1", "--generation-deterministic", "--no-color"]
    command += ["--header", f"X-API-Key: {key}", "--exclude-path", "/keys/{key_id}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Test cases:" in done.stdout


def test_the_examples_in_csv_are_as_what_is_answered(gateway: Gateway) -> None:
    answer = gateway.simulate(BALL, gateway.buy().token, headers={"accept": "text/csv"})
    assert answer.text.startswith(promised("POST /simulate", 200)["content"]["text/csv"]["example"])
    template = promised("GET /fmus/{fmu_id}/inputs.csv", 200)["content"]["text/csv"]["example"]
    header, *rows = gateway.get("/fmus/msl:DCMotor/inputs.csv").text.splitlines()
    assert header.startswith(template.splitlines()[0])
    assert len(rows) == len(template.splitlines()) - 1
